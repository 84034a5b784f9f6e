"""The tables, as an ordered tuple of SQL scripts; `PRAGMA user_version` counts those that were applied.

A script that has been released is never edited: add another at the end.
"""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE containers (
        id       TEXT PRIMARY KEY,              -- 64 hexadecimal digits
        name     TEXT NOT NULL UNIQUE,          -- without the leading slash
        created  INTEGER NOT NULL,              -- nanoseconds since 1970
        image_id TEXT NOT NULL,                 -- "sha256:…" of the image's config
        config   BLOB NOT NULL,                 -- JSON: what it was created with, never changed after
        state    BLOB NOT NULL,                 -- JSON: how it is, rewritten at each start and exit
        boot_id  TEXT NOT NULL                  -- of the machine's boot during which `state` was written
    ) WITHOUT ROWID;
    CREATE TABLE facts (
        key   TEXT PRIMARY KEY,                 -- "engine-id"
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)
