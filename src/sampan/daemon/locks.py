"""One sampand to a data root, to an exec root and to a PID file: locks, which the kernel drops with their holder.

An exec root also remembers whose containers it holds: a sampand with another data root would take them for left-overs.

Full.   The locks need no room. What is written (PIDs, the data root's name) is for people and for other sampands: where
        there is no room, that is logged, and sampand starts all the same: its containers run, and must be stoppable.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from sampan.linux import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

LOCK: Final = "sampand.lock"
OWNER: Final = "data-root"
SPARE: Final = "spare-room"
SPARE_SIZE: Final = 4096  # bytes: a page, and an inode with it
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_ROUNDING_S: Final = 1.0  # between a process's start in clock ticks and a file's time


class Occupied(Exception):
    """Another sampand is there; the text says which, and what can be done."""


def hold(directory: Path, flag: str) -> int:
    """Lock a directory for this process; return the descriptor that keeps it. Raises Occupied; OSError."""
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Occupied(
            f"cannot use {directory}\n"
            f"  because  another sampand{f' (pid {holder})' if holder else ''} uses it\n"
            f"  try      `sampan system stop` to end that one, or another {flag}"
        ) from None
    _write(descriptor, f"{os.getpid()}\n", directory / LOCK)
    return descriptor


def _write(descriptor: int, text: str, path: Path) -> bool:
    """Replace the text of one of our small files; tell, and say so in the log, if there is no room for it."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        log.error("%s can't be written: %s; sampand goes on without it", path, error.strerror)
        return False
    return True


@contextlib.contextmanager
def pidfile(path: Path) -> Iterator[None]:
    """Keep this process's PID in a file, which is removed in the end. Raises Occupied: it is a living one's; OSError.

    A file that a dead process left is taken over, also where its PID is somebody else's by now: who began after the
    file was written did not write it. A living process that may have written it keeps it, with a lock or without.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = _lock_pidfile(path)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        log.error("there is no PID file %s: %s", path, error.strerror)
        yield
        return
    holder = _writer(descriptor)
    if holder:
        os.close(descriptor)
        raise _taken(path, str(holder))
    try:
        _write(descriptor, f"{os.getpid()}\n", path)
        yield
    finally:
        if _is_at(path, descriptor):
            path.unlink()
        os.close(descriptor)


def _lock_pidfile(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise _taken(path, holder or "unknown") from None
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last owner removed it between our two steps


def _taken(path: Path, holder: str) -> Occupied:
    return Occupied(
        f"cannot use the PID file {path}\n"
        f"  because  process with PID {holder} is still running\n"
        "  try      `sampan system stop` if that is a sampand, to remove the file if it is not its own, "
        "or another --pidfile"
    )


def _writer(descriptor: int) -> int:
    """Return the PID in the file if a living process of that number may have written it, else 0."""
    text = os.pread(descriptor, 32, 0).strip()
    if not text.isdigit() or int(text) in (0, os.getpid()):
        return 0
    try:
        ticks = process.start_time(int(text))
    except OSError:
        return 0
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    began = booted + ticks / os.sysconf("SC_CLK_TCK")
    return int(text) if began <= os.fstat(descriptor).st_mtime + _ROUNDING_S else 0


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def claim(exec_root: Path, data_root: Path) -> None:
    """Make the exec root this data root's. Raises Occupied: it has containers of another one."""
    owner = exec_root / OWNER
    try:
        other = owner.read_text().strip()
    except FileNotFoundError:
        other = ""
    containers = exec_root / "containers"
    if other and other != str(data_root) and containers.is_dir() and any(containers.iterdir()):
        raise Occupied(
            f"cannot use {exec_root}\n"
            f"  because  containers of the data root {other} run there\n"
            f"  try      another --exec-root, or --data-root {other}"
        )
    if other == str(data_root):
        return
    descriptor = os.open(owner, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _write(descriptor, f"{data_root}\n", owner)
    finally:
        os.close(descriptor)


def reserve(exec_root: Path) -> None:
    """Keep a little room for the next sampand's sockets, for when others have filled the file system by then."""
    with contextlib.suppress(OSError):  # it is full now: there is nothing to keep
        (exec_root / SPARE).write_bytes(bytes(SPARE_SIZE))


def release(exec_root: Path) -> bool:
    """Give the room back that was kept; tell whether there was some."""
    try:
        (exec_root / SPARE).unlink()
    except FileNotFoundError:
        return False
    return True
