"""The one door to system calls that Python's ``os`` does not have.

Words.  *number*: what the kernel calls it on this machine.  *on*: the object a call works on, for the error text only.
Cost.   A call through ctypes takes 1-2 µs more than one in C.

Two libc handles are kept.  ``_libc`` lets other threads run during the call (ctypes releases the GIL); ``_pylibc``
holds the GIL, which is what ``clone3`` needs: the child must come back with the lock that the parent held.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

_libc = ctypes.CDLL(None, use_errno=True)
_pylibc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall_holding_gil = _pylibc.syscall
_syscall_holding_gil.restype = ctypes.c_long

# (x86_64, aarch64) from asm/unistd_64.h and asm-generic/unistd.h; equal from 424 on.
_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "ioprio_set": (251, 30),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "capget": (125, 90),
    "capset": (126, 91),
    "setns": (308, 268),
    "unshare": (272, 97),
    "syncfs": (306, 267),
    "sync_file_range": (277, 84),
    "rt_sigaction": (13, 134),
    "seccomp": (317, 277),
    "setdomainname": (171, 162),
    "bpf": (321, 280),
    "personality": (135, 92),
    "renameat2": (316, 276),
    "pidfd_send_signal": (424, 424),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}
_COLUMN: Final = {"x86_64": 0, "aarch64": 1}

Argument = int | bytes | None | ctypes.Array[Any] | ctypes.Structure


def number(name: str) -> int:
    """Return this machine's number of the system call ``name``.

    Raises:
        OSError: ENOSYS on an architecture that Sampan has no table for.
    """
    column = _COLUMN.get(os.uname().machine)
    if column is None:
        raise OSError(38, f"system calls of {os.uname().machine} are not known; x86_64 and aarch64 are")
    return _NUMBERS[name][column]


_resolved: Final[dict[str, int]] = {}


def prepare() -> None:
    """Look up every number now, so that nothing needs to be looked up after a fork."""
    for name in _NUMBERS:
        _resolved[name] = number(name)


def _value(argument: Argument) -> object:
    if argument is None:
        return ctypes.c_void_p(0)
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    if isinstance(argument, bytes):
        return ctypes.c_char_p(argument)
    return ctypes.byref(argument)


def call(name: str, *arguments: Argument, on: object = "") -> int:
    """Make the system call ``name`` and return its result.

    Integers are passed as longs, bytes as NUL-ended strings, structures and arrays by reference, None as NULL.

    Raises:
        OSError: with the errno of the call; its text is ``name(on): reason``.
    """
    nr = _resolved.get(name) or number(name)
    result = int(_syscall(ctypes.c_long(nr), *map(_value, arguments)))
    if result == -1:
        raise failure(name, on)
    return result


def call_holding_gil(name: str, *arguments: Argument) -> int:
    """Make the system call ``name`` without releasing the GIL: for calls that return in two processes."""
    nr = _resolved.get(name) or number(name)
    result = int(_syscall_holding_gil(ctypes.c_long(nr), *map(_value, arguments)))
    if result == -1:
        raise failure(name, "")
    return result


def failure(name: str, on: object) -> OSError:
    """Return the OSError for the call that just failed, its text naming the call and what it worked on."""
    code = ctypes.get_errno()
    where = f"{name}({on})" if on != "" else name
    return OSError(code, f"{where}: {os.strerror(code)}")
