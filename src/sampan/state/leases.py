"""The rows of leases in SQLite: implements ``sampan.image.leases.LeaseRows``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from sampan.image.errors import ImageError
from sampan.image.leases import LeaseRow

if TYPE_CHECKING:
    from sampan.state.database import Database

MIGRATION: Final = """
    CREATE TABLE leases (
        name       TEXT PRIMARY KEY,            -- what was being done
        created_ns INTEGER NOT NULL,            -- nanoseconds since 1970
        expires_ns INTEGER NOT NULL,            -- nanoseconds since 1970
        digests    TEXT NOT NULL                -- JSON: digests and chain IDs
    ) WITHOUT ROWID;
"""


class SqlLeaseRows:
    """Leases, each write one transaction."""

    def __init__(self, database: Database) -> None:
        """Keep the rows in ``database``, whose migrations include ``MIGRATION``."""
        self._database = database

    def all(self) -> list[LeaseRow]:
        """Return every lease, by name."""
        sql = "SELECT name, created_ns, expires_ns, digests FROM leases ORDER BY name"
        rows = self._database.read(lambda connection: connection.execute(sql).fetchall())
        return [LeaseRow(name, created, expires, tuple(json.loads(held))) for name, created, expires, held in rows]

    def put(self, lease: LeaseRow) -> None:
        """Insert or replace a lease."""
        values = (lease.name, lease.created_ns, lease.expires_ns, json.dumps(lease.digests))
        self._write(lambda connection: connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", values))

    def delete(self, names: Sequence[str]) -> None:
        """Forget leases."""
        rows = [(name,) for name in names]
        self._write(lambda connection: connection.executemany("DELETE FROM leases WHERE name = ?", rows))

    def _write(self, change: Callable[[Connection], object]) -> None:
        """Make a change durable. Raises ImageError when the database can't take it (the disk is full)."""
        try:
            self._database.write(change).result()
        except sqlite3.Error as error:
            raise ImageError(f"cannot record what is kept: {error}") from error
