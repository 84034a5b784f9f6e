"""Compile an OCI ``linux.seccomp`` object to the classic BPF program that the kernel runs before every system call.

Words.  *rule*: an action, and conditions on arguments that must all hold.  *verdict*: what the program returns.
        *leaf*: what happens to one number: a verdict, or rules with a verdict for when none holds.
Shape.  One section for each kernel architecture (x32 shares x86-64's, its numbers have bit 30). A section is a binary
        tree over the numbers, neighbours with equal leaves being one range: about 7 comparisons for a call.
Cost.   compile_filter() takes about 4 ms and reads syscalls.tbl; keep its result. Docker's default profile for x86-64,
        x86 and x32 comes to about 640 instructions (the kernel takes 4,096).

The rules are those of runc with libseccomp, which people's profiles were written for:

* A system call that no rule names gets the default action; a name that this architecture lacks is skipped.
* If the default action refuses, numbers above the newest that the profile knows give ENOSYS, so that C libraries fall
  back to older calls.
* A rule without conditions beats rules with; the first of several without conditions counts.
* Rules with conditions: the action that refuses most wins, whatever the order.
* A rule with two conditions on one argument is one rule for each of its conditions.
* 32-bit architectures compare the lower half of an argument only. On x86 a rule on a socket or System V IPC call holds
  for socketcall and ipc too, but not if it has conditions: the arguments are out of sight there.
* An architecture that the profile does not name kills the thread.

Errors. SeccompError: the profile says something that can't be compiled.
Source. seccomp(2); OCI runtime-spec, config-linux.md#seccomp; linux/filter.h, linux/audit.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

MAX_INSTRUCTIONS: Final = 4096  # BPF_MAXINSNS
ENOSYS: Final = 38
_EPERM: Final = 1
_MAX_ERRNO: Final = 4095

RET_KILL_PROCESS: Final = 0x80000000
RET_KILL_THREAD: Final = 0x00000000
RET_TRAP: Final = 0x00030000
RET_ERRNO: Final = 0x00050000
RET_TRACE: Final = 0x7FF00000
RET_LOG: Final = 0x7FFC0000
RET_ALLOW: Final = 0x7FFF0000

_ACTIONS: Final = {
    "SCMP_ACT_KILL": RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": RET_TRAP,
    "SCMP_ACT_ERRNO": RET_ERRNO,
    "SCMP_ACT_TRACE": RET_TRACE,
    "SCMP_ACT_LOG": RET_LOG,
    "SCMP_ACT_ALLOW": RET_ALLOW,
}
_PERMISSIVE: Final = frozenset({RET_ALLOW, RET_LOG, RET_TRACE})

FLAG_TSYNC: Final = 1
FLAG_LOG: Final = 2
FLAG_SPEC_ALLOW: Final = 4
_FLAGS: Final = {
    "SECCOMP_FILTER_FLAG_TSYNC": FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": FLAG_SPEC_ALLOW,
}

_X32_BIT: Final = 0x40000000
_END: Final = 1 << 32


class Architecture(NamedTuple):
    """``column`` of syscalls.tbl, ``audit`` as in linux/audit.h, ``wide``: whether arguments have 64 bits."""

    column: int
    audit: int
    wide: bool
    bit: int = 0


ARCHITECTURES: Final = {
    "SCMP_ARCH_X86_64": Architecture(1, 0xC000003E, wide=True),
    "SCMP_ARCH_X86": Architecture(2, 0x40000003, wide=False),
    "SCMP_ARCH_X32": Architecture(3, 0xC000003E, wide=False, bit=_X32_BIT),
    "SCMP_ARCH_AARCH64": Architecture(4, 0xC00000B7, wide=True),
    "SCMP_ARCH_ARM": Architecture(5, 0x40000028, wide=False),
}
NATIVE: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_ARM_PRIVATE: Final = 0xF0000  # cacheflush and its like; not new, only far away

# linux/net.h and linux/ipc.h: what x86's socketcall and ipc do for a first argument of …
_SOCKETCALLS: Final = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
    "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
)
_IPC_CALLS: Final = {
    1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop", 11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl",
    21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl",
}  # fmt: skip
_MULTIPLEXED: Final = {
    **{name: ("socketcall", number) for number, name in enumerate(_SOCKETCALLS.split(), 1)},
    **{name: ("ipc", number) for number, name in _IPC_CALLS.items()},
}


class SeccompError(ValueError):
    """A seccomp profile that can't be compiled: what is wrong with it."""

    status = 400


class Condition(NamedTuple):
    """``op`` of SCMP_CMP_* on argument 0 to 5; MASKED_EQ: (argument & value) == other."""

    argument: int
    op: str
    value: int
    other: int = 0


class Rule(NamedTuple):
    """A verdict for when all conditions hold."""

    verdict: int
    conditions: tuple[Condition, ...] = ()


class Leaf(NamedTuple):
    """Rules in order, and the verdict when none holds."""

    rules: tuple[Rule, ...]
    otherwise: int


def compile_filter(profile: Mapping[str, Any]) -> bytes:
    """Return the ``struct sock_filter`` array (8 bytes an instruction) of an OCI ``linux.seccomp`` object.

    Without ``architectures`` it is for this machine's own.

    Raises:
        SeccompError: unknown action, architecture, operator; or too large.
    """
    default = _verdict(profile["defaultAction"], profile.get("defaultErrnoRet"))
    wanted = profile.get("architectures") or [native_architecture()]
    calls = [_Call(entry, default) for entry in profile.get("syscalls") or ()]
    numbers = _numbers()
    sections: dict[int, dict[int, tuple[int, bool, dict[int, Leaf]]]] = {}
    for name in dict.fromkeys(wanted):
        architecture = ARCHITECTURES.get(name)
        if architecture is None:
            raise SeccompError(f"seccomp: architecture {name} is not supported; {', '.join(ARCHITECTURES)} are")
        leaves, last = _leaves(calls, numbers[architecture.column], default, multiplexed=name == "SCMP_ARCH_X86")
        part = sections.setdefault(architecture.audit, {})
        part[architecture.bit] = (last, architecture.wide, leaves)
    code = [_load(_ARCH)]
    for audit, parts in sections.items():
        body = [_load(_NR), *_tree(_ranges(parts, default, audit))]
        code += [_instruction(_JEQ, 1, 0, audit), _instruction(_JA, k=len(body)), *body]
    code.append(_return(RET_KILL_THREAD))
    if len(code) > MAX_INSTRUCTIONS:
        raise SeccompError(f"seccomp: the profile needs {len(code)} instructions; the kernel takes {MAX_INSTRUCTIONS}")
    return b"".join(code)


def filter_flags(profile: Mapping[str, Any]) -> int:
    """Return the SECCOMP_FILTER_FLAG_* bits of an OCI ``linux.seccomp`` object.

    Raises:
        SeccompError: a flag that is not known, or needs a listener.
    """
    flags = 0
    for name in profile.get("flags") or ():
        if name not in _FLAGS:
            raise SeccompError(f"seccomp: flag {name} is not supported; {', '.join(_FLAGS)} are")
        flags |= _FLAGS[name]
    return flags


def native_architecture() -> str:
    """Return the SCMP_ARCH_* name of this machine. Raises SeccompError: none of those known here."""
    machine = os.uname().machine
    if machine not in NATIVE:
        raise SeccompError(f"seccomp: architecture {machine} is not supported; {', '.join(NATIVE)} are")
    return NATIVE[machine]


# --- from profile to leaves ---------------------------------------------------------------------------------------


class _Call:
    """One entry of ``syscalls``: names, and the rules that it adds to each."""

    def __init__(self, entry: Mapping[str, Any], default: int) -> None:
        self.names: Sequence[str] = entry.get("names") or ()
        verdict = _verdict(entry["action"], entry.get("errnoRet"))
        conditions = [_condition(argument) for argument in entry.get("args") or ()]
        self.rules: list[Rule] = []
        if verdict == default:
            return  # as runc: what the default says anyway is no rule, and no exception from one either
        if len({condition.argument for condition in conditions}) < len(conditions):
            self.rules = [Rule(verdict, (condition,)) for condition in conditions]
        else:
            self.rules = [Rule(verdict, tuple(conditions))]


def _verdict(action: str, errno: int | None) -> int:
    if action == "SCMP_ACT_NOTIFY":
        raise SeccompError("seccomp: SCMP_ACT_NOTIFY needs a listener, which is not supported")
    verdict = _ACTIONS.get(action)
    if verdict is None:
        raise SeccompError(f"seccomp: unknown action {action}; {', '.join(_ACTIONS)} are known")
    if verdict not in (RET_ERRNO, RET_TRACE):
        return verdict
    if errno is not None and not 0 <= errno <= _MAX_ERRNO:
        raise SeccompError(f"seccomp: errno {errno} is not in the range 0-{_MAX_ERRNO}")
    return verdict | (_EPERM if errno is None else errno)


def _condition(argument: Mapping[str, Any]) -> Condition:
    condition = Condition(
        argument["index"], argument["op"].removeprefix("SCMP_CMP_"), argument["value"], argument.get("valueTwo") or 0
    )
    if condition.op not in _TESTS and condition.op != "MASKED_EQ":
        raise SeccompError(f"seccomp: unknown operator {argument['op']}")
    if not 0 <= condition.argument <= 5:
        raise SeccompError(f"seccomp: a system call has arguments 0-5, not {condition.argument}")
    if not (0 <= condition.value < 1 << 64 and 0 <= condition.other < 1 << 64):
        raise SeccompError(f"seccomp: {argument} has a value that is not in 64 bits")
    return condition


def _numbers() -> list[dict[str, int]]:
    """Return, for each column of syscalls.tbl, the number of each name."""
    columns: list[dict[str, int]] = [{} for _ in range(len(ARCHITECTURES) + 1)]
    with open(os.path.join(os.path.dirname(__file__), "syscalls.tbl"), encoding="ascii") as table:
        for line in table:
            if not line.startswith("#"):
                name, *row = line.split()
                for column, text in enumerate(row, 1):
                    if text != "-":
                        columns[column][name] = int(text)
    return columns


def _leaves(
    calls: Iterable[_Call], numbers: Mapping[str, int], default: int, *, multiplexed: bool
) -> tuple[dict[int, Leaf], int]:
    """Return the leaf of each number that has rules, and the newest number that the profile names (-1: none)."""
    rules: dict[int, list[Rule]] = {}
    last = -1
    for call in calls:
        for name in call.names:
            number = numbers.get(name)
            if number is not None:
                rules.setdefault(number, []).extend(call.rules)
                if number < _ARM_PRIVATE:
                    last = max(last, number)
            if multiplexed and name in _MULTIPLEXED:
                outer, inner = _MULTIPLEXED[name]
                within = (Condition(0, "EQ", inner),)
                rules.setdefault(numbers[outer], []).extend(
                    Rule(rule.verdict, within) for rule in call.rules if not rule.conditions
                )
    return {number: _leaf(of, default) for number, of in rules.items() if of}, last


def _leaf(rules: Sequence[Rule], default: int) -> Leaf:
    for rule in rules:
        if not rule.conditions:
            return Leaf((), rule.verdict)
    ordered = sorted(rules, key=lambda rule: _severity(rule.verdict))
    return Leaf(tuple(dict.fromkeys(ordered)), default)


def _severity(verdict: int) -> int:
    """Order verdicts as the kernel does between several filters: smaller refuses more."""
    return verdict - _END if verdict >= 1 << 31 else verdict


_Parts = Mapping[int, tuple[int, bool, dict[int, Leaf]]]


def _ranges(parts: _Parts, default: int, audit: int) -> list[tuple[int, Leaf, bool]]:
    """Return (first number, leaf, whether arguments are wide) for ranges that cover all numbers, in order."""
    beyond = Leaf((), default if default & 0x7FFF0000 in _PERMISSIVE else RET_ERRNO | ENOSYS)
    unnamed = Leaf((), default)
    found: list[tuple[int, Leaf, bool]] = []
    for bit in sorted(parts):
        last, wide, leaves = parts[bit]
        found.append((bit, unnamed, wide))
        for number in sorted(leaves):
            found += [(bit + number, leaves[number], wide), (bit + number + 1, unnamed, wide)]
        if last >= 0:
            found.append((bit + last + 1, beyond, wide))
    if audit == ARCHITECTURES["SCMP_ARCH_X86_64"].audit:
        if _X32_BIT not in parts:
            found += [(_X32_BIT, Leaf((), RET_KILL_THREAD), False), (_END - 1, found[-1][1], False)]  # -1 is no x32
        if 0 not in parts:
            found.insert(0, (0, Leaf((), RET_KILL_THREAD), False))
    return _merged(found)


def _merged(found: Iterable[tuple[int, Leaf, bool]]) -> list[tuple[int, Leaf, bool]]:
    """Sort ranges; of several that begin at one number the one found last counts; join neighbours that are equal."""
    starts = {start: (leaf, wide) for start, leaf, wide in found}
    merged: list[tuple[int, Leaf, bool]] = []
    for start in sorted(starts):
        leaf, wide = starts[start]
        if merged and merged[-1][1] == leaf and (not leaf.rules or merged[-1][2] == wide):
            continue
        merged.append((start, leaf, wide))
    return merged


# --- from leaves to instructions ----------------------------------------------------------------------------------

_LD: Final = 0x20  # A = the 32-bit word at k of struct seccomp_data
_JA: Final = 0x05
_JEQ: Final = 0x15
_JGT: Final = 0x25
_JGE: Final = 0x35
_AND: Final = 0x54
_RET: Final = 0x06
_NR: Final = 0  # offsets in struct seccomp_data
_ARCH: Final = 4
_ARGUMENTS: Final = 16
_FAIL: Final = -1  # jump to the next rule; where that is, is known later
_FAR: Final = 255  # a conditional jump reaches no further

# op: (test of the upper half → pass at once, → fail at once; test of the lower half, the way it must go)
_TESTS: Final = {
    "EQ": (None, None, _JEQ, True),
    "NE": (None, None, _JEQ, False),
    "GT": (_JGT, None, _JGT, True),
    "GE": (_JGT, None, _JGE, True),
    "LT": (None, _JGT, _JGE, False),
    "LE": (None, _JGT, _JGT, False),
}


def _instruction(code: int, jt: int = 0, jf: int = 0, k: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jt, jf, k)


def _load(offset: int) -> bytes:
    return _instruction(_LD, k=offset)


def _return(verdict: int) -> bytes:
    return _instruction(_RET, k=verdict)


def _tree(ranges: Sequence[tuple[int, Leaf, bool]]) -> list[bytes]:
    """Return the search for the number in A among ``ranges``: each inner node asks which half it is in."""
    if len(ranges) == 1:
        _, leaf, wide = ranges[0]
        return _leaf_code(leaf, wide=wide)
    middle = len(ranges) // 2
    low, high = _tree(ranges[:middle]), _tree(ranges[middle:])
    start = ranges[middle][0]
    if len(low) <= _FAR:
        return [_instruction(_JGE, len(low), 0, start), *low, *high]
    return [_instruction(_JGE, 0, 1, start), _instruction(_JA, k=len(low)), *low, *high]


def _leaf_code(leaf: Leaf, *, wide: bool) -> list[bytes]:
    code = []
    for rule in leaf.rules:
        code += _rule_code(rule, wide=wide)
    return [*code, _return(leaf.otherwise)]


_Step = tuple[int, int, int, int]  # code, jt, jf, k; jt and jf may be _FAIL


def _rule_code(rule: Rule, *, wide: bool) -> list[bytes]:
    steps: list[_Step] = []
    for condition in rule.conditions:
        steps += _condition_code(condition, wide=wide)
    length = len(steps)
    code = [
        _instruction(op, length - at if jt == _FAIL else jt, length - at if jf == _FAIL else jf, k)
        for at, (op, jt, jf, k) in enumerate(steps)
    ]
    return [*code, _return(rule.verdict)]


def _condition_code(condition: Condition, *, wide: bool) -> list[_Step]:
    """Return steps that go on behind their end when the condition holds, and to _FAIL when it does not."""
    low = _ARGUMENTS + 8 * condition.argument  # both architectures store the lower half first
    if condition.op == "MASKED_EQ":
        steps = _masked(low, condition.value, condition.other)
        return [*_masked(low + 4, condition.value >> 32, condition.other >> 32), *steps] if wide else steps
    passes, fails, test, way = _TESTS[condition.op]
    steps = [(_LD, 0, 0, low), (test, *((0, _FAIL) if way else (_FAIL, 0)), condition.value & 0xFFFFFFFF)]
    if not wide:
        return steps
    upper = condition.value >> 32
    # Upper halves that differ decide, but for equality: there they fail (EQ) or pass (NE).
    differ = _FAIL if condition.op in ("EQ", "GT", "GE") else len(steps)
    steps.insert(0, (_JEQ, 0, differ, upper))
    if passes is not None:
        steps.insert(0, (passes, len(steps), 0, upper))
    if fails is not None:
        steps.insert(0, (fails, _FAIL, 0, upper))
    return [(_LD, 0, 0, low + 4), *steps]


def _masked(offset: int, mask: int, value: int) -> list[_Step]:
    mask, value = mask & 0xFFFFFFFF, value & 0xFFFFFFFF
    if mask == value == 0:
        return []
    return [(_LD, 0, 0, offset), (_AND, 0, 0, mask), (_JEQ, 0, _FAIL, value)]
