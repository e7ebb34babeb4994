"""Stage 8: task + agent + index → the few constraints that fit, or why there are none.

What holds for every answer:

* Only active constraints; of scope ``harness`` only those of the asking agent's harness.
* Never a constraint whose only source is the very task that is asked (``same_task``), and no score
  that rests on such a source.
* A score is a weighted sum of named parts, each 0 to 1, so a threshold means the same in a bank of
  ten and of ten thousand. That is why words are compared by TF-IDF cosine and not by BM25, whose
  scale depends on the collection; the paper's retrieval is TF-IDF too.
* An equal index, task and decision give an equal answer.

Search is exact: one matrix of vectors and one inverted list of words for each category, built when
first searched. No model, no network. Weights, thresholds and timings: design/recall.md.

``same``     when two texts put the same task
``lexicon``  the words that tell what a text is about, and TF-IDF over them
``index``    constraints and their source tasks by category
``search``   the fused search and the paper's
"""

from __future__ import annotations

from memcollab.recall.index import Index, IndexRow
from memcollab.recall.same import same_task
from memcollab.recall.search import WEIGHTS, Found, search

__all__ = ["WEIGHTS", "Found", "Index", "IndexRow", "same_task", "search"]
