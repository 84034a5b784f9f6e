"""Looking at processes through /proc. A process is named by pid and start time, never by pid alone."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Process:
    """One process as seen at some moment."""

    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/PID/stat
    parent: int
    comm: str
    state: str

    def alive(self) -> bool:
        """True while this very process runs (a zombie does not)."""
        now = look(self.pid)
        return now is not None and now.started == self.started and now.state not in "ZX"

    def kill(self) -> bool:
        """SIGKILL to this very process and no other; False when it was gone already."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def command(self) -> str:
        """Its command line, blanks between the words; empty when it is gone."""
        return _read(self.pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()

    def environment(self) -> bytes:
        """Its environment at exec; empty when it is gone."""
        return _read(self.pid, "environ")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it ended between listing and reading
        return b""


def look(pid: int) -> Process | None:
    """The process ``pid`` now, or None."""
    text = _read(pid, "stat").decode(errors="replace")
    if not text:
        return None
    comm = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[19]), int(fields[1]), comm, fields[0])


def everything() -> Iterator[Process]:
    """Every process of the machine."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = look(int(name))
            if process:
                yield process


def descendants(pid: int) -> list[Process]:
    """The children of ``pid``, their children, and so on."""
    children: dict[int, list[Process]] = {}
    for process in everything():
        children.setdefault(process.parent, []).append(process)
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child.pid)
    return found


def wait_for(what: Callable[[], T], why: str, timeout: float = 10.0) -> T:
    """Ask ``what`` until it says something true; AssertionError with ``why`` after ``timeout`` seconds."""
    limit = time.monotonic() + timeout
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < limit, f"waited {timeout} s in vain: {why}"
        time.sleep(0.01)


def cgroup_directories() -> set[str]:
    """Every cgroup of every hierarchy, as paths under /sys/fs/cgroup."""
    return {root for root, _, _ in os.walk("/sys/fs/cgroup")}


def cgroup_pids(directory: str) -> list[int]:
    """The processes in one cgroup; empty when it is gone."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()]
    return []
