"""A sandbox, one network namespace as sampand keeps it, and the wishes that it begins with.

Words.  *wish*: a network that a sandbox is to be on, and how. *kept*: what must outlive sampand, which the
        sandbox's monitor holds: sockets of its published ports and of its resolver, the namespace itself.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sampan.network import reach
from sampan.network.dns.server import Resolver
from sampan.network.endpoint import Place
from sampan.network.model import OPTION_INTERFACE_PREFIX, Endpoint, Network, Publication
from sampan.network.ports import Reserved

_PORT: Final = "port:"


@dataclass(frozen=True, slots=True)
class Wish:
    """A network that a sandbox is to be on."""

    network: Network
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    priority: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Sandbox:
    """One network namespace, from its addresses to its end."""

    id: str
    endpoints: dict[str, Endpoint] = field(default_factory=dict)  # by network, in the order of connecting
    publications: tuple[Publication, ...] = ()
    served: bool = False  # there may be flows that were translated to it, of publications that changed since
    reserved: list[Reserved] = field(default_factory=list)  # until the monitor has them
    netns: int = -1
    resolver: Resolver | None = None
    holders: dict[str, socket.socket] = field(default_factory=dict)  # see `sampan.network.relaying`
    relays: dict[str, tuple[str, int]] = field(default_factory=dict)  # where they lead to
    in_kernel: bool = False  # it has links and published ports, or is just getting them
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def port_sockets(self) -> dict[str, int]:
        """Return the sockets that hold the published ports, for the monitor, by name."""
        return {port_name(one.publication): one.socket.fileno() for one in self.reserved if one.socket is not None}


def port_name(one: Publication) -> str:
    """Return what the socket that holds a port is called among what a monitor keeps."""
    return f"{_PORT}{one.protocol}:{one.host_ip}:{one.host_port}"


def draft(sandbox_id: str, wish: Wish, number: int | None = None) -> Endpoint:
    """Return an endpoint without addresses; ``number``: of its interface in a new namespace."""
    prefix = wish.network.options.get(OPTION_INTERFACE_PREFIX) or "eth"
    return Endpoint(
        secrets.token_hex(32),
        wish.network.id,
        sandbox_id,
        f"{prefix}{number}" if number is not None else "",
        mac=wish.mac,
        mac_given=bool(wish.mac),
        aliases=wish.aliases,
        dns_names=wish.dns_names,
        links=wish.links,
        priority=wish.priority,
        options=dict(wish.options),
    )


def foreseen(wish: Wish) -> Place:
    """Return the place that a wish will lead to, with addresses that stand for those to come."""
    network, one = reach.unplaced(wish.network, ipv4=wish.ipv4, ipv6=wish.ipv6)
    return network, replace(one, priority=wish.priority)
