"""What is done about a monitor that died: its container is ended and the end is recorded.

Whoever notices does it: the zygote, whose child the monitor was, or sampand, by pidfd or by the free lock at its start.
Both may do it at the same time; every step stands being done twice.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

from sampan.runtime import cgroups, records
from sampan.runtime.records import Record

KILLED: Final = 137  # the exit code of a container that was killed, 128 + SIGKILL


def finish(run_dir: str) -> Record | None:
    """End what is left of a container without a monitor and return how it ended; None if it never began.

    Raises:
        TimeoutError: a process does not die. The record is not written: the next one to look tries again.
    """
    records.take_over(run_dir)
    state = records.read(run_dir, records.STATE)
    if state is not None and state["group"] is not None:
        group = cgroups.from_record(state["group"])
        oom = group.oom_kills() > 0
        group.kill()
        if records.read(run_dir, records.EXIT) is None:
            records.write_once(run_dir, records.EXIT, _killed(state, oom=oom))
        with contextlib.suppress(OSError):  # tried again when the record is taken
            group.remove()
    return records.read(run_dir, records.EXIT)


def _killed(state: Record, *, oom: bool) -> Record:
    return {
        "code": KILLED,
        "signal": 9,
        "oom": oom,
        "started": state["started_ns"] > 0,
        "finished_ns": time.time_ns(),
        "step": "",
        "error": f"its monitor (pid {state['pid']}) died, and the container with it",
    }


def clear(run_dir: str) -> None:
    """Remove everything of an ended container at run time: what is left of its processes and groups, its records."""
    if not records.take_over(run_dir):
        raise BlockingIOError(11, f"{run_dir} belongs to a living monitor")
    state = records.read(run_dir, records.STATE)
    if state is not None and state["group"] is not None:
        group = cgroups.from_record(state["group"])
        group.kill()
        group.remove()
    records.remove(run_dir)
