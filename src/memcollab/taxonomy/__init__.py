"""Stage 7: which category is this task? One function files and finds, so the two cannot disagree.

``topics``      the categories as data: a TOML file, read and checked
``categoriser`` label, else a local classifier over the bank's labelled tasks, else a model if named
``softmax``     the linear model beneath it: numpy only, no random number, stored as bytes
"""

from __future__ import annotations

from memcollab.taxonomy.categoriser import Categoriser
from memcollab.taxonomy.topics import Taxonomy, Topic

__all__ = ["Categoriser", "Taxonomy", "Topic"]
