"""Who is at the other end of a connection."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


def peer(sock: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the process that opened the connection; (0, -1) where the kernel can't say (TCP)."""
    if sock.family != socket.AF_UNIX:
        return 0, -1
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid


def comm(pid: int) -> str:
    """The command name of a process (proc(5): at most 15 bytes), empty if it is gone or was never known."""
    if pid <= 0:
        return ""
    try:
        fd = os.open(f"/proc/{pid}/comm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 64).decode("utf-8", "replace").rstrip("\n")
    except OSError:  # it ended between open and read
        return ""
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for what."""

    what: str
    """Method and path: "POST /containers/x/stop"."""
    pid: int
    uid: int
    comm: str
