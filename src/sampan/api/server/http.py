"""Listening sockets, and the connections that they accept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import socket
import stat
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from sampan.api.server.connection import Connection

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.api.server.app import App

HEAD_TIMEOUT_S: Final = 60.0  # seconds from the first byte of a request's head to its last
BACKLOG: Final = 1024  # connections that wait to be accepted
SOCKET_MODE: Final = 0o660
SOCKET_GROUP: Final = "sampan"  # its members may use the socket; who is in it is as good as root


class AddressTaken(OSError):
    """Somebody listens there already."""


def listen_unix(path: Path, *, group: str = SOCKET_GROUP) -> socket.socket:
    """A listening socket at `path`, 0660 and of `group` where that exists. Replaces the socket of a dead server.

    Raises AddressTaken if a living one answers there, FileExistsError if something else is in the place.
    """
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(sock.fileno(), 0o600)  # bind(2) takes the mode from here: nobody gets in before the chown below
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    with contextlib.suppress(KeyError, PermissionError):  # no such group; not ours to give
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    path.chmod(SOCKET_MODE)
    sock.listen(BACKLOG)
    return sock


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "there is something that is no socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise AddressTaken(errno.EADDRINUSE, "another server listens here", str(path))


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket; whoever can connect to it is root here, see docs/threats.md."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class Server:
    """Serves `app` on listening sockets. All methods belong to one event loop."""

    def __init__(self, app: App, *, head_timeout: float = HEAD_TIMEOUT_S) -> None:
        self.app = app
        self.head_timeout = head_timeout
        self.connections: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []
        self._headers: list[tuple[str, str]] = []
        self._headers_until = 0.0  # on the monotonic clock

    async def add(self, sock: socket.socket) -> None:
        """Accept connections from a listening socket (unix or TCP, made here or inherited) and own it."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_server(lambda: Connection(self), sock=sock, backlog=BACKLOG))

    def common_headers(self) -> list[tuple[str, str]]:
        """The headers of every answer, with the date of this second."""
        now = time.monotonic()
        if now >= self._headers_until:
            self._headers = [*self.app.headers, ("Date", formatdate(usegmt=True))]
            self._headers_until = now + 1.0
        return self._headers

    async def close(self, grace: float = 1.0) -> None:
        """Accept no more, let running answers end for `grace` seconds, then cut them off."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.close_idle()
        deadline = time.monotonic() + grace
        tasks = [task for connection in self.connections if (task := connection.running())]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        for connection in list(self.connections):
            connection.stop()
        rest = [task for task in tasks if not task.done()]
        if rest:
            await asyncio.wait(rest, timeout=grace)
