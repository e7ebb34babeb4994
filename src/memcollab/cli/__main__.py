"""``python -m memcollab.cli``: the same as ``memcollab``."""

from memcollab.cli import main

main()
