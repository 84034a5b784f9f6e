"""Leases in the database, and what `Leases` makes of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.image.leases import KEPT_NS, LeaseRow, Leases
from sampan.state.database import Database
from sampan.state.leases import SqlLeaseRows

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database of its own."""
    one = Database(tmp_path / "state.db")
    yield one
    one.close()


def test_rows_come_back_as_they_were(database: Database) -> None:
    rows = SqlLeaseRows(database)
    first, second = LeaseRow("pull b:1", 1, 2, ("sha256:a", "sha256:b")), LeaseRow("pull a:ü", 3, 4)
    rows.put(first)
    rows.put(second)
    assert rows.all() == [second, first]
    rows.put(LeaseRow("pull b:1", 1, 9, ("sha256:c",)))
    assert rows.all()[1] == LeaseRow("pull b:1", 1, 9, ("sha256:c",))
    rows.delete(["pull b:1", "nosuch"])
    assert rows.all() == [second]


def test_a_lease_grows_is_prolonged_and_outlives_its_process(database: Database) -> None:
    clock = iter(range(NOW, NOW + 100)).__next__
    leases = Leases(SqlLeaseRows(database), clock)
    leases.add("pull a:1", ["sha256:2", "sha256:1"])
    leases.add("pull a:1", ["sha256:2", "sha256:3"])
    expected = LeaseRow("pull a:1", NOW, NOW + 1 + KEPT_NS, ("sha256:1", "sha256:2", "sha256:3"))
    again = Leases(SqlLeaseRows(database), clock)
    assert leases.list() == again.list() == [expected]
    assert again.held(NOW + KEPT_NS) == {"sha256:1", "sha256:2", "sha256:3"}
    assert again.held(NOW + 1 + KEPT_NS) == set()
    assert again.release("pull a:1") == set(expected.digests)
    assert again.release("pull a:1") == set()
    assert SqlLeaseRows(database).all() == []


def test_expired_ones_are_forgotten_and_others_are_not(database: Database) -> None:
    rows = SqlLeaseRows(database)
    rows.put(LeaseRow("old", 0, NOW, ("sha256:1",)))
    rows.put(LeaseRow("young", 0, NOW + 1, ("sha256:2",)))
    leases = Leases(rows, lambda: NOW)
    assert leases.held(NOW) == {"sha256:2"}
    leases.expire(NOW)
    assert [lease.name for lease in rows.all()] == [lease.name for lease in leases.list()] == ["young"]
