"""Processes as ps(1) shows them, read from /proc, for machines without procps.

Source. proc(5), "/proc/pid/stat"; ps(1) of procps, formats ``-ef`` and ``aux``.
"""

from __future__ import annotations

import os
import pwd
import time
from typing import Final, NamedTuple

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
FULL_TITLES: Final = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
USER_TITLES: Final = ("USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND")


class Process(NamedTuple):
    """One process: times in clock ticks, sizes in KiB."""

    pid: int
    uid: int
    parent: int
    state: str
    terminal: int
    cpu: int
    start: int
    virtual: int
    resident: int
    command: str


def read(pid: int) -> Process | None:
    """Return a process, or None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read()
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    field = text[text.rindex(")") + 2 :].split()
    command = line.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace") or f"[{name}]"
    return Process(
        pid, uid, int(field[1]), field[0], int(field[4]), int(field[11]) + int(field[12]), int(field[19]),
        int(field[20]) // 1024, int(field[21]) * _PAGE_KIB, command,
    )  # fmt: skip


def full(pids: list[int]) -> list[list[str]]:
    """Return the rows of ``ps -ef`` for these processes."""
    rows = []
    for one in filter(None, map(read, sorted(pids))):
        age = max(_uptime() - one.start / _TICKS, 0.01)
        share = min(int(one.cpu / _TICKS / age * 100), 99)
        rows.append(
            [_user(one.uid), str(one.pid), str(one.parent), str(share), _started(age), _tty(one.terminal),
             _duration(one.cpu, hours=True), one.command]
        )  # fmt: skip
    return rows


def by_user(pids: list[int]) -> list[list[str]]:
    """Return the rows of ``ps aux`` for these processes."""
    rows, memory = [], _memory()
    for one in filter(None, map(read, sorted(pids))):
        age = max(_uptime() - one.start / _TICKS, 0.01)
        share, part = one.cpu / _TICKS / age * 100, one.resident * 100 / memory
        rows.append(
            [_user(one.uid), str(one.pid), f"{share:.1f}", f"{part:.1f}", str(one.virtual), str(one.resident),
             _tty(one.terminal), one.state, _started(age), _duration(one.cpu, hours=False), one.command]
        )  # fmt: skip
    return rows


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _memory() -> int:
    return max(os.sysconf("SC_PHYS_PAGES") * _PAGE_KIB, 1)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _started(age: float) -> str:
    began = time.time() - age
    return time.strftime("%H:%M" if age < 86400 else "%b%d", time.localtime(began))


def _tty(number: int) -> str:
    """Return the terminal's name: tty_nr's bits are in proc(5)."""
    if not number:
        return "?"
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"


def _duration(ticks: int, *, hours: bool) -> str:
    seconds = ticks // _TICKS
    if hours:
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}"
