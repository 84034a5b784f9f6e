"""What is done about a monitor that died: its container is ended and the end is recorded.

Whoever notices does it: the zygote, whose child the monitor was, or sampand, by pidfd or by the free lock at its start.
The lock of the run directory sees that they take turns, and every step stands being done twice.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

from sampan.runtime import cgroups, records
from sampan.runtime.records import Record

KILLED: Final = 137  # the exit code of a container that was killed, 128 + SIGKILL


def finish(run_dir: str) -> Record | None:
    """End what is left of a container without a monitor and return how it ended; None if it never began.

    Raises:
        BlockingIOError: it has a monitor, or somebody is just doing this.
        TimeoutError: a process does not die. The record is not written: the next one to look tries again.
    """
    with _holding(run_dir) as held:
        if held:
            _end(run_dir)
            records.unlink_lock(run_dir)
    return records.read(run_dir, records.EXIT)


def _end(run_dir: str) -> None:
    group = group_of(run_dir)
    if group is None:
        return
    began = records.started_ns(run_dir) > 0 or bool(group.pids())
    oom = group.oom_kills() > 0
    group.kill()
    if began:
        records.write_once(run_dir, records.EXIT, _killed(run_dir, oom=oom))
    with contextlib.suppress(OSError):  # tried again when the record is taken
        group.remove()


def group_of(run_dir: str) -> cgroups.Group | None:
    """Return the container's control group; None if it was never made."""
    record = records.read(run_dir, records.GROUP)
    return cgroups.from_record(record) if record is not None else None


def _killed(run_dir: str, *, oom: bool) -> Record:
    return {
        "code": KILLED,
        "signal": 9,
        "oom": oom,
        "started": records.started_ns(run_dir) > 0,
        "finished_ns": time.time_ns(),
        "step": "",
        "error": "its monitor died, and the container with it",
    }


def clear(run_dir: str) -> None:
    """Remove everything of an ended container at run time: what is left of its processes and groups, its records.

    Raises:
        BlockingIOError: it has a monitor, or somebody is just ending it.
    """
    with _holding(run_dir):
        group = group_of(run_dir)
        if group is not None:
            group.kill()
            group.remove()
        records.remove(run_dir)


@contextlib.contextmanager
def _holding(run_dir: str) -> Iterator[bool]:
    """Hold the lock, so that no monitor begins here and no second guard kills what a later start makes.

    False where there is no lock any more: somebody has ended what there was.
    """
    lock = records.acquire(run_dir)
    if lock is None and records.exists(run_dir):
        raise BlockingIOError(11, f"{run_dir} belongs to a living process")
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)
