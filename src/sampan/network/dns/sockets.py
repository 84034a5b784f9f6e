"""The sockets of a resolver, in the network namespace of its sandbox.

They are bound to 127.0.0.11 at ports that the kernel chooses, and 127.0.0.11:53 leads there by a rule of the
namespace's own: so a container can run a DNS server on 0.0.0.0:53. Both keep the namespace alive until they are closed.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from sampan.linux import netlink
from sampan.network.resolvconf import INTERNAL

_BACKLOG: Final = 32


@dataclass(frozen=True, slots=True)
class Sockets:
    """A resolver's two sockets, not blocking; the TCP one listens."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def udp_port(self) -> int:
        """Return the port of the UDP socket."""
        port: int = self.udp.getsockname()[1]
        return port

    @property
    def tcp_port(self) -> int:
        """Return the port of the TCP socket."""
        port: int = self.tcp.getsockname()[1]
        return port

    def close(self) -> None:
        """Close both."""
        self.udp.close()
        self.tcp.close()


def bind(netns: int) -> Sockets:
    """Make the sockets in the namespace of descriptor ``netns``, whose loopback is up. Raises OSError."""
    with netlink.inside(netns):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        udp.bind((INTERNAL, 0))
        tcp.bind((INTERNAL, 0))
        tcp.listen(_BACKLOG)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return Sockets(udp, tcp)


def adopt(udp: int, tcp: int) -> Sockets:
    """Take over descriptors of sockets that were bound before this sampand started."""
    found = Sockets(socket.socket(fileno=udp), socket.socket(fileno=tcp))
    found.udp.setblocking(False)
    found.tcp.setblocking(False)
    return found
