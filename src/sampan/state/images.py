"""The rows of images in SQLite: implements ``sampan.image.rows.ImageRows``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from sampan.image.errors import ImageError
from sampan.image.rows import ImageRow, LayerRow

if TYPE_CHECKING:
    from sampan.state.database import Database

MIGRATION: Final = """
    CREATE TABLE images (
        id       TEXT PRIMARY KEY,              -- digest of the configuration
        manifest TEXT,                          -- digest of the manifest it came with
        layers   TEXT NOT NULL,                 -- JSON: [[diff ID, blob digest, bytes], …], bottom first
        added_ns INTEGER NOT NULL               -- when it was last loaded or tagged, nanoseconds since 1970
    ) WITHOUT ROWID;
    CREATE TABLE image_names (
        name     TEXT PRIMARY KEY,              -- "busybox:latest", or "busybox@sha256:…" when pinned
        pinned   INTEGER NOT NULL,              -- 1: the name carries a manifest's digest
        image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX image_names_by_image ON image_names (image_id);
"""


class SqlImageRows:
    """Images and their names, each write one transaction."""

    def __init__(self, database: Database) -> None:
        """Keep the rows in ``database``, whose migrations include ``MIGRATION``."""
        self._database = database

    def all(self) -> list[ImageRow]:
        """Return every image with its names."""
        return self._database.read(_all)

    def put(self, image: ImageRow) -> None:
        """Insert or replace an image and point its names at it; names that it had stay."""
        layers = json.dumps([[layer.diff_id, layer.blob, layer.size] for layer in image.layers])

        def write(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO images VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " manifest = excluded.manifest, layers = excluded.layers, added_ns = excluded.added_ns",
                (image.id, image.manifest, layers, image.added_ns),
            )
            _name(connection, image.id, image.names, image.pinned)

        self._write(write)

    def name(self, image_id: str, names: Sequence[str], pinned: Sequence[str] = (), *, now_ns: int = 0) -> None:
        """Point names at an image; ``now_ns`` (if given) becomes the time when it was last tagged."""

        def write(connection: Connection) -> None:
            _name(connection, image_id, names, pinned)
            if now_ns:
                connection.execute("UPDATE images SET added_ns = ? WHERE id = ?", (now_ns, image_id))

        self._write(write)

    def unname(self, names: Sequence[str]) -> None:
        """Forget names."""
        rows = [(name,) for name in names]
        self._write(lambda connection: connection.executemany("DELETE FROM image_names WHERE name = ?", rows))

    def delete(self, image_id: str) -> None:
        """Forget an image and its names."""
        self._write(lambda connection: connection.execute("DELETE FROM images WHERE id = ?", (image_id,)))

    def _write(self, change: Callable[[Connection], object]) -> None:
        """Make a change durable. Raises ImageError when the database can't take it (the disk is full)."""
        try:
            self._database.write(change).result()
        except sqlite3.Error as error:
            raise ImageError(f"cannot record the image: {error}") from error


def _name(connection: Connection, image_id: str, names: Iterable[str], pinned: Iterable[str]) -> None:
    rows = [(name, 0, image_id) for name in names] + [(name, 1, image_id) for name in pinned]
    connection.executemany("INSERT OR REPLACE INTO image_names VALUES (?, ?, ?)", rows)


def _all(connection: Connection) -> list[ImageRow]:
    # One read transaction, so that names and images belong together.
    connection.execute("BEGIN")
    try:
        names = connection.execute("SELECT image_id, pinned, name FROM image_names ORDER BY name").fetchall()
        images = connection.execute("SELECT id, manifest, layers, added_ns FROM images").fetchall()
    finally:
        connection.execute("COMMIT")
    by_image: dict[str, tuple[list[str], list[str]]] = {}
    for image_id, pinned, name in names:
        by_image.setdefault(image_id, ([], []))[pinned].append(name)
    return [_row(row, by_image.get(row[0], ([], []))) for row in images]


def _row(row: tuple[str, str | None, str, int], names: tuple[list[str], list[str]]) -> ImageRow:
    image_id, manifest, layers, added_ns = row
    damage = ""
    try:
        found = tuple(LayerRow(*layer) for layer in json.loads(layers))
        if any((type(one.diff_id), type(one.blob), type(one.size)) != (str, str, int) for one in found):
            damage = "its layers have the wrong types"
    except (ValueError, TypeError) as error:
        found, damage = (), str(error)
    return ImageRow(
        id=image_id,
        manifest=manifest,
        layers=found,
        added_ns=added_ns,
        names=tuple(names[0]),
        pinned=tuple(names[1]),
        damage=damage,
    )
