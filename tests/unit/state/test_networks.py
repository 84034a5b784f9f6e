"""The rows of networks: no address is given twice, wherever a crash falls."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sampan.network import pools
from sampan.network.errors import (
    AddressInUse,
    AlreadyConnected,
    NetworkInUse,
    NetworkNameTaken,
    NoAddressLeft,
    NoSuchNetwork,
    PoolOverlap,
)
from sampan.network.model import Endpoint, Network, Pool, Publication
from sampan.network.rows import NetworkRows, SandboxRow
from sampan.state.database import Database
from sampan.state.networks import SqlNetworkRows

T = TypeVar("T")
MINE = Network("a" * 64, "mine", ipv4=(Pool("10.0.0.0/29", "10.0.0.1"),), labels={"x": "y"}, created_ns=1)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[NetworkRows]:
    database = Database(tmp_path / "state.db")
    yield SqlNetworkRows(database)
    database.close()


def add(rows: NetworkRows, network: Network) -> Network:
    return rows.add_network(lambda _: network).result()


def connect(rows: NetworkRows, number: int, sandbox: str = "", **wanted: str) -> Endpoint:
    sandbox = sandbox or f"s{number}"
    rows.open_sandbox(SandboxRow(sandbox, "boot")).result()
    return rows.add_endpoint(Endpoint(f"{number:064x}", MINE.id, sandbox, dns_names=("web",)), **wanted).result()


def test_a_network_comes_back_as_it_was(rows: NetworkRows) -> None:
    add(rows, MINE)
    other = replace(MINE, id="b" * 64, name="other", ipv4=(), config_given=({"Subnet": "x"},), created_ns=0)
    add(rows, other)
    assert rows.networks() == [other, MINE]
    rows.remove_network(MINE.id).result()
    assert rows.networks() == [other]
    with pytest.raises(NoSuchNetwork, match=r"network a+ not found"):
        rows.remove_network(MINE.id).result()


def test_a_name_or_a_subnet_is_taken_once(rows: NetworkRows) -> None:
    add(rows, MINE)
    with pytest.raises(NetworkNameTaken, match="network with name mine already exists"):
        add(rows, replace(MINE, id="b" * 64, ipv4=()))
    with pytest.raises(PoolOverlap):
        add(rows, replace(MINE, id="b" * 64, name="other", ipv4=(Pool("10.0.0.0/24"),)))
    assert rows.networks() == [MINE]


def test_the_pools_of_a_network_are_planned_in_the_transaction(rows: NetworkRows) -> None:
    def make(number: int) -> Callable[[Sequence[Network]], Network]:
        def one(others: Sequence[Network]) -> Network:
            ipv4, ipv6 = pools.plan((), pools.Surroundings(others=others), enable_ipv6=False)
            return Network(f"{number:064x}", f"n{number}", ipv4=ipv4, ipv6=ipv6)

        return one

    futures = [rows.add_network(make(number)) for number in range(5)]
    assert [future.result().ipv4[0].subnet for future in futures] == [f"172.{17 + n}.0.0/16" for n in range(5)]


def test_an_endpoint_gets_addresses_and_a_link_address(rows: NetworkRows) -> None:
    add(rows, MINE)
    one, two = connect(rows, 1), connect(rows, 2)
    assert (one.ipv4, one.mac) == ("10.0.0.2/29", "02:42:0a:00:00:02") and two.ipv4 == "10.0.0.3/29"
    assert rows.endpoints() == [one, two]
    with pytest.raises(AddressInUse):
        connect(rows, 3, ipv4="10.0.0.2")
    rows.remove_endpoint(one.id).result()
    assert connect(rows, 4).ipv4 == "10.0.0.2/29"


def test_a_sandbox_is_on_a_network_once_and_a_used_network_stays(rows: NetworkRows) -> None:
    add(rows, MINE)
    connect(rows, 1, "s")
    with pytest.raises(AlreadyConnected, match="endpoint with name web already exists in network "):
        connect(rows, 2, "s")
    with pytest.raises(NetworkInUse, match=r"error while removing network: network mine id a+ has active endpoints"):
        rows.remove_network(MINE.id).result()
    rows.close_sandbox("s").result()
    assert rows.endpoints() == [] and rows.sandboxes() == []
    rows.remove_network(MINE.id).result()


def test_an_endpoint_needs_a_network_and_a_sandbox(rows: NetworkRows) -> None:
    with pytest.raises(NoSuchNetwork):
        connect(rows, 1)
    add(rows, MINE)
    with pytest.raises(sqlite3.IntegrityError):
        rows.add_endpoint(Endpoint("1", MINE.id, "nobody")).result()


def test_when_all_is_given_docker_says_so(rows: NetworkRows) -> None:
    add(rows, MINE)
    for number in range(5):
        connect(rows, number)
    with pytest.raises(NoAddressLeft):
        connect(rows, 9)


def test_what_is_known_of_an_endpoint_changes_but_not_its_addresses(rows: NetworkRows) -> None:
    add(rows, MINE)
    one = connect(rows, 1)
    rows.update_endpoint(replace(one, dns_names=("renamed",), interface="eth0", ipv4="10.0.0.6/29")).result()
    assert rows.endpoints() == [replace(one, dns_names=("renamed",), interface="eth0")]
    rows.update_endpoint(replace(one, id="unknown")).result()
    assert len(rows.endpoints()) == 1


def test_a_sandbox_comes_back_as_it_was(rows: NetworkRows) -> None:
    one = SandboxRow("s", "boot", (Publication("s", "tcp", "0.0.0.0", 8080, 80, "10.0.0.2"),))
    rows.open_sandbox(one).result()
    assert rows.sandboxes() == [one]
    rows.open_sandbox(replace(one, boot_id="next", publications=())).result()
    assert rows.sandboxes() == [SandboxRow("s", "next")]


# --- crashes ---------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone in the middle of a transaction."""


class Fuse:
    """A connection that ends before its n-th statement."""

    def __init__(self, connection: sqlite3.Connection, left: int) -> None:
        self._connection, self._left = connection, left

    def __getattr__(self, name: str) -> Any:
        if self._left == 0:
            raise Crash
        self._left -= 1
        return getattr(self._connection, name)


class Crashing(Database):
    """A database of a process that dies: ``blow`` statements into a write, its files are as a crash leaves them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.blow: int | None = None
        self.left: Path | None = None

    def write(self, fn: Callable[[sqlite3.Connection], T]) -> Future[T]:
        blow, self.blow = self.blow, None
        if blow is None:
            return super().write(fn)

        def crashing(connection: sqlite3.Connection) -> T:
            try:
                return fn(Fuse(connection, blow))  # type: ignore[arg-type]
            except Crash:
                self.left = Path(tempfile.mkdtemp(dir=self._path.parent)) / "state.db"
                for kind in ("", "-wal"):  # not -shm: memory is gone with the process
                    shutil.copy(f"{self._path}{kind}", f"{self.left}{kind}")
                raise

        return super().write(crashing)


class Addresses(RuleBasedStateMachine):
    """Sandboxes come and go on two networks, and now and then the process dies."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="sampan-rows-"))
        self.database = Crashing(self.home / "state.db")
        self.rows = SqlNetworkRows(self.database)
        self.networks = [
            add(self.rows, MINE),
            add(
                self.rows,
                Network(
                    "b" * 64,
                    "both",
                    ipv4=(Pool("10.1.0.0/29", "10.1.0.2", ip_range="10.1.0.4/30"),),
                    ipv6=(Pool("fd00::/125", "fd00::1", aux={"x": "fd00::4"}),),
                    enable_ipv6=True,
                ),
            ),
        ]
        self.known: dict[str, Endpoint] = {}
        self.number = 0

    def settle(self, future: Future[T]) -> T | None:
        """The answer; after a crash: a new process on what the old one left, and None."""
        try:
            return future.result()
        except Crash:
            assert self.database.left is not None
            left = self.database.left
            self.database.close()
            self.database = Crashing(left)
            self.rows = SqlNetworkRows(self.database)
            return None
        except (NoAddressLeft, AddressInUse, AlreadyConnected):
            return None

    @rule(
        network=st.integers(0, 1),
        sandbox=st.integers(0, 5),
        wanted=st.none() | st.integers(0, 7),
        blow=st.none() | st.integers(0, 6),
    )
    def connect(self, network: int, sandbox: int, wanted: int | None, blow: int | None) -> None:
        self.settle(self.rows.open_sandbox(SandboxRow(f"s{sandbox}", "boot")))
        self.number += 1
        one = Endpoint(f"{self.number:064x}", self.networks[network].id, f"s{sandbox}")
        self.database.blow = blow
        address = "" if wanted is None else f"10.{network}.0.{wanted}"
        made = self.settle(self.rows.add_endpoint(one, ipv4=address))
        if made is not None:
            self.known[made.id] = made
            assert not address or made.ipv4 == f"{address}/29"

    @rule(sandbox=st.integers(0, 5), blow=st.none() | st.integers(0, 1))
    def close(self, sandbox: int, blow: int | None) -> None:
        self.database.blow = blow
        self.settle(self.rows.close_sandbox(f"s{sandbox}"))
        there = {one.id for one in self.rows.endpoints()}
        gone = {key for key, one in self.known.items() if one.sandbox_id == f"s{sandbox}"}
        assert there.isdisjoint(gone) or gone <= there  # all or nothing
        self.known = {key: one for key, one in self.known.items() if key in there}

    @rule(data=st.data(), blow=st.none() | st.integers(0, 2))
    def disconnect(self, data: st.DataObject, blow: int | None) -> None:
        if not self.known:
            return
        one = data.draw(st.sampled_from(sorted(self.known)))
        self.database.blow = blow
        self.settle(self.rows.remove_endpoint(one))
        if one not in {endpoint.id for endpoint in self.rows.endpoints()}:
            del self.known[one]

    @rule(data=st.data(), blow=st.none() | st.integers(0, 3))
    def rename(self, data: st.DataObject, blow: int | None) -> None:
        if not self.known:
            return
        one = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        self.database.blow = blow
        self.settle(self.rows.update_endpoint(replace(one, dns_names=("n",), ipv4="10.0.0.9/29")))
        found = next(endpoint for endpoint in self.rows.endpoints() if endpoint.id == one.id)
        assert found in (one, replace(one, dns_names=("n",)))
        self.known[one.id] = found

    @invariant()
    def what_was_answered_is_there_and_no_address_is_given_twice(self) -> None:
        assert {one.id: one for one in self.rows.endpoints()} == self.known
        given = [(one.network_id, text) for one in self.known.values() for text in (one.ipv4, one.ipv6) if text]
        assert len(given) == len(set(given))

    @invariant()
    def no_address_is_left_to_nobody(self) -> None:
        found = self.database.read(lambda c: c.execute("SELECT network_id, address FROM addresses").fetchall())
        assert sorted(found) == sorted(
            (one.network_id, text.partition("/")[0])
            for one in self.known.values()
            for text in (one.ipv4, one.ipv6)
            if text
        )

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.home)


TestAddresses = Addresses.TestCase
TestAddresses.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
