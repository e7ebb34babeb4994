"""The tables of a bank, for any database that SQLAlchemy Core speaks to.

What a row is to the rest: ``tasks``, ``trajectories``, ``steps``, ``contrasts``, ``answers``,
``drafts``, ``recalls``, ``outcomes`` and ``trials`` are facts, written once. ``constraints`` is the
present state, every step to which is a row of ``changes``; ``decisions`` and ``placements`` are
logs of the same kind. ``open_runs`` are runs that go on. ``evidence`` is counted from recalls and
outcomes. ``vectors`` and ``caches`` can be dropped at any time. Columns that hold JSON are text, so
that they mean the same in every database.

The steps of a run stand beside its head, not in it: contrasting walks over every head and reads no
message, and a bank that came by a light share has heads only.
"""

from __future__ import annotations

import sqlalchemy as sa

from memcollab.bank.text import portable

METADATA = sa.MetaData()


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    table = sa.Table(name, METADATA, *columns)
    for column in table.columns:
        if isinstance(column.type, sa.String):
            column.type = portable(column.type)
    return table


def _text(name: str, *, optional: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=optional)


def _id(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.String(64), primary_key=True)


def _ref(name: str, target: str, *, optional: bool = False, index: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), sa.ForeignKey(target), nullable=optional, index=index)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=True)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=True)


META = _table("meta", sa.Column("name", sa.String(64), primary_key=True), _text("value"))

TASKS = _table(
    "tasks",
    _id(),
    _text("text"),
    _text("key", optional=True),
    _text("category", optional=True),
    _text("subcategory", optional=True),
)

TRAJECTORIES = _table(
    "trajectories",
    _id(),
    _ref("task_id", "tasks.id"),
    _text("model"),
    _text("family"),
    _text("harness", optional=True),
    _text("run", optional=True),
    sa.Column("solved", sa.Boolean, nullable=True),
    _real("score"),
    _text("judge", optional=True),
    _text("reason", optional=True),
    sa.Column("turns", sa.BigInteger, nullable=False),
    # Whether the source gave the number of turns, or it was counted from the steps.
    sa.Column("turns_given", sa.Boolean, nullable=False),
    _whole("input_tokens"),
    _whole("output_tokens"),
    _real("seconds"),
    _real("cost_usd"),
    _text("shown"),
    _text("origin"),
)

STEPS = _table(
    "steps",
    sa.Column("trajectory_id", sa.String(64), sa.ForeignKey("trajectories.id"), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

CONTRASTS = _table(
    "contrasts",
    _id(),
    _ref("task_id", "tasks.id"),
    _text("kind"),
    _ref("preferred", "trajectories.id"),
    _ref("other", "trajectories.id"),
)

ANSWERS = _table(
    "answers",
    _id("request_id"),
    sa.Column("writer", sa.String(256), primary_key=True),
    _ref("contrast_id", "contrasts.id"),
    _text("prompt_hash"),
    _text("tier"),
    _text("text"),
    _whole("turns"),
    _whole("input_tokens"),
    _whole("output_tokens"),
    _real("seconds"),
    _real("cost_usd"),
)

CONSTRAINTS = _table(
    "constraints",
    _id(),
    _text("when"),
    _text("enforce"),
    _text("avoid"),
    _text("category"),
    _text("subcategory", optional=True),
    _text("scope"),
    _text("harness", optional=True),
    _text("status"),
    sa.Column("support_tasks", sa.Integer, nullable=False),
    sa.Column("support_contrasts", sa.Integer, nullable=False),
    _text("families_right"),
    _text("families_wrong"),
)

DRAFTS = _table(
    "drafts",
    _id(),
    _ref("contrast_id", "contrasts.id"),
    _text("when"),
    _text("enforce"),
    _text("avoid"),
    _text("scope"),
    _text("writer"),
    _text("prompt_hash"),
    _text("recipe"),
    _text("category"),
    _text("subcategory", optional=True),
    _text("harness", optional=True),
    _text("refused", optional=True),
    _text("refused_detail", optional=True),
    _ref("constraint_id", "constraints.id", optional=True),
    # Whether it counts as support of its constraint; NULL until it is in one. See ``PLACEMENTS``.
    sa.Column("counted", sa.Boolean, nullable=True),
)

# Pairs of constraints that contradict each other; ``first`` is the smaller id.
CONFLICTS = _table(
    "conflicts",
    sa.Column("first", sa.String(64), sa.ForeignKey("constraints.id"), primary_key=True),
    sa.Column("second", sa.String(64), sa.ForeignKey("constraints.id"), primary_key=True),
)

CHANGES = _table(
    "changes",
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    _ref("constraint_id", "constraints.id"),
    _text("actor"),
    _text("action"),
    _text("reason", optional=True),
    _text("before", optional=True),
    _text("after"),
    _text("at"),
    # Whether the status was set on purpose: then trust in sources does not change it.
    sa.Column("decided", sa.Boolean, nullable=False, server_default=sa.false()),
)

# ---- who brought what, and whom we believe (``trust.py``, ``decisions.py``, ``rewind.py``)

SOURCES = _table("sources", sa.Column("name", sa.String(256), primary_key=True), _text("trust"))

# ``record_id`` is a run, a draft, or a constraint that came by an import.
BROUGHT = _table(
    "brought",
    sa.Column("record_id", sa.String(64), primary_key=True),
    sa.Column(
        "source", sa.String(256), sa.ForeignKey("sources.name"), primary_key=True, index=True
    ),
    _text("at"),
)

# Runs and contrasts that teach nothing any more. A retracted source is one whose trust says so.
RETRACTED = _table("retracted", _id())

# Every change of ``sources.trust`` and of ``retracted``; append-only.
DECISIONS = _table(
    "decisions",
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("target", sa.String(256), nullable=False, index=True),
    _text("value"),
    _text("actor"),
    _text("reason", optional=True),
    _text("at"),
)

# Every change of ``drafts.counted``, with the change of its constraint that came of it.
PLACEMENTS = _table(
    "placements",
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    _ref("draft_id", "drafts.id"),
    sa.Column("counted", sa.Boolean, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False, index=True),
)

SNAPSHOTS = _table(
    "snapshots",
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False),
    _text("at"),
)

RECALLS = _table("recalls", _id(), _text("at"), _text("content"))

OUTCOMES = _table(
    "outcomes",
    sa.Column("recall_id", sa.String(64), sa.ForeignKey("recalls.id"), primary_key=True),
    _text("at"),
    sa.Column("solved", sa.Boolean, nullable=True),
    _text("content"),
)

# Runs that go on, each under the recall it began with; ``open_runs.py`` replaces them.
OPEN_RUNS = _table(
    "open_runs",
    sa.Column("recall_id", sa.String(64), sa.ForeignKey("recalls.id"), primary_key=True),
    _text("asked_at"),
    sa.Column("content", sa.LargeBinary, nullable=False),
    # Who sent it, where that is not to be trusted alone; "" for who is. Before schema 6: unknown.
    sa.Column("source", sa.Text, nullable=False, server_default="unknown"),
)

# The counts of ``memcollab.evidence``, as recalls and outcomes give them: derived, kept up to date
# with every outcome. A holdout is in millionths, so that equal rates are equal keys.
EVIDENCE = _table(
    "evidence",
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("category", sa.Text, primary_key=True),
    sa.Column("coin", sa.String(16), primary_key=True),
    sa.Column("holdout_millionths", sa.Integer, primary_key=True),
    sa.Column("source", sa.String(256), primary_key=True),
    _text("family"),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in (
            "shown_solved",
            "shown_failed",
            "withheld_solved",
            "withheld_failed",
            "unjudged",
        )
    ),
)

# Attempts at one task with a constraint that awaits admission and without: facts, written once, and
# apart from recalls and outcomes, for nobody's work was helped or hindered by them.
TRIALS = _table(
    "trials",
    sa.Column("constraint_id", sa.String(64), sa.ForeignKey("constraints.id"), primary_key=True),
    sa.Column("agent", sa.String(256), primary_key=True),
    sa.Column("attempt", sa.String(256), primary_key=True),
    _text("suite"),
    _text("task"),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("solved_with", sa.Boolean, nullable=False),
    sa.Column("solved_without", sa.Boolean, nullable=False),
    _text("at"),
)

# Numbers that only grow, by which readers see that something changed.
OUTCOMES_COUNTED = "outcomes"
COUNTERS = _table(
    "counters",
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

VECTORS = _table(
    "vectors",
    sa.Column("embedder", sa.String(256), primary_key=True),
    sa.Column("text_hash", sa.String(64), primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)

CACHES = _table(
    "caches",
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(256), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

# What an export calls a row of each table, in an order in which a line refers to earlier lines
# only. Tables that are missing hold how a bank came to be, or what can be derived again.
TABLE_OF_KIND: dict[str, sa.Table] = {
    "task": TASKS,
    "run": TRAJECTORIES,
    "contrast": CONTRASTS,
    "answer": ANSWERS,
    "constraint": CONSTRAINTS,
    "draft": DRAFTS,
    "conflict": CONFLICTS,
    "recall": RECALLS,
    "outcome": OUTCOMES,
}
