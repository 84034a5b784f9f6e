"""The SQLite file: transactions on one thread, migrations, refusal of newer files."""

import sqlite3
import threading
from pathlib import Path

import pytest

from sampan.engine.rows import ContainerRow
from sampan.state.containers import SqlContainerRows
from sampan.state.database import Database, NewerDatabase, UnusableDatabase
from sampan.state.migrations import MIGRATIONS


@pytest.fixture
def database(tmp_path: Path):
    one = Database(tmp_path / "state.db")
    yield one
    one.close()


def row(number: int, name: str | None = None) -> ContainerRow:
    return ContainerRow(f"{number:064x}", name or f"name-{number}", number, "sha256:0", b"{}", b"{}", "boot")


def test_a_new_file_has_every_migration(tmp_path: Path, database: Database) -> None:
    assert database.read(lambda c: c.execute("PRAGMA user_version").fetchone()[0]) == len(MIGRATIONS)


def test_it_is_durable_by_default(database: Database) -> None:
    def modes(connection: sqlite3.Connection) -> tuple[str, int]:
        return (
            connection.execute("PRAGMA journal_mode").fetchone()[0],
            connection.execute("PRAGMA synchronous").fetchone()[0],
        )

    assert database.write(modes).result() == ("wal", 2)


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(NewerDatabase, match="use the newer sampand"):
        Database(path)
    assert path.read_bytes()[:64] == before[:64]


def test_a_file_that_is_none_of_sqlites_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(UnusableDatabase, match=r"state.db is damaged \(file is not a database\): restore it"):
        Database(path)
    assert path.read_bytes() == b"nonsense" * 1000


def test_damage_in_the_middle_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    one = Database(path)
    rows = SqlContainerRows(one)
    for number in range(200):
        rows.insert(row(number)).result()
    one.close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(UnusableDatabase, match="is damaged") as caught:
        Database(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cant_be_opened_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(UnusableDatabase, match=r"^cannot use .*state.db: unable to open database file$"):
        Database(tmp_path / "nono" / "state.db")


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('a', 'b')")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.write(half).result()
    assert database.read(lambda c: c.execute("SELECT count(*) FROM facts").fetchone()[0]) == 0


def test_one_bad_write_does_not_spoil_those_that_share_its_commit(database: Database) -> None:
    gate = threading.Event()
    rows = SqlContainerRows(database)
    blocker = database.write(lambda _c: gate.wait())
    futures = [rows.insert(row(1)), rows.insert(row(2, "name-1")), rows.insert(row(3))]
    gate.set()
    blocker.result()
    assert futures[0].result() is None
    with pytest.raises(sqlite3.IntegrityError):
        futures[1].result()
    assert futures[2].result() is None
    assert [one.name for one in rows.all()] == ["name-1", "name-3"]


def test_close_finishes_what_is_queued(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    rows = SqlContainerRows(database)
    futures = [rows.insert(row(number)) for number in range(200)]
    database.close()
    assert all(future.done() for future in futures)
    again = Database(tmp_path / "state.db")
    assert len(SqlContainerRows(again).all()) == 200
    again.close()
    with pytest.raises(RuntimeError):
        again.write(lambda _c: None)


def test_a_cancelled_write_still_happens_and_harms_nobody(database: Database) -> None:
    gate = threading.Event()
    database.write(lambda _c: gate.wait())
    rows = SqlContainerRows(database)
    future = rows.insert(row(1))
    future.cancel()
    gate.set()
    rows.insert(row(2)).result()
    assert len(rows.all()) == 2


def test_rows_of_containers(database: Database) -> None:
    rows = SqlContainerRows(database)
    rows.insert(row(2)).result()
    rows.insert(row(1)).result()
    rows.set_state(row(1).id, b'{"status":"running"}', "boot2").result()
    rows.rename(row(2).id, "other").result()
    first, second = rows.all()
    assert (first.state, first.boot_id) == (b'{"status":"running"}', "boot2")
    assert second.name == "other"
    rows.delete(first.id).result()
    rows.delete(first.id).result()
    assert [one.name for one in rows.all()] == ["other"]


def test_the_engine_keeps_its_first_id(database: Database) -> None:
    rows = SqlContainerRows(database)
    assert rows.engine_id("one") == "one"
    assert rows.engine_id("two") == "one"
