"""2 → 3: who brought what, what counts, what was decided.

All that is here came from the operator himself; which drafts counted when is not known, so going
back begins here. No PostgreSQL bank was ever of schema 2, so these statements are SQLite's.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic.operations import Operations

_TRUST_TABLES = (
    "CREATE TABLE sources (name VARCHAR(256) NOT NULL PRIMARY KEY, trust TEXT NOT NULL)",
    "CREATE TABLE brought (record_id VARCHAR(64) NOT NULL, source VARCHAR(256) NOT NULL "
    "REFERENCES sources (name), at TEXT NOT NULL, PRIMARY KEY (record_id, source))",
    "CREATE INDEX ix_brought_source ON brought (source)",
    "CREATE TABLE retracted (id VARCHAR(64) NOT NULL PRIMARY KEY)",
    "CREATE TABLE decisions (number INTEGER NOT NULL PRIMARY KEY, target VARCHAR(256) NOT NULL, "
    "value TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT, at TEXT NOT NULL)",
    "CREATE INDEX ix_decisions_target ON decisions (target)",
    "CREATE TABLE placements (number INTEGER NOT NULL PRIMARY KEY, draft_id VARCHAR(64) NOT NULL "
    "REFERENCES drafts (id), counted BOOLEAN NOT NULL, sequence INTEGER NOT NULL)",
    "CREATE INDEX ix_placements_draft_id ON placements (draft_id)",
    "CREATE INDEX ix_placements_sequence ON placements (sequence)",
    "CREATE TABLE snapshots (name VARCHAR(256) NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL, "
    "at TEXT NOT NULL)",
    "ALTER TABLE drafts ADD COLUMN counted BOOLEAN",
    "ALTER TABLE changes ADD COLUMN decided BOOLEAN DEFAULT 0 NOT NULL",
)
_TRUST_ROWS = (
    "UPDATE drafts SET counted = 1 WHERE constraint_id IS NOT NULL",
    # Until now nothing but a person or an import set another status than active.
    "UPDATE changes SET decided = 1 WHERE constraint_id IN "
    "(SELECT id FROM constraints WHERE status <> 'active')",
    "INSERT INTO sources VALUES ('local', 'trusted'), ('own writer', 'trusted')",
    "INSERT INTO decisions (target, value, actor, reason, at) "
    "SELECT name, trust, 'migration', 'first seen', :now FROM sources",
    "INSERT INTO brought SELECT id, 'local', '' FROM trajectories",
    "INSERT INTO brought SELECT id, 'own writer', '' FROM drafts",
    "INSERT INTO brought SELECT id, 'local', '' FROM constraints WHERE id NOT IN "
    "(SELECT constraint_id FROM drafts WHERE constraint_id IS NOT NULL)",
    "INSERT INTO placements (draft_id, counted, sequence) SELECT id, 1, "
    "(SELECT coalesce(max(sequence), 0) FROM changes) FROM drafts WHERE counted = 1 ORDER BY id",
    "INSERT INTO meta (name, value) SELECT 'rollback_from', "
    "CAST(coalesce(max(sequence), 0) AS TEXT) FROM changes",
)


def upgrade(op: Operations) -> None:
    connection = op.get_bind()
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    for statement in _TRUST_TABLES + _TRUST_ROWS:
        connection.execute(sa.text(statement), {"now": now} if ":now" in statement else {})
