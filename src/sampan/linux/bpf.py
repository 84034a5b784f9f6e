"""Programs for the kernel: eBPF that decides over a cgroup's devices (v2), loaded and attached by bpf(2).

Words.  *match*: one set of devices and accesses; the program says for each match the opposite of its default.
Life.   load → attach to a cgroup directory → close the descriptor (the cgroup keeps the program until it is removed).
Source. bpf(2); linux/bpf.h: struct bpf_insn, bpf_cgroup_dev_ctx, union bpf_attr; Documentation/bpf/instruction-set.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from sampan.linux.syscall import call

# linux/bpf.h
DEVICE_BLOCK: Final = 1
DEVICE_CHAR: Final = 2
ACCESS_MKNOD: Final = 1
ACCESS_READ: Final = 2
ACCESS_WRITE: Final = 4
_ACCESS_ALL: Final = ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE

_PROG_LOAD: Final = 5
_PROG_ATTACH: Final = 8
_PROG_TYPE_CGROUP_DEVICE: Final = 15
_CGROUP_DEVICE: Final = 6
_F_ALLOW_MULTI: Final = 2  # programs of cgroups above this one are asked too
_LOG_SIZE: Final = 1 << 16

# opcodes: class | size or source | operation
_LDX_W: Final = 0x61  # dst = *(u32 *)(src + off)
_MOV32_X: Final = 0xBC
_MOV64_K: Final = 0xB7
_AND32_K: Final = 0x54
_RSH32_K: Final = 0x74
_JEQ_K: Final = 0x15  # jump if dst == imm
_JNE_K: Final = 0x55
_JNE_X: Final = 0x5D
_EXIT: Final = 0x95

_R0, _R1, _TYPE, _ACCESS, _MAJOR, _MINOR = range(6)

_ATTR_LOAD: Final = struct.Struct("=IIQQIIQII16sII")
_ATTR_ATTACH: Final = struct.Struct("=IIIII")


class DeviceMatch(NamedTuple):
    """Devices of ``type`` (DEVICE_*), ``major`` and ``minor`` (None: any), and accesses (a mask of ACCESS_*)."""

    type: int
    access: int
    major: int | None
    minor: int | None


def instruction(opcode: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """Return one ``struct bpf_insn``."""
    return struct.pack("=BBhi", opcode, src << 4 | dst, offset, immediate)


def device_program(matches: Iterable[DeviceMatch], *, allow_by_default: bool) -> bytes:
    """Return the program that says ``allow_by_default``, but the opposite for what matches.

    Denying by default, an access is allowed when one match has all of it; allowing by default, an access is denied when
    one match has any of it: as the v1 devices controller does.
    """
    code = [
        instruction(_LDX_W, _TYPE, _R1, 0),  # access_type: type in the lower half, access in the upper
        instruction(_MOV32_X, _ACCESS, _TYPE),
        instruction(_AND32_K, _TYPE, immediate=0xFFFF),
        instruction(_RSH32_K, _ACCESS, immediate=16),
        instruction(_LDX_W, _MAJOR, _R1, 4),
        instruction(_LDX_W, _MINOR, _R1, 8),
    ]
    for match in matches:
        code += _block(match, allow_by_default=allow_by_default)
    code += _answer(allow=allow_by_default)
    return b"".join(code)


def _answer(*, allow: bool) -> list[bytes]:
    return [instruction(_MOV64_K, _R0, immediate=int(allow)), instruction(_EXIT)]


def _block(match: DeviceMatch, *, allow_by_default: bool) -> list[bytes]:
    """Return the instructions of one match; each test that fails jumps behind the block."""
    tests: list[tuple[int, int, int, int]] = [(_JNE_K, _TYPE, 0, match.type)]
    mask = []
    if match.access != _ACCESS_ALL:
        mask = [instruction(_MOV32_X, _R1, _ACCESS), instruction(_AND32_K, _R1, immediate=match.access)]
        tests.append((_JEQ_K, _R1, 0, 0) if allow_by_default else (_JNE_X, _R1, _ACCESS, 0))
    if match.major is not None:
        tests.append((_JNE_K, _MAJOR, 0, match.major))
    if match.minor is not None:
        tests.append((_JNE_K, _MINOR, 0, match.minor))
    answer = _answer(allow=not allow_by_default)
    jumps = [
        instruction(opcode, dst, src, len(tests) - index - 1 + len(answer), immediate)
        for index, (opcode, dst, src, immediate) in enumerate(tests)
    ]
    return mask + jumps + answer


def load_attributes(instructions: int, count: int, licence: int, log: int = 0, log_size: int = 0) -> bytes:
    """Return ``union bpf_attr`` for BPF_PROG_LOAD of a device program; addresses and the number of instructions."""
    level = 1 if log else 0
    return _ATTR_LOAD.pack(
        _PROG_TYPE_CGROUP_DEVICE, count, instructions, licence, level, log_size, log, 0, 0, b"sampan_devices", 0,
        _CGROUP_DEVICE,
    )  # fmt: skip


def attach_attributes(cgroup: int, program: int, flags: int = _F_ALLOW_MULTI) -> bytes:
    """Return ``union bpf_attr`` for BPF_PROG_ATTACH of a device program to the cgroup directory ``cgroup``."""
    return _ATTR_ATTACH.pack(cgroup, program, _CGROUP_DEVICE, flags, 0)


def load(program: bytes) -> int:
    """Load a device program; return its descriptor (the caller closes it).

    Raises:
        OSError: EPERM without CAP_BPF or CAP_SYS_ADMIN; EINVAL or EACCES with the verifier's last words.
    """
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    where = (ctypes.addressof(code), len(program) // 8, ctypes.addressof(licence))
    try:
        return _bpf(_PROG_LOAD, load_attributes(*where))
    except OSError as error:
        if error.errno == errno.EPERM:
            return _load_unlimited(load_attributes(*where))
        raise OSError(error.errno, f"{error.strerror}: {_verdict(where)}") from None


def _load_unlimited(attributes: bytes) -> int:
    """Load without a limit of locked memory: before Linux 5.11 programs are counted there, and 64 KiB are soon full."""
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        return _bpf(_PROG_LOAD, attributes)
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, limits)


def _verdict(where: tuple[int, int, int]) -> str:
    """Return the verifier's last words on a program that was refused."""
    log = ctypes.create_string_buffer(_LOG_SIZE)
    with contextlib.suppress(OSError):  # it was refused before
        os.close(_bpf(_PROG_LOAD, load_attributes(*where, ctypes.addressof(log), _LOG_SIZE)))
    return " ".join(log.value.decode(errors="replace").strip().splitlines()[-2:])


def attach(cgroup: int, program: int) -> None:
    """Attach the device program ``program`` to the cgroup v2 directory ``cgroup`` (descriptors). Raises OSError."""
    _bpf(_PROG_ATTACH, attach_attributes(cgroup, program))


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return call("bpf", command, buffer, len(attributes), on=command)
