"""What an installed package offers to Inspect itself (entry point ``inspect_ai``).

Inspect imports this module when it meets a name that it does not know: the sandbox ``bubblewrap``
and the solver ``memcollab/python_turns`` then work in any Inspect task.
"""

from __future__ import annotations

from memcollab.bench.agent import python_turns
from memcollab.bench.sandbox import Bubblewrap, Unconfined

__all__ = ["Bubblewrap", "Unconfined", "python_turns"]
