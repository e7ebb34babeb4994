"""3 → 4: what trials of constraints that await admission came to.

No PostgreSQL bank was ever of schema 3, so this statement is SQLite's.
"""

from __future__ import annotations

from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    op.get_bind().exec_driver_sql(
        "CREATE TABLE trials (constraint_id VARCHAR(64) NOT NULL, agent VARCHAR(256) NOT NULL, "
        "attempt VARCHAR(256) NOT NULL, suite TEXT NOT NULL, task TEXT NOT NULL, "
        "seed BIGINT NOT NULL, solved_with BOOLEAN NOT NULL, solved_without BOOLEAN NOT NULL, "
        "at TEXT NOT NULL, PRIMARY KEY (constraint_id, agent, attempt), "
        "FOREIGN KEY(constraint_id) REFERENCES constraints (id))"
    )
