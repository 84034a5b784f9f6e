"""Who is called what: the names of containers on each network, and what each sandbox may ask for.

Words.  *place*: a sandbox's endpoint on a network. *link*: a name that one sandbox has for another (--link on a
        user-defined network): it hides a container of that name. *owner*: the endpoint that a name stands for.
Sight.  A sandbox sees the names of the networks that it is on: "web", or "web.mynet" with the network as the domain.
        Where several of its networks have the name, the first answers: highest priority, internal ones last, then by
        the network's name (libnetwork's order). Names of the default bridge are in nobody's table: Docker has none.
Forms.  Names are bytes as in a packet, in lower case, labels joined by dots, without the last dot. Addresses are
        packed: 4 or 16 bytes.
Life.   Belongs to the event loop: no locks.  add_network → put (again: replaced, a rename) → drop → remove_network.
Cost.   A look-up is O(networks of the sandbox); a change O(names of the endpoint).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from sampan.network.model import DEFAULT_NETWORK, Endpoint, Network

LABEL_LIMIT: Final = 63  # bytes of a label (RFC 1035, section 2.3.4)
NAME_LIMIT: Final = 253  # bytes of a name in this form: 255 on the wire


@dataclass(slots=True)
class _Table:
    """The names of one network."""

    network: Network
    domain: bytes  # its name
    addresses: dict[int, dict[bytes, dict[str, bytes]]] = field(default_factory=lambda: {4: {}, 6: {}})
    reverse: dict[bytes, bytes] = field(default_factory=dict)  # address → full name


@dataclass(frozen=True, slots=True)
class _Place:
    """One endpoint, as it was put."""

    endpoint: Endpoint
    table: _Table
    names: tuple[bytes, ...]
    links: dict[bytes, bytes]  # alias → name of the other
    order: tuple[int, bool, int, str]


class Names:
    """The names of all networks of this engine."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._places: dict[str, _Place] = {}  # by endpoint
        self._sights: dict[str, list[_Place]] = {}  # by sandbox, in the order in which they are asked

    def add_network(self, network: Network) -> None:
        """Begin a table; ignored when it is there."""
        if network.id not in self._tables:
            self._tables[network.id] = _Table(network, form(network.name))

    def remove_network(self, network_id: str) -> None:
        """Forget a table and the places on it; ignored when unknown."""
        for place in [one for one in self._places.values() if one.endpoint.network_id == network_id]:
            self.drop(place.endpoint.id)
        self._tables.pop(network_id, None)

    def put(self, endpoint: Endpoint) -> None:
        """Enter an endpoint with its names and links, or replace what is known of it.

        Raises KeyError when its network was not added.
        """
        self.drop(endpoint.id)
        table = self._tables[endpoint.network_id]
        named = table.network.name != DEFAULT_NETWORK
        place = _Place(
            endpoint,
            table,
            tuple(filter(fits, map(form, endpoint.dns_names))) if named else (),
            dict(map(_link, endpoint.links)) if named else {},
            _order(endpoint, table.network),
        )
        self._places[endpoint.id] = place
        sight = self._sights.setdefault(endpoint.sandbox_id, [])
        sight.append(place)
        sight.sort(key=lambda one: one.order)
        for version, packed in _addresses(endpoint):
            for name in place.names:
                table.addresses[version].setdefault(name, {})[endpoint.id] = packed
            if place.names and fits(full := place.names[0] + b"." + table.domain):
                table.reverse[packed] = full

    def drop(self, endpoint_id: str) -> None:
        """Forget an endpoint; ignored when unknown."""
        place = self._places.pop(endpoint_id, None)
        if place is None:
            return
        sight = self._sights[place.endpoint.sandbox_id]
        sight.remove(place)
        if not sight:
            del self._sights[place.endpoint.sandbox_id]
        for version, packed in _addresses(place.endpoint):
            place.table.reverse.pop(packed, None)
            for name in place.names:
                owners = place.table.addresses[version][name]
                del owners[endpoint_id]
                if not owners:
                    del place.table.addresses[version][name]

    def resolve(self, sandbox_id: str, name: bytes, version: int) -> list[bytes] | None:
        """Return the addresses (of IP ``version``) that a sandbox finds under ``name``.

        Empty: the name is there and has none of that family. None: nobody is called that here.
        """
        sight = self._sights.get(sandbox_id, ())
        found = _resolve_in(sight, name, version) if sight else None
        if found is None and b"." in name:
            # The longest head first: a container may be called "a.b", and a network "c.d".
            for place in sorted(sight, key=lambda one: len(one.table.domain)):
                head = name.removesuffix(b"." + place.table.domain)
                if head != name and (found := _resolve_in([place], head, version)) is not None:
                    break
        return found

    def reverse(self, sandbox_id: str, packed: bytes) -> bytes | None:
        """Return the name (with its network as the domain) of an address on a sandbox's networks."""
        for place in self._sights.get(sandbox_id, ()):
            if found := place.table.reverse.get(packed):
                return found
        return None


def form(name: str) -> bytes:
    """Return a name as it is looked up: DNS knows no case (of ASCII letters)."""
    return name.encode("utf-8", "surrogateescape").lower().rstrip(b".")


def fits(name: bytes) -> bool:
    """Tell whether a name can be asked for: a container may have names that can't."""
    return 0 < len(name) <= NAME_LIMIT and all(0 < len(label) <= LABEL_LIMIT for label in name.split(b"."))


def _link(text: str) -> tuple[bytes, bytes]:
    """Parse "container:alias"; without an alias it is the container's name."""
    name, _, alias = text.partition(":")
    return form(alias or name), form(name)


def _order(endpoint: Endpoint, network: Network) -> tuple[int, bool, int, str]:
    gateways = bool(network.gateway(endpoint.ipv4)) + 2 * bool(network.gateway(endpoint.ipv6))
    return (-endpoint.priority, network.internal, -gateways, network.name)


def _addresses(endpoint: Endpoint) -> Iterator[tuple[int, bytes]]:
    for version, text in ((4, endpoint.ipv4), (6, endpoint.ipv6)):
        if text:
            yield version, ip_address(text.partition("/")[0]).packed


def _resolve_in(places: list[_Place], name: bytes, version: int) -> list[bytes] | None:
    """Ask the places' networks: first for the sandbox's own links, then for containers."""
    known = False
    for by_link in (True, False):
        for place in places:
            target = place.links.get(name)
            if by_link is (target is None):  # a name that is a link is looked up as one only
                continue
            wanted = target if target is not None else name
            tables = place.table.addresses
            if owners := tables[version].get(wanted):
                return list(dict.fromkeys(owners.values()))
            known = known or wanted in tables[10 - version]
        if known:
            return []
    return None
