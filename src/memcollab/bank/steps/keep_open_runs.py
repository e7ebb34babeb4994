"""4 → 5: runs whose outcome is not known yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

from memcollab.bank.text import portable


def upgrade(op: Operations) -> None:
    op.create_table(
        "open_runs",
        sa.Column(
            "recall_id",
            portable(sa.String(64)),
            sa.ForeignKey("recalls.id"),
            primary_key=True,
        ),
        sa.Column("asked_at", portable(sa.Text()), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
