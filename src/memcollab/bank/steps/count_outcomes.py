"""1 → 2: outcomes as counts, with what the bank knows already.

No PostgreSQL bank was ever of schema 1, so these statements are SQLite's.
"""

from __future__ import annotations

from alembic.operations import Operations

from memcollab.bank import evidence, serving


def upgrade(op: Operations) -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(
        "CREATE TABLE evidence (kind VARCHAR(16) NOT NULL, subject TEXT NOT NULL, "
        "agent TEXT NOT NULL, category TEXT NOT NULL, coin VARCHAR(16) NOT NULL, "
        "holdout_millionths INTEGER NOT NULL, source VARCHAR(256) NOT NULL, family TEXT NOT NULL, "
        "shown_solved BIGINT NOT NULL, shown_failed BIGINT NOT NULL, "
        "withheld_solved BIGINT NOT NULL, withheld_failed BIGINT NOT NULL, "
        "unjudged BIGINT NOT NULL, PRIMARY KEY "
        "(kind, subject, agent, category, coin, holdout_millionths, source))"
    )
    connection.exec_driver_sql(
        "CREATE TABLE counters (name VARCHAR(64) NOT NULL, value BIGINT NOT NULL, "
        "PRIMARY KEY (name))"
    )
    evidence.rebuild(connection, serving.observations(connection))
