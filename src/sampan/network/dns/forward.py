"""Names that are not ours: asked of the host's servers, or of those that --dns names.

Where.  From the sandbox's own network namespace, as dockerd does: so a container on an internal network reaches no
        server outside (and gets SERVFAIL), the host's firewall sees who asks, and `--dns 127.0.0.1` is the
        container's own. Only a server that the host alone can reach (its loopback, a link-local address, IPv6 for a
        container without) is asked from the host's namespace, and only for a sandbox that may talk to the outside.
How.    The packet goes on as it came (EDNS, cookies, DNSSEC bits), under a random number, from a socket and a random
        port of its own that takes packets of that server only. Over TCP when the client came over TCP; a truncated
        answer is passed on, and the client comes again over TCP.
Bounds. A number of questions under way for all sandboxes, because each holds a descriptor, a quarter of it for one, and
        at most 1,024 (dockerd's number): one more is REFUSED at once. 4 s for a server, then the next.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sampan.linux import netlink
from sampan.network.dns import wire
from sampan.network.dns.wire import Question
from sampan.network.resolvconf import Upstream

SERVER_S: Final = 4.0  # seconds for one server; dockerd's extIOTimeout
SANDBOX_LIMIT: Final = 1024  # questions under way; dockerd's maxConcurrent
_TOTAL_LIMIT: Final = 4096  # of all sandboxes, where the descriptors of this process allow it
_STRANGERS: Final = 16  # packets that are no answer to the question; more: somebody floods that port
_ANSWER_LIMIT: Final = 65535  # bytes


class Exits:
    """What all sandboxes share: the number of questions under way, and the thread that makes sockets in namespaces."""

    def __init__(self, limit: int | None = None) -> None:
        """Allow ``limit`` questions at once; by default a quarter of this process's descriptors, at most 4,096."""
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limit = limit if limit is not None else min(soft // 4, _TOTAL_LIMIT)
        self.under_way = 0
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="dns-sockets")

    async def open(self, netns: int | None, family: int, kind: int) -> socket.socket:
        """Return a non-blocking socket of the namespace (None: the host's). Raises OSError."""
        if netns is None:
            return _open(None, family, kind)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _open, netns, family, kind)

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(wait=False)


def _open(netns: int | None, family: int, kind: int) -> socket.socket:
    flags = kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    if netns is None:
        return socket.socket(family, flags)
    with netlink.inside(netns):
        return socket.socket(family, flags)


class Forwarder:
    """Asks for one sandbox."""

    def __init__(self, exits: Exits, netns: int, upstream: Sequence[Upstream], *, external: bool) -> None:
        """Ask ``upstream`` in this order from the namespace of ``netns``, a descriptor that stays the caller's.

        ``external``: the sandbox is on a network that leads outside, so that servers which only the host reaches may
        be asked for it too. Both may be changed at any time.
        """
        self.upstream, self.external = upstream, external
        self.under_way = 0
        self._limit = min(SANDBOX_LIMIT, exits.limit // 4)
        self._exits, self._netns = exits, os.dup(netns)

    def close(self) -> None:
        """Let the namespace go; questions under way must have been cancelled."""
        os.close(self._netns)

    async def ask(self, packet: bytes, question: Question, *, tcp: bool) -> bytes:
        """Return the first good answer, numbered as the client has it; SERVFAIL or REFUSED when there is none."""
        if self.under_way >= self._limit or self._exits.under_way >= self._exits.limit:
            return wire.failure(question, packet, wire.REFUSED)
        self.under_way += 1
        self._exits.under_way += 1
        try:
            return await self._ask_each(packet, question, tcp)
        finally:
            self.under_way -= 1
            self._exits.under_way -= 1

    async def _ask_each(self, packet: bytes, question: Question, tcp: bool) -> bytes:
        for server in tuple(self.upstream):
            if server.from_host and not self.external:
                continue
            reply = await self._ask_one(server, packet, question, tcp)
            if reply is not None and wire.code(reply) not in (wire.SERVER_FAILURE, wire.REFUSED):
                return wire.with_ident(reply, question.ident)
        return wire.failure(question, packet, wire.SERVER_FAILURE)

    async def _ask_one(self, server: Upstream, packet: bytes, question: Question, tcp: bool) -> bytes | None:
        """Return the server's answer; None when it can't be reached or says nothing sensible in time."""
        ident = int.from_bytes(os.urandom(2), "big")
        query = wire.with_ident(packet, ident)
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        netns = None if server.from_host else self._netns
        try:
            async with asyncio.timeout(SERVER_S):
                with await self._exits.open(netns, family, kind) as one:
                    await asyncio.get_running_loop().sock_connect(one, _address(server))
                    reply = await (_over_tcp if tcp else _over_udp)(one, query, ident, question)
        except (OSError, TimeoutError):  # unreachable, refused, cut off, silent: the next server may do better
            return None
        return reply


def _address(server: Upstream) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the socket address. Raises OSError for an interface that isn't there."""
    address, _, zone = server.address.partition("%")
    if ":" not in address:
        return address, server.port
    return address, server.port, 0, socket.if_nametoindex(zone) if zone else 0


async def _over_udp(one: socket.socket, query: bytes, ident: int, question: Question) -> bytes | None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(one, query)
    for _ in range(_STRANGERS):
        reply = await loop.sock_recv(one, _ANSWER_LIMIT)
        if wire.answers_to(reply, ident, query, question):
            return reply
    return None


async def _over_tcp(one: socket.socket, query: bytes, ident: int, question: Question) -> bytes | None:
    await asyncio.get_running_loop().sock_sendall(one, len(query).to_bytes(2, "big") + query)
    size = int.from_bytes(await _read(one, 2), "big")
    reply = await _read(one, size)
    return reply if wire.answers_to(reply, ident, query, question) else None


async def _read(one: socket.socket, size: int) -> bytes:
    """Read exactly ``size`` bytes. Raises ConnectionError at an early end."""
    found = b""
    while len(found) < size:
        more = await asyncio.get_running_loop().sock_recv(one, size - len(found))
        if not more:
            raise ConnectionError("the server closed the connection")
        found += more
    return found
