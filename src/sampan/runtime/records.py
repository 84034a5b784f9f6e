"""What a container's run directory tells whoever comes next: who watches it, where its processes are, how it ended.

``<exec-root>/containers/<id>/``

* ``lock``        made by sampand before it asks for a monitor; a monitor holds a POSIX lock on it as long as it lives.
* ``state.json``  boot, pid and start time of the monitor, and the control group; written before init may go on.
* ``started``     a link to nowhere whose text is the time at which the program ran, nanoseconds since the epoch.
* ``control``     the monitor's listening socket.
* ``exit.json``   how it ended. Written once, by the monitor or, where that died, by whoever noticed first.

Life.   The lock decides.  A monitor that cannot have it, or finds it unlinked, starts nothing.  Whoever ends what a
        dead monitor left holds it meanwhile and unlinks it at last, so that nothing new can begin.
Source. fcntl_locking(2): the kernel drops the lock with the process; a forked child does not inherit it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any, Final

LOCK: Final = "lock"
STATE: Final = "state.json"
CONTROL: Final = "control"
EXIT: Final = "exit.json"
STARTED: Final = "started"

Record = dict[str, Any]


def create(run_dir: str) -> None:
    """Make the run directory with a free lock. Raises FileExistsError: there is one, to be adopted first."""
    os.makedirs(run_dir, 0o700)
    os.close(os.open(f"{run_dir}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def acquire(run_dir: str) -> int | None:
    """Take the lock and return its descriptor; None if someone else has it or it is gone.

    The lock belongs to the process and is lost when *any* descriptor of the file is closed: keep just one.
    """
    try:
        descriptor = os.open(f"{run_dir}/{LOCK}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
            record: Record = json.loads(file.read())
    except FileNotFoundError:
        return None
    return record


def write(run_dir: str, name: str, record: Record) -> None:
    """Write the record ``name`` in one step, over an older one."""
    path = _written_beside(run_dir, name, record)
    os.rename(path, f"{run_dir}/{name}")


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
    """Record that the program ran: a symbolic link, because it is whole with one system call."""
    os.symlink(str(time_ns), f"{run_dir}/{STARTED}")


def started_ns(run_dir: str) -> int:
    """Return when the program ran, in nanoseconds since the epoch; 0 if it did not."""
    try:
        return int(os.readlink(f"{run_dir}/{STARTED}"))
    except FileNotFoundError:
        return 0


def _written_beside(run_dir: str, name: str, record: Record) -> str:
    path = f"{run_dir}/.{name}.{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode())
    finally:
        os.close(descriptor)
    return path


def remove(run_dir: str) -> None:
    """Remove the run directory and its records; nothing is wrong if another did so."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(run_dir):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{run_dir}/{entry}")
        os.rmdir(run_dir)
