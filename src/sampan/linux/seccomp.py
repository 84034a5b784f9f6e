"""Put a seccomp filter on this thread: seccomp(2).

Life.   prepare (before the fork, or at least before the container's root is entered) → install, right before exec.
        install allocates nothing but two ctypes integers; when it returns, the filter holds, for seccomp itself too.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from sampan.linux.syscall import call

_SET_MODE_FILTER: Final = 1
INSTRUCTION_SIZE: Final = 8  # bytes; struct sock_filter


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Filter:
    """A program in memory as the kernel takes it, and the SECCOMP_FILTER_FLAG_* to install it with."""

    def __init__(self, program: bytes, flags: int = 0) -> None:
        self.flags = flags
        self._code = ctypes.create_string_buffer(program, len(program))
        self._program = _Program(len(program) // INSTRUCTION_SIZE, ctypes.addressof(self._code))

    def install(self) -> None:
        """Put the filter on this thread and what it will start.

        Raises:
            OSError: EACCES without CAP_SYS_ADMIN or no_new_privs; EINVAL for a program that the kernel refuses;
                ENOSYS without seccomp. Nothing is installed then.
        """
        call("seccomp", _SET_MODE_FILTER, self.flags, self._program, on="SECCOMP_SET_MODE_FILTER")


def available() -> bool:
    """Return whether this kernel has seccomp filters (proc(5): the field Seccomp of status)."""
    return os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
