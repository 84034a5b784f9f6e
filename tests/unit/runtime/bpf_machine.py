"""A machine for classic BPF as the kernel runs it over struct seccomp_data, and the plain meaning of a profile."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from sampan.runtime import seccomp

ALU32 = (1 << 32) - 1


def run(program: bytes, audit: int, number: int, arguments: Sequence[int]) -> int:
    """What ``program`` returns for a system call. Fails on what the kernel's checker refuses."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    accumulator, at, length = 0, 0, len(program) // 8
    assert length <= seccomp.MAX_INSTRUCTIONS
    while True:
        assert at < length, "runs off the end"
        code, jt, jf, k = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x05:
                at += k
            case 0x15:
                at += jt if accumulator == k else jf
            case 0x25:
                at += jt if accumulator > k else jf
            case 0x35:
                at += jt if accumulator >= k else jf
            case 0x54:
                accumulator &= k
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"opcode {code:#x}")


HOLDS = {
    "SCMP_CMP_EQ": lambda x, a, b: x == a,
    "SCMP_CMP_NE": lambda x, a, b: x != a,
    "SCMP_CMP_LT": lambda x, a, b: x < a,
    "SCMP_CMP_LE": lambda x, a, b: x <= a,
    "SCMP_CMP_GT": lambda x, a, b: x > a,
    "SCMP_CMP_GE": lambda x, a, b: x >= a,
    "SCMP_CMP_MASKED_EQ": lambda x, a, b: x & a == b,
}
ACTIONS = {"SCMP_ACT_ERRNO": 0x50000, "SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_KILL": 0, "SCMP_ACT_LOG": 0x7FFC0000}


def verdict(action: str, errno: int | None) -> int:
    return ACTIONS[action] | ((1 if errno is None else errno) if action == "SCMP_ACT_ERRNO" else 0)


def meaning(profile: Mapping[str, Any], name: str, arguments: Sequence[int], *, wide: bool) -> int:
    """What ``profile`` says about the system call ``name``, entry by entry (entries don't contradict each other)."""
    default = verdict(profile["defaultAction"], profile.get("defaultErrnoRet"))
    mask = (1 << 64) - 1 if wide else ALU32
    for call in profile["syscalls"]:
        said = verdict(call["action"], call.get("errnoRet"))
        if name in call["names"] and said != default:
            tests = (
                HOLDS[a["op"]](arguments[a["index"]] & mask, a["value"] & mask, a.get("valueTwo", 0) & mask)
                for a in call.get("args") or ()
            )
            if all(tests):
                return said
    return default
