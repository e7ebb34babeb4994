"""What an installed package offers to Inspect itself (entry point ``inspect_ai``).

Inspect imports this module when it meets a name that it does not know, and before an evaluation to
find hooks: the sandbox ``bubblewrap``, the solvers ``memcollab/python_turns``,
``memcollab/single_turn`` and ``memcollab/guided``, and the hook ``memcollab/guide`` then work in
any Inspect task.
"""

from __future__ import annotations

from memcollab.bench.agent import python_turns, single_turn
from memcollab.bench.guided import guided
from memcollab.bench.hook import GuideHook
from memcollab.bench.sandbox import Bubblewrap, Unconfined

__all__ = ["Bubblewrap", "GuideHook", "Unconfined", "guided", "python_turns", "single_turn"]
