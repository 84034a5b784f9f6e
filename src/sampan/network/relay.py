"""The relay: published ports that the kernel can't translate, which is from IPv6 clients to a container without IPv6.

And from ::1 where a translated ::1 would get lost (`sampan.network.ruleset`, output). All else goes through the
kernel.

Words.  *listener*: the bound socket that holds the port of the host. *target*: the container's address and port.
Life.   `Relays.start` makes the listener listen; `stop` ends its connections and makes it a mere holder of the port
        again.

What is not as it should be: the kernel completes a client's handshake before this process hears of it, so a client of
the relay sees its connection accepted although the application refuses; it is reset as soon as that is known, which
takes less than a millisecond. (A port that the kernel translates is refused by the application itself.) The
application sees the host's address for the client's. Relayed connections end with sampand.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final

_CHUNK: Final = 1 << 17  # bytes; fastest of 16 KiB to 1 MiB
_MUCH: Final = 1 << 20  # bytes of one direction before it is worth a pipe; the size of that
_CLIENTS: Final = 4096  # at once, of one port: each has descriptors of sampand's
_BACKLOG: Final = 1024
_CONNECT_S: Final = 10.0  # a container that drops instead of refusing
_ACCEPT_PAUSE_S: Final = 0.1  # with no descriptor left, or too many clients
_UDP_IDLE_S: Final = 90.0  # as docker-proxy
_UDP_BUFFER: Final = 1 << 18
_DATAGRAM: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)  # struct linger: close() resets
_IPV6_PKTINFO: Final = 50
_IPV6_RECVPKTINFO: Final = 49

Target = tuple[str, int]


class Relays:
    """The relays of a sampand, by the key that it gives them. For one event loop."""

    def __init__(self) -> None:
        self._running: dict[str, _TcpRelay | _UdpRelay] = {}

    def start(self, key: str, listener: socket.socket, target: Target) -> None:
        """Relay what comes to ``listener``, a bound TCP or UDP socket, which this object keeps.

        Raises:
            OSError: listen(2) failed; somebody else listens at the port by now.
        """
        listener.setblocking(False)
        kind = _TcpRelay if listener.type == socket.SOCK_STREAM else _UdpRelay
        self._running[key] = kind(listener, target)

    async def stop(self, key: str) -> None:
        """End a relay and its connections, and close its socket; nothing when there is none."""
        if (one := self._running.pop(key, None)) is not None:
            await one.stop()

    async def close(self) -> None:
        """End all."""
        for key in list(self._running):
            await self.stop(key)


def stop_listening(one: socket.socket) -> None:
    """Complete no handshake any more, whoever else holds the socket; it stays bound.

    One that doesn't listen is left alone: though shutdown(2) fails on it, it would end the reading of every connection
    that is accepted there later.
    """
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        one.shutdown(socket.SHUT_RD)


class _Tasks:
    """Tasks that end with their owner."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)


class _TcpRelay:
    def __init__(self, listener: socket.socket, target: Target) -> None:
        self._listener, self.target, self._tasks = listener, target, _Tasks()
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None
        # What its predecessors' connections left (TIME_WAIT) lets SO_REUSEADDR pass; see `ports`.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.listen(_BACKLOG)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self._resume()

    async def stop(self) -> None:
        self._pause(None)
        stop_listening(self._listener)
        self._listener.close()
        await self._tasks.end()

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener, self._accept)

    def _pause(self, seconds: float | None) -> None:
        """Accept nobody for a while; None: any more."""
        self._loop.remove_reader(self._listener)
        if self._paused is not None:
            self._paused.cancel()
        self._paused = self._loop.call_later(seconds, self._resume) if seconds is not None else None

    def _accept(self) -> None:
        if len(self._tasks) >= _CLIENTS:
            self._pause(_ACCEPT_PAUSE_S)
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._pause(_ACCEPT_PAUSE_S)
            return  # or the client has left again
        # its remains (TIME_WAIT) don't keep the port from the next container
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tasks.start(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        """Join a client and the application; reset the client when that refuses, or when either end breaks."""
        loop = asyncio.get_running_loop()
        client.setblocking(False)
        family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
        with client, socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as application:
            for one in (client, application):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await loop.sock_connect(application, self.target)
                await _join(client, application)
            except OSError:  # refused, too late, or reset: closing resets the other end
                return
            for one in (client, application):  # ended well: what is still on its way must arrive
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))


async def _join(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until both have ended. OSError as soon as one way breaks."""
    loop = asyncio.get_running_loop()
    pumps = [loop.create_task(_pump(one, other)), loop.create_task(_pump(other, one))]
    try:
        await asyncio.gather(*pumps)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copy until ``source`` ends, then end that direction at ``target``. Much is not copied, but moved by a pipe."""
    loop = asyncio.get_running_loop()
    passed = 0
    while passed < _MUCH and (data := await loop.sock_recv(source, _CHUNK)):
        await loop.sock_sendall(target, data)
        passed += len(data)
    if passed >= _MUCH:
        await _move(source, target)
    target.shutdown(socket.SHUT_WR)


async def _move(source: socket.socket, target: socket.socket) -> None:
    """Move what comes until ``source`` ends: splice(2)."""
    loop = asyncio.get_running_loop()
    begin, end = source.fileno(), target.fileno()
    out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with contextlib.suppress(PermissionError):  # more than the user's pipes may have together
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, _MUCH)
        while held := await _when(loop.add_reader, loop.remove_reader, begin, lambda: _splice(begin, into, _MUCH)):
            while held:
                size = held
                held -= await _when(loop.add_writer, loop.remove_writer, end, lambda: _splice(out, end, size))  # noqa: B023
            await asyncio.sleep(0)  # others have their turn
    finally:
        os.close(out)
        os.close(into)


def _splice(source: int, target: int, size: int) -> int:
    return os.splice(source, target, size, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)


async def _when(
    add: Callable[[int, Callable[[], None]], object], remove: Callable[[int], object], descriptor: int,
    work: Callable[[], int],
) -> int:  # fmt: skip
    """Do ``work`` as soon as it doesn't block."""
    while True:
        try:
            return work()
        except BlockingIOError:
            ready = asyncio.Event()
            add(descriptor, ready.set)
            try:
                await ready.wait()
            finally:
                remove(descriptor)


class _UdpRelay:
    """Each client gets a socket of its own towards the application; it ends after a while without a datagram."""

    def __init__(self, listener: socket.socket, target: Target) -> None:
        self._listener, self.target, self._tasks = listener, target, _Tasks()
        self._clients: dict[tuple[Any, ...], socket.socket] = {}
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER)
        listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        asyncio.get_running_loop().add_reader(listener, self._receive)

    async def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        await self._tasks.end()
        self._listener.close()

    def _receive(self) -> None:
        """Take one datagram of a client; one that can't be passed on is lost, as datagrams are."""
        with contextlib.suppress(OSError):
            data, control, _, client = self._listener.recvmsg(_DATAGRAM, socket.CMSG_SPACE(20))
            if client not in self._clients:
                if len(self._clients) >= _CLIENTS:
                    return
                self._clients[client] = self._open()
                self._tasks.start(self._answer(client, control))
            self._clients[client].send(data)

    def _open(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            one.connect(self.target)
        except OSError:
            one.close()
            raise
        return one

    async def _answer(self, client: tuple[Any, ...], control: list[tuple[int, int, bytes]]) -> None:
        """Pass the application's answers to a client, from the address that it sent to."""
        loop, one = asyncio.get_running_loop(), self._clients[client]
        came_to = [item for item in control if item[:2] == (socket.IPPROTO_IPV6, _IPV6_PKTINFO)]
        try:
            while True:
                try:
                    async with asyncio.timeout(_UDP_IDLE_S):
                        data = await loop.sock_recv(one, _DATAGRAM)
                except ConnectionRefusedError:
                    continue  # nobody listens; the client isn't told, as by any NAT
                with contextlib.suppress(OSError):
                    self._listener.sendmsg([data], came_to, 0, client)
        except TimeoutError:
            return
        finally:
            del self._clients[client]
            one.close()
