"""5 → 6: who sent a run whose outcome is not known yet.

Of runs that are here already nobody knows it, so none is trusted by its verdict alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from memcollab.bank.text import portable


def upgrade(op: Operations) -> None:
    source = sa.Column("source", portable(sa.Text()), nullable=False, server_default="unknown")
    op.add_column("open_runs", source)
