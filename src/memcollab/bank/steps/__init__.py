"""How a bank of an older schema becomes one of this: one small module a step, in Alembic's words.

``STEPS[0]`` names the module that takes schema 1 to 2, and so on; a step is never changed once
released. To add one:

1. Change ``schema.py``: what a new bank has.
2. Write ``steps/<what_it_does>.py`` with one function ``upgrade(op: Operations) -> None`` that
   makes the same of an older bank: ``op.create_table``, ``op.add_column``, ``op.batch_alter_table``
   (what both databases can), and ``op.get_bind()`` for rows. Its tables are written out there, for
   ``schema.py`` will go on changing; text columns are ``portable(sa.Text())``.
3. Append its name to ``STEPS``.

Nothing here is imported, nor is Alembic, unless a bank has a step before it.
"""

from __future__ import annotations

STEPS: tuple[str, ...] = (
    "count_outcomes",
    "trust_in_sources",
    "keep_trials",
    "keep_open_runs",
    "sender_of_open_runs",
)
