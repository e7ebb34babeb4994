"""The shared memory: a bank of constraints with everything they came from, in one SQLite file
or one schema of PostgreSQL.

The contract:

* **Identity is content.** Tasks, runs, contrasts, drafts and constraints are stored under the id
  that ``records`` derives from what they are; saving one twice is saving it once, in any order and
  from any number of processes. ``Bank.verify`` derives every id again.
* **What may never change**: the row of a fact (a task, a run, a contrast, an answer, a draft's
  words and verdict, a recall), and any row of the change log. What may: the status and support of a
  constraint, each time with a row in the change log; a task's missing category, a light run's
  missing steps, an unjudged outcome, a pending draft's constraint are filled in, once; a run that
  goes on is replaced by its later turns (``open_runs.py``).
* **Text is the truth**, vectors and caches are derived, never exported, and dropped by ``reindex``.
* **The same knowledge exports to the same bytes**, however often its learning was killed.

``bank.py`` is the door; ``schema.py`` the tables; ``sqlite.py`` and ``postgres.py`` all that is
particular to a database, behind ``database.py``; ``steps`` what an older bank lacks;
design/bank.md says why.
"""

from __future__ import annotations

from memcollab.bank.bank import Bank
from memcollab.bank.browse import Paired, Refused, Taught
from memcollab.bank.decisions import Decided, Decision
from memcollab.bank.importing import Imported, RefusedLine
from memcollab.bank.learning import Merge, Merged, Pending, Screened
from memcollab.bank.memory import Change, IndexRow, IndexRows, Versions
from memcollab.bank.open_runs import OpenRun
from memcollab.bank.provenance import Provenance, Source
from memcollab.bank.rewind import Difference, Point, RolledBack, Snapshot
from memcollab.bank.rows import StoredAnswer
from memcollab.bank.runs import Added
from memcollab.bank.serving import Judged
from memcollab.bank.stats import Stats
from memcollab.bank.trials import AWAITS_TRIAL, TrialPair
from memcollab.bank.trust import LOCAL, Trust, Waiting, reporter
from memcollab.bank.verify import Problem, Verification

__all__ = [
    "AWAITS_TRIAL",
    "LOCAL",
    "Added",
    "Bank",
    "Change",
    "Decided",
    "Decision",
    "Difference",
    "Imported",
    "IndexRow",
    "IndexRows",
    "Judged",
    "Merge",
    "Merged",
    "OpenRun",
    "Paired",
    "Pending",
    "Point",
    "Problem",
    "Provenance",
    "Refused",
    "RefusedLine",
    "RolledBack",
    "Screened",
    "Snapshot",
    "Source",
    "Stats",
    "StoredAnswer",
    "Taught",
    "TrialPair",
    "Trust",
    "Verification",
    "Versions",
    "Waiting",
    "reporter",
]
