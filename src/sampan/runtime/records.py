"""What a container's run directory tells whoever comes next: who watches it, where its processes are, how it ended.

``<exec-root>/containers/<id>/``

* ``group.json``  the control group; written by sampand before it is made.
* ``lock``        made and locked by sampand, which hands the locked descriptor to the monitor: it is held until the
                  container has ended, whoever dies.
* ``started``     the time at which the program ran, nanoseconds since the epoch.
* ``control``     the monitor's listening socket, made by sampand too.
* ``exit.json``   how it ended. Written once, by the monitor or, where that died, by whoever noticed first.

``started`` is a link to nowhere: its text is whole with one system call.

Life.   The lock decides.  It goes with a launch, also while that waits in a socket, and the kernel drops it with the
        last descriptor.  Whoever ends what a dead monitor left holds it meanwhile and unlinks it at last.
Source. fcntl_locking(2), "Open file description locks".
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from typing import Any, Final

LOCK: Final = "lock"
GROUP: Final = "group.json"
CONTROL: Final = "control"
EXIT: Final = "exit.json"
STARTED: Final = "started"

Record = dict[str, Any]
_WHOLE_FILE: Final = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)  # struct flock of 64-bit machines


def create(run_dir: str) -> int:
    """Make the run directory and return its lock, held. Raises FileExistsError: there is one, to be adopted first."""
    os.makedirs(run_dir, 0o700)
    try:
        descriptor = os.open(f"{run_dir}/.{LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:  # a full file system
        os.rmdir(run_dir)
        raise
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    os.rename(f"{run_dir}/.{LOCK}", f"{run_dir}/{LOCK}")  # nobody finds it free
    return descriptor


def acquire(run_dir: str) -> int | None:
    """Take the lock and return its descriptor; None if someone else has it or it is gone."""
    try:
        descriptor = os.open(f"{run_dir}/{LOCK}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        return None
    return descriptor


def exists(run_dir: str) -> bool:
    """Tell whether the run directory still has its lock file, free or not."""
    return os.path.exists(f"{run_dir}/{LOCK}")


def unlink_lock(run_dir: str) -> None:
    """Let no monitor begin here any more; called by whoever holds the lock."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{run_dir}/{LOCK}")


def read(run_dir: str, name: str) -> Record | None:
    """Return the record ``name``, or None if it was never written."""
    try:
        with open(f"{run_dir}/{name}", "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    record: Record | None = json.loads(text) if text else None
    return record


def write(run_dir: str, name: str, record: Record) -> None:
    """Write the record ``name``, of which nobody needs to know before this returns: until then it may be empty."""
    _write(f"{run_dir}/{name}", record)


def write_once(run_dir: str, name: str, record: Record) -> bool:
    """Write the record ``name`` unless it is there; tell whether this call wrote it."""
    path = _written_beside(run_dir, name, record)
    try:
        os.link(path, f"{run_dir}/{name}")
    except FileExistsError:
        return False
    finally:
        os.unlink(path)
    return True


def mark_started(run_dir: str, time_ns: int) -> None:
    """Record that the program ran."""
    os.symlink(str(time_ns), f"{run_dir}/{STARTED}")


def started_ns(run_dir: str) -> int:
    """Return when the program ran, in nanoseconds since the epoch; 0 if it did not."""
    try:
        return int(os.readlink(f"{run_dir}/{STARTED}"))
    except FileNotFoundError:
        return 0


def _written_beside(run_dir: str, name: str, record: Record) -> str:
    path = f"{run_dir}/.{name}.{os.getpid()}"
    _write(path, record)
    return path


def _write(path: str, record: Record) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode())
    finally:
        os.close(descriptor)


def remove(run_dir: str) -> None:
    """Remove the run directory and its records; nothing is wrong if another did so."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(run_dir):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{run_dir}/{entry}")
        os.rmdir(run_dir)
