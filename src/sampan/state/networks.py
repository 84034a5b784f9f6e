"""The rows of networks in SQLite: implements ``sampan.network.rows.NetworkRows``.

That no address is given twice is the table's own rule (`addresses` has the network and the address as its key), beside
the choice inside the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.network import pools
from sampan.network.errors import AlreadyConnected, NetworkInUse, NetworkNameTaken, NoSuchNetwork, PoolOverlap
from sampan.network.model import Endpoint, Network
from sampan.network.rows import SandboxRow

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sampan.state.database import Database

MIGRATION: Final = """
    CREATE TABLE networks (
        id       TEXT PRIMARY KEY,              -- 64 hexadecimal digits
        name     TEXT NOT NULL UNIQUE,
        created  INTEGER NOT NULL,              -- nanoseconds since 1970
        document BLOB NOT NULL                  -- JSON: the whole network, never changed after
    ) WITHOUT ROWID;
    CREATE TABLE sandboxes (
        id       TEXT PRIMARY KEY,              -- of the container that the namespace was made for
        document BLOB NOT NULL                  -- JSON
    ) WITHOUT ROWID;
    CREATE TABLE endpoints (
        number     INTEGER PRIMARY KEY,         -- the order in which they were added
        id         TEXT NOT NULL UNIQUE,        -- 64 hexadecimal digits
        network_id TEXT NOT NULL REFERENCES networks (id),
        sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
        document   BLOB NOT NULL,               -- JSON: the whole endpoint
        UNIQUE (network_id, sandbox_id)
    );
    CREATE INDEX endpoints_by_sandbox ON endpoints (sandbox_id);
    CREATE TABLE addresses (
        network_id  TEXT NOT NULL,
        address     TEXT NOT NULL,              -- "172.18.0.2", canonical, of either family
        endpoint_id TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
        PRIMARY KEY (network_id, address)
    ) WITHOUT ROWID;
    CREATE INDEX addresses_by_endpoint ON addresses (endpoint_id);
"""

_encode: Final = msgspec.json.Encoder().encode
_network: Final = msgspec.json.Decoder(Network).decode
_endpoint: Final = msgspec.json.Decoder(Endpoint).decode
_sandbox: Final = msgspec.json.Decoder(SandboxRow).decode


class SqlNetworkRows:
    """Networks, sandboxes and endpoints, each write one transaction."""

    def __init__(self, database: Database) -> None:
        """Keep the rows in ``database``, whose migrations include ``MIGRATION``."""
        self._database = database

    def networks(self) -> list[Network]:
        """Return every network, oldest first."""
        return self._database.read(_networks)

    def sandboxes(self) -> list[SandboxRow]:
        """Return every open sandbox, by id."""
        return [_sandbox(row[0]) for row in self._select("SELECT document FROM sandboxes ORDER BY id")]

    def endpoints(self) -> list[Endpoint]:
        """Return every endpoint; those of a sandbox in the order in which they were added."""
        return [_endpoint(row[0]) for row in self._select("SELECT document FROM endpoints ORDER BY number")]

    def add_network(self, make: Callable[[Sequence[Network]], Network]) -> Future[Network]:
        """Add what ``make`` returns, which is given all networks."""
        return self._database.write(lambda connection: _add_network(connection, make))

    def check_unused(self, network_id: str) -> Future[None]:
        """See that a network can be removed; NetworkInUse, NoSuchNetwork."""
        return self._database.write(lambda connection: _check_unused(connection, network_id))

    def remove_network(self, network_id: str) -> Future[None]:
        """Forget a network; NetworkInUse, NoSuchNetwork."""
        return self._database.write(lambda connection: _remove_network(connection, network_id))

    def open_sandbox(self, row: SandboxRow) -> Future[None]:
        """Add a sandbox, or replace its row."""
        sql = "INSERT INTO sandboxes VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document"
        return self._change(sql, row.id, _encode(row))

    def close_sandbox(self, sandbox_id: str) -> Future[None]:
        """Forget a sandbox, its endpoints and their addresses."""
        return self._change("DELETE FROM sandboxes WHERE id = ?", sandbox_id)

    def add_endpoint(self, endpoint: Endpoint, *, ipv4: str = "", ipv6: str = "") -> Future[Endpoint]:
        """Add an endpoint with addresses of its network."""
        return self._database.write(lambda connection: _add_endpoint(connection, endpoint, ipv4, ipv6))

    def update_endpoint(self, endpoint: Endpoint) -> Future[None]:
        """Replace what is known of an endpoint, but for its network, sandbox and addresses."""
        return self._database.write(lambda connection: _update_endpoint(connection, endpoint))

    def remove_endpoint(self, endpoint_id: str) -> Future[None]:
        """Forget an endpoint and its addresses."""
        return self._change("DELETE FROM endpoints WHERE id = ?", endpoint_id)

    def _select(self, sql: str) -> list[tuple[bytes]]:
        return self._database.read(lambda connection: connection.execute(sql).fetchall())

    def _change(self, sql: str, *values: str | bytes) -> Future[None]:
        def write(connection: Connection) -> None:
            connection.execute(sql, values)

        return self._database.write(write)


def _networks(connection: Connection) -> list[Network]:
    return [_network(row[0]) for row in connection.execute("SELECT document FROM networks ORDER BY created, id")]


def _find_network(connection: Connection, network_id: str) -> Network:
    row = connection.execute("SELECT document FROM networks WHERE id = ?", (network_id,)).fetchone()
    if row is None:
        raise NoSuchNetwork(network_id)
    return _network(row[0])


def _add_network(connection: Connection, make: Callable[[Sequence[Network]], Network]) -> Network:
    others = _networks(connection)
    network = make(others)
    if any(one.name == network.name for one in others):
        raise NetworkNameTaken(network.name)
    _check_apart(network, others)
    values = (network.id, network.name, network.created_ns, _encode(network))
    connection.execute("INSERT INTO networks VALUES (?, ?, ?, ?)", values)
    return network


def _check_apart(network: Network, others: Sequence[Network]) -> None:
    """Raise PoolOverlap when subnets of ``network`` are another's too: whoever planned it didn't look."""
    for other in others:
        for theirs in other.ipv4 + other.ipv6:
            for mine in network.ipv4 + network.ipv6:
                if ip_network(mine.subnet).overlaps(ip_network(theirs.subnet)):
                    raise PoolOverlap


def _check_unused(connection: Connection, network_id: str) -> None:
    network = _find_network(connection, network_id)
    if connection.execute("SELECT 1 FROM endpoints WHERE network_id = ? LIMIT 1", (network_id,)).fetchone():
        raise NetworkInUse(network.name, network.id)


def _remove_network(connection: Connection, network_id: str) -> None:
    _check_unused(connection, network_id)
    connection.execute("DELETE FROM networks WHERE id = ?", (network_id,))


def _add_endpoint(connection: Connection, endpoint: Endpoint, ipv4: str, ipv6: str) -> Endpoint:
    network = _find_network(connection, endpoint.network_id)
    both = (network.id, endpoint.sandbox_id)
    if connection.execute("SELECT 1 FROM endpoints WHERE network_id = ? AND sandbox_id = ?", both).fetchone():
        name = endpoint.dns_names[0] if endpoint.dns_names else endpoint.sandbox_id[:12]
        raise AlreadyConnected(name, network.name)
    rows = connection.execute("SELECT address FROM addresses WHERE network_id = ?", (network.id,))
    four, six = pools.choose(network, [row[0] for row in rows], ipv4=ipv4, ipv6=ipv6)
    endpoint = replace(endpoint, ipv4=four, ipv6=six, mac=endpoint.mac or pools.mac_for(four))
    connection.execute(
        "INSERT INTO endpoints (id, network_id, sandbox_id, document) VALUES (?, ?, ?, ?)",
        (endpoint.id, endpoint.network_id, endpoint.sandbox_id, _encode(endpoint)),
    )
    given = [(network.id, text.partition("/")[0], endpoint.id) for text in (four, six) if text]
    connection.executemany("INSERT INTO addresses VALUES (?, ?, ?)", given)
    return endpoint


def _update_endpoint(connection: Connection, endpoint: Endpoint) -> None:
    row = connection.execute("SELECT document FROM endpoints WHERE id = ?", (endpoint.id,)).fetchone()
    if row is None:
        return
    known = _endpoint(row[0])
    kept = replace(endpoint, network_id=known.network_id, sandbox_id=known.sandbox_id, ipv4=known.ipv4, ipv6=known.ipv6)
    connection.execute("UPDATE endpoints SET document = ? WHERE id = ?", (_encode(kept), endpoint.id))
