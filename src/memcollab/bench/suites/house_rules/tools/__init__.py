"""The tools of the house: agents import each by its own name. Nothing here is for this package."""
