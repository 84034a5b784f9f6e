"""The SQLite file: one writer thread, readers anywhere.

Words.  A *write* is a function that is given the writer's connection and runs inside one transaction of its own; a
        *read* runs on the caller's thread with a connection of its own, and sees the last commit.
Life.   open (newer file refused, migrations applied) → write, read → close.
Cost.   A commit waits for the disk (0.4 ms here, 23 ms beside a busy disk), so `write` returns a future and never
        blocks its caller; writes that queue up meanwhile share the next commit, each behind a savepoint of its own.
Errors. `UnusableDatabase` when the file can't be opened or is damaged; `NewerDatabase`, one of them, when a later
        version of the program wrote it.  What a write raises reaches its future.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

from sampan.state.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 10.0  # readers and the writer wait for each other only at checkpoints
BATCH: Final = 64  # writes that may share one commit


class UnusableDatabase(Exception):
    """The file can't be opened, is damaged, or is none of SQLite's; the text says what can be done."""

    @classmethod
    def by(cls, path: Path, problem: sqlite3.Error | str) -> UnusableDatabase:
        """Make one of what SQLite says."""
        if isinstance(problem, sqlite3.OperationalError):  # full disk, no permission, locked: the file may be well
            return cls(f"cannot use {path}: {problem}")
        return cls(
            f"{path} is damaged ({problem}): restore it from a copy, "
            f"or move {path.parent} aside and begin anew, without its containers and images"
        )


class NewerDatabase(UnusableDatabase):
    """The file was written by a later version of the program."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} has version {found} and this program knows versions up to {known}: "
            "use the newer sampand that wrote it, or another --data-root"
        )
        self.path, self.found, self.known = path, found, known


class Database:
    """A SQLite file in WAL mode with synchronous=FULL."""

    def __init__(self, path: Path) -> None:
        """Open or make `path` and bring its tables up to date.

        Raises UnusableDatabase.
        """
        self._path = path
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        connection = _open(path)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run, args=(connection,), name="sqlite-writer", daemon=True)
        self._writer.start()

    def write(self, fn: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run `fn` in a transaction on the writer thread; the future is done once it is on the disk.

        If `fn` raises, what it did is rolled back and the future has its error.
        """
        if self._closed:
            raise RuntimeError(f"{self._path} is closed")
        future: Future[T] = Future()
        self._queue.put(_Write(fn, future))
        return future

    def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` on this thread with a connection that can't write."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            with self._readers_lock:
                self._readers.append(connection)
        return fn(connection)

    def close(self) -> None:
        """Finish the writes that are queued, then close; again: nothing."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join()
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        _set_modes(connection)
        return connection

    def _run(self, connection: sqlite3.Connection) -> None:
        """The writer thread: take what is queued, commit it together, answer."""
        ending = False
        while not ending:
            first = self._queue.get()
            batch = [] if first is None else [first]
            ending = first is None
            while not ending and len(batch) < BATCH and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    ending = True
                else:
                    batch.append(item)
            if batch:
                _commit(connection, batch)
        connection.close()


class _Write:
    """A function that waits for the writer, and where its answer goes."""

    __slots__ = ("error", "fn", "future", "value")

    def __init__(self, fn: Callable[[sqlite3.Connection], T], future: Future[T]) -> None:
        self.fn, self.future = fn, future
        self.value: object = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Run inside a savepoint; remember the value or the error."""
        connection.execute("SAVEPOINT one")
        try:
            self.value = self.fn(connection)
        except BaseException as error:  # noqa: BLE001 - handed to whoever asked, through the future
            self.error = error
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def answer(self) -> None:
        """Resolve the future; a future that was cancelled wants no answer."""
        if not self.future.set_running_or_notify_cancel():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)  # type: ignore[arg-type]  # T was checked by write()


def _commit(connection: sqlite3.Connection, batch: list[_Write]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for item in batch:
            item.run(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:  # disk full, I/O error: none of the batch happened
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for item in batch:
            item.error = item.error or error
    for item in batch:
        item.answer()


def _open(path: Path) -> sqlite3.Connection:
    """Open the file for the writer, whole and up to date. Raises UnusableDatabase."""
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        found = _check_version(connection, path)
        _set_modes(connection)
        _check_whole(connection, path)
        _migrate(connection, found)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise UnusableDatabase.by(path, error) from error
        raise
    return connection


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Look for damage in the whole file, which is small: containers of a file that lost some would be swept away."""
    result: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        raise UnusableDatabase.by(path, " ".join(result.split()))


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the file's version, before anything in it is touched."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > len(MIGRATIONS):
        raise NewerDatabase(path, found, len(MIGRATIONS))
    return found


def _set_modes(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(connection: sqlite3.Connection, found: int) -> None:
    for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
        # executescript takes no part in a transaction of ours, so the script carries its own.
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
