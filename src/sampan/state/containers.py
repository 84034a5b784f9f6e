"""The rows of containers in SQLite: implements ``sampan.engine.rows.ContainerRows``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sampan.engine.rows import ContainerRow

if TYPE_CHECKING:
    from concurrent.futures import Future
    from sqlite3 import Connection

    from sampan.state.database import Database

MIGRATION: Final = """
    CREATE TABLE containers (
        id       TEXT PRIMARY KEY,              -- 64 hexadecimal digits
        name     TEXT NOT NULL UNIQUE,          -- without the leading slash
        created  INTEGER NOT NULL,              -- nanoseconds since 1970
        image_id TEXT NOT NULL,                 -- "sha256:…" of the image's configuration
        config   BLOB NOT NULL,                 -- JSON: what it was created with, and its networks
        state    BLOB NOT NULL,                 -- JSON: how it is, rewritten at each start and exit
        boot_id  TEXT NOT NULL                  -- of the machine's boot during which `state` was written
    ) WITHOUT ROWID;
    CREATE TABLE facts (
        key   TEXT PRIMARY KEY,                 -- "engine-id"
        value TEXT NOT NULL
    ) WITHOUT ROWID;
"""

_SELECT: Final = "SELECT id, name, created, image_id, config, state, boot_id FROM containers ORDER BY created, id"


class SqlContainerRows:
    """Containers, each write one transaction."""

    def __init__(self, database: Database) -> None:
        """Keep the rows in ``database``, whose migrations include ``MIGRATION``."""
        self._database = database

    def all(self) -> list[ContainerRow]:
        """Return every container, oldest first."""
        return self._database.read(_all)

    def insert(self, row: ContainerRow) -> Future[None]:
        """Add a container; the future fails with sqlite3.IntegrityError when the name or the id is taken."""
        values = (row.id, row.name, row.created, row.image_id, row.config, row.state, row.boot_id)
        return self._write("INSERT INTO containers VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def set_state(self, container_id: str, state: bytes, boot_id: str) -> Future[None]:
        """Replace the state of a container."""
        return self._write("UPDATE containers SET state = ?, boot_id = ? WHERE id = ?", (state, boot_id, container_id))

    def set_config(self, container_id: str, config: bytes) -> Future[None]:
        """Replace what a container was created with."""
        return self._write("UPDATE containers SET config = ? WHERE id = ?", (config, container_id))

    def rename(self, container_id: str, name: str) -> Future[None]:
        """Give a container another name; the future fails with sqlite3.IntegrityError when it is taken."""
        return self._write("UPDATE containers SET name = ? WHERE id = ?", (name, container_id))

    def delete(self, container_id: str) -> Future[None]:
        """Forget a container; ignored when unknown."""
        return self._write("DELETE FROM containers WHERE id = ?", (container_id,))

    def engine_id(self, fresh: str) -> str:
        """Return the id that this file has, ``fresh`` if it had none."""

        def write(connection: Connection) -> str:
            connection.execute("INSERT OR IGNORE INTO facts VALUES ('engine-id', ?)", (fresh,))
            found: str = connection.execute("SELECT value FROM facts WHERE key = 'engine-id'").fetchone()[0]
            return found

        return self._database.write(write).result()

    def _write(self, sql: str, values: tuple[str | int | bytes, ...]) -> Future[None]:
        def write(connection: Connection) -> None:
            connection.execute(sql, values)

        return self._database.write(write)


def _all(connection: Connection) -> list[ContainerRow]:
    return [ContainerRow(*row) for row in connection.execute(_SELECT)]
