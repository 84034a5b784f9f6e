"""Processes: clone3, pidfds, namespaces, prctl, capability sets, descriptors.

Errors. Every function raises OSError that names the call and its object.
Source. clone(2), pidfd_open(2), pidfd_send_signal(2), setns(2), unshare(2), prctl(2), capset(2), close_range(2).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from sampan.linux.syscall import call, call_holding_gil

# linux/sched.h
CLONE_NEWTIME: Final = 0x80
CLONE_PARENT: Final = 0x8000
CLONE_NEWNS: Final = 0x20000
CLONE_NEWCGROUP: Final = 0x2000000
CLONE_NEWUTS: Final = 0x4000000
CLONE_NEWIPC: Final = 0x8000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
CLONE_INTO_CGROUP: Final = 0x200000000

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NAME: Final = 15
_PR_CAPBSET_DROP: Final = 24
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_CAPABILITY_VERSION_3: Final = 0x20080522
_LIMIT: Final = 0xFFFFFFFF


class _CloneArgs(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    )  # fmt: skip


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_CapData2 = _CapData * 2


def clone3(flags: int = 0, *, cgroup: int | None = None, exit_signal: int = 17) -> int:
    """Fork into the namespaces that ``flags`` name; return the child's pid, or 0 in the child.

    Python's after-fork work is skipped: the caller has one thread, and the child only makes system calls and execs
    (or goes on as the one thread that it is). ``cgroup`` is a directory of a cgroup v2 tree (CLONE_INTO_CGROUP).
    """
    arguments = _CloneArgs(flags=flags, exit_signal=exit_signal)
    if cgroup is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    return call_holding_gil("clone3", arguments, ctypes.sizeof(arguments))


def setns(descriptor: int, kinds: int = 0) -> None:
    """Join the namespace, or (a pidfd, Linux 5.8) the namespaces ``kinds`` of the process, of ``descriptor``."""
    call("setns", descriptor, kinds, on=descriptor)


def unshare(kinds: int) -> None:
    """unshare(2)."""
    call("unshare", kinds, on=hex(kinds))


def pidfd_send_signal(pidfd: int, signum: int) -> None:
    """Send ``signum`` to the process of ``pidfd``."""
    call("pidfd_send_signal", pidfd, signum, None, 0, on=signum)


def close_range(first: int, last: int = _LIMIT) -> None:
    """Close every descriptor from ``first`` to ``last``."""
    if first <= last:
        call("close_range", first, last & _LIMIT, 0)


def close_all_but(keep: list[int]) -> None:
    """Close every descriptor that is not in ``keep``."""
    first = 0
    for descriptor in sorted(keep):
        close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first)


def set_name(name: bytes) -> None:
    """Set the name that ``ps`` shows as COMMAND (comm; the kernel takes 15 bytes)."""
    call("prctl", _PR_SET_NAME, name, 0, 0, 0, on="PR_SET_NAME")


def set_death_signal(signum: int) -> None:
    """Ask for ``signum`` when the parent thread dies. Cleared by a change of user or by exec of a set-user-ID file."""
    call("prctl", _PR_SET_PDEATHSIG, signum, 0, 0, 0, on="PR_SET_PDEATHSIG")


def set_subreaper() -> None:
    """Become the parent of orphaned descendants."""
    call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, on="PR_SET_CHILD_SUBREAPER")


def set_dumpable(*, on: bool) -> None:
    """Allow, or forbid, ptrace and /proc/self/… by processes of other rights."""
    call("prctl", _PR_SET_DUMPABLE, int(on), 0, 0, 0, on="PR_SET_DUMPABLE")


def set_no_new_privileges() -> None:
    """Never gain rights by exec from here on."""
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, on="PR_SET_NO_NEW_PRIVS")


def keep_capabilities() -> None:
    """Keep the permitted set over the coming change of user."""
    call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0, on="PR_SET_KEEPCAPS")


def drop_bounding(number: int) -> None:
    """Take the capability ``number`` out of the bounding set; one that the kernel does not know is not there anyway."""
    try:
        call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0, on=f"PR_CAPBSET_DROP {number}")
    except OSError as error:
        if error.errno != 22:  # EINVAL: newer than this kernel
            raise


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's capability sets; each is a mask with bit n for capability n (capability.h)."""
    header = _CapHeader(version=_CAPABILITY_VERSION_3, pid=0)
    data = _CapData2(
        _CapData(effective & _LIMIT, permitted & _LIMIT, inheritable & _LIMIT),
        _CapData(effective >> 32, permitted >> 32, inheritable >> 32),
    )
    call("capset", header, data, on=hex(permitted))


def raise_ambient(numbers: list[int]) -> None:
    """Clear the ambient set, then raise these capabilities in it."""
    call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, on="PR_CAP_AMBIENT_CLEAR_ALL")
    for number in numbers:
        call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0, on=f"PR_CAP_AMBIENT_RAISE {number}")


def reset_signal(number: int) -> None:
    """Give a signal its default action, also one that libc keeps for itself (32 and 33, nptl(7))."""
    call("rt_sigaction", number, ctypes.create_string_buffer(32), None, 8, on=number)  # a zeroed struct: SIG_DFL


def start_time(pid: int) -> int:
    """Return when ``pid`` started, in clock ticks since boot (field 22 of proc_pid_stat(5)); OSError if it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[19])


def boot_id() -> str:
    """Return the identity of this boot of the machine (random(4))."""
    descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 64).decode().strip()
    finally:
        os.close(descriptor)
