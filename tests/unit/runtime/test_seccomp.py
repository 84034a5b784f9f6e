"""Compiled filters say what the profile says: every system call, every architecture, arguments that matter."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.runtime import seccomp
from sampan.runtime.capabilities import DEFAULT, NAMES
from sampan.runtime.seccomp import ARCHITECTURES, SeccompError, compile_filter, filter_flags
from sampan.runtime.seccomp_profile import default_profile
from unit.runtime.bpf_machine import HOLDS, meaning, run

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0
X86_64, X86, ARM64 = (
    ARCHITECTURES["SCMP_ARCH_X86_64"],
    ARCHITECTURES["SCMP_ARCH_X86"],
    ARCHITECTURES["SCMP_ARCH_AARCH64"],
)
NUMBERS = seccomp._numbers()
SOCKET, CLONE, READ = 41, 56, 0

# Values around those that Docker's profile compares with, and ones whose upper half tells.
VALUES = (
    0, 1, 7, 8, 9, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0x20009, 0x7E020000, 0x10000000, 0x10000011, 0x02000000, 0x11,
    0xFFFFFFFF, 1 << 32, 1 << 32 | 8, 1 << 32 | 0x7E020000, (1 << 64) - 1,
)  # fmt: skip


def profile(*calls: dict[str, Any], arches: tuple[str, ...] = ("SCMP_ARCH_X86_64",), **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": list(arches), "syscalls": list(calls), **more}


def allow(*names: str, args: list[dict[str, Any]] | None = None, action: str = "SCMP_ACT_ALLOW") -> dict[str, Any]:
    return {"names": list(names), "action": action, **({"args": args} if args else {})}


def arg(index: int, op: str, value: int, other: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": other}


@pytest.mark.parametrize(
    "capabilities", [DEFAULT, NAMES, (), ("CAP_SYS_ADMIN",)], ids=["default", "all", "none", "admin"]
)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_profile_means_what_it_says(machine: str, capabilities: tuple[str, ...]) -> None:
    resolved = default_profile(capabilities, machine, (6, 1))
    program = compile_filter(resolved)
    checked = 0
    for name in resolved["architectures"]:
        architecture = ARCHITECTURES[name]
        numbers = NUMBERS[architecture.column]
        named = {numbers[call] for entry in resolved["syscalls"] for call in entry["names"] if call in numbers}
        last = max(number for number in named if number < 0xF0000)
        conditional = {call for entry in resolved["syscalls"] if entry.get("args") for call in entry["names"]}
        for call, number in numbers.items():
            for value in VALUES if call in conditional else VALUES[:2]:
                expected = meaning(resolved, call, [value] * 6, wide=architecture.wide)
                if last < number < 0xF0000:
                    expected = ENOSYS
                assert run(program, architecture.audit, number | architecture.bit, [value] * 6) == expected, call
                checked += 1
    assert checked > 1000


def test_numbers_without_a_name_are_refused_and_new_ones_do_not_exist() -> None:
    program = compile_filter(default_profile(DEFAULT, "x86_64", (6, 1)))
    last = NUMBERS[1]["removexattrat"]
    verdicts = [run(program, X86_64.audit, number, []) for number in (400, last, last + 1, 10_000, 0xFFFFFFFF)]
    assert verdicts == [EPERM, ALLOW, ENOSYS, ENOSYS, ENOSYS]


def test_an_architecture_that_is_not_named_is_killed() -> None:
    program = compile_filter(profile(allow("read")))
    x32 = 0x40000000
    assert run(program, ARM64.audit, 63, []) == KILL
    assert run(program, X86.audit, 3, []) == KILL
    assert [run(program, X86_64.audit, n, []) for n in (READ, x32, x32 + 500, 0xFFFFFFFF)] == [
        ALLOW,
        KILL,
        KILL,
        ENOSYS,
    ]


def test_x32_alone_kills_the_calls_of_x86_64() -> None:
    program = compile_filter(profile(allow("read"), arches=("SCMP_ARCH_X32",)))
    assert [run(program, X86_64.audit, n, []) for n in (READ, 0x40000000, 0x40000001)] == [KILL, ALLOW, ENOSYS]


@pytest.mark.parametrize("op", [op.removeprefix("SCMP_CMP_") for op in HOLDS])
@pytest.mark.parametrize("arch", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
@given(data=st.data())
def test_operators_compare_whole_arguments(op: str, arch: str, data: st.DataObject) -> None:
    half = st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
    whole = st.builds(lambda high, low: high << 32 | low, half, half) | st.integers(0, (1 << 64) - 1)
    value, other, given_value = data.draw(whole), data.draw(whole), data.draw(whole)
    if op == "MASKED_EQ" and data.draw(st.booleans()):
        other = given_value & value
    index = data.draw(st.integers(0, 5))
    spec = profile(allow("read", args=[arg(index, op, value, other)]), arches=(arch,))
    architecture = ARCHITECTURES[arch]
    arguments = [0] * 6
    arguments[index] = given_value if architecture.wide else given_value & 0xFFFFFFFF
    number = NUMBERS[architecture.column]["read"]
    result = run(compile_filter(spec), architecture.audit, number, arguments)
    assert result == meaning(spec, "read", arguments, wide=architecture.wide)


def test_all_conditions_of_a_rule_must_hold() -> None:
    program = compile_filter(profile(allow("socket", args=[arg(0, "EQ", 2), arg(1, "GT", 1)])))
    verdicts = [run(program, X86_64.audit, SOCKET, list(pair)) for pair in ((2, 2), (2, 1), (1, 2), (1, 1))]
    assert verdicts == [ALLOW, EPERM, EPERM, EPERM]


def test_two_conditions_on_one_argument_are_alternatives() -> None:
    program = compile_filter(profile(allow("socket", args=[arg(0, "EQ", 2), arg(0, "EQ", 10), arg(1, "EQ", 3)])))
    verdicts = [run(program, X86_64.audit, SOCKET, list(pair)) for pair in ((2, 0), (10, 0), (1, 3), (1, 1))]
    assert verdicts == [ALLOW, ALLOW, ALLOW, EPERM]


REFUSE = {"action": "SCMP_ACT_ERRNO", "errnoRet": 13}
CONFLICTS = [
    (
        "no condition beats a condition before it",
        [{**allow("socket", args=[arg(0, "EQ", 5)]), **REFUSE}, allow("socket")],
    ),
    (
        "no condition beats a condition behind it",
        [allow("socket"), {**allow("socket", args=[arg(0, "EQ", 5)]), **REFUSE}],
    ),
    ("the first without condition counts", [allow("socket"), {**allow("socket"), **REFUSE}]),
]


@pytest.mark.parametrize("calls", [calls for _, calls in CONFLICTS], ids=[name for name, _ in CONFLICTS])
def test_contradictions_end_as_with_runc(calls: list[dict[str, Any]]) -> None:
    assert run(compile_filter(profile(*calls)), X86_64.audit, SOCKET, [5]) == ALLOW


@pytest.mark.parametrize("step", [1, -1])
def test_of_contradicting_conditions_the_stricter_wins(step: int) -> None:
    calls = [allow("socket", args=[arg(0, "LT", 10)]), {**allow("socket", args=[arg(0, "EQ", 5)]), **REFUSE}]
    program = compile_filter(profile(*calls[::step]))
    assert [run(program, X86_64.audit, SOCKET, [n]) for n in (4, 5, 10)] == [ALLOW, 0x5000D, EPERM]


def test_a_rule_that_repeats_the_default_makes_no_exception() -> None:
    calls = [
        {**allow("socket", args=[arg(0, "EQ", 5)]), "action": "SCMP_ACT_ERRNO"},
        allow("socket", args=[arg(0, "LT", 9)]),
    ]
    assert run(compile_filter(profile(*calls)), X86_64.audit, SOCKET, [5]) == ALLOW


def test_socketcall_follows_the_socket_calls_of_x86() -> None:
    program = compile_filter(
        profile(allow("socket", "semop"), allow("bind", args=[arg(0, "EQ", 1)]), arches=("SCMP_ARCH_X86",))
    )
    socketcall, ipc = NUMBERS[2]["socketcall"], NUMBERS[2]["ipc"]
    verdicts = [
        run(program, X86.audit, *call) for call in ((socketcall, [1]), (socketcall, [2]), (ipc, [1]), (ipc, [2]))
    ]
    assert verdicts == [ALLOW, EPERM, ALLOW, EPERM]


def test_unknown_names_are_skipped() -> None:
    program = compile_filter(profile(allow("no_such_call", "read", "cacheflush")))
    assert run(program, X86_64.audit, READ, []) == ALLOW


def test_a_permissive_default_lets_new_calls_through() -> None:
    spec = {**profile({**allow("read"), **REFUSE}), "defaultAction": "SCMP_ACT_ALLOW"}
    assert [run(compile_filter(spec), X86_64.audit, n, []) for n in (READ, 1, 5000)] == [0x5000D, ALLOW, ALLOW]


def test_without_any_name_the_default_is_for_all() -> None:
    program = compile_filter({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"]})
    assert [run(program, X86_64.audit, n, []) for n in (0, 1, 5000)] == [EPERM] * 3


ERRORS = [
    ({"defaultAction": "SCMP_ACT_FOO"}, "unknown action SCMP_ACT_FOO"),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "listener"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}, "errno 5000"),
    (profile(arches=("SCMP_ARCH_MIPS",)), "SCMP_ARCH_MIPS is not supported"),
    (profile(allow("read", action="SCMP_ACT_BAR")), "unknown action SCMP_ACT_BAR"),
    (profile(allow("read", args=[arg(0, "FOO", 1)])), "unknown operator SCMP_CMP_FOO"),
    (profile(allow("read", args=[arg(6, "EQ", 1)])), "arguments 0-5"),
    (profile(allow("read", args=[arg(0, "EQ", 1 << 64)])), "64 bits"),
    (profile(allow("read", args=[arg(0, "EQ", n) for n in range(5000)])), "the kernel takes 4096"),
]


@pytest.mark.parametrize(("spec", "text"), ERRORS, ids=[text for _, text in ERRORS])
def test_a_profile_that_cannot_be_compiled_says_why(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(SeccompError, match=text) as caught:
        compile_filter(spec)
    assert caught.value.status == 400


def test_flags_are_bits_of_seccomp() -> None:
    names = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    assert [filter_flags({"flags": [name]}) for name in names] == [1, 2, 4]
    assert filter_flags({"flags": names}) == 7
    assert filter_flags({}) == 0
    with pytest.raises(SeccompError, match="NEW_LISTENER"):
        filter_flags({"flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]})


def test_far_jumps_reach_over_large_halves() -> None:
    conditions = [arg(0, "EQ", n) for n in range(100)]
    names = ["read", "open", "stat", "poll", "mmap"]
    program = compile_filter(profile(*(allow(name, args=conditions) for name in names)))
    for name in names:
        assert [run(program, X86_64.audit, NUMBERS[1][name], [n]) for n in (0, 99, 100)] == [ALLOW, ALLOW, EPERM]
    assert run(program, X86_64.audit, 1, []) == EPERM


def test_instructions_are_sock_filters() -> None:
    program = compile_filter({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_AARCH64"]})
    table = [
        (0x20, 0, 0, 4),
        (0x15, 1, 0, 0xC00000B7),
        (0x05, 0, 0, 2),
        (0x20, 0, 0, 0),
        (0x06, 0, 0, ALLOW),
        (0x06, 0, 0, 0),
    ]
    assert program == b"".join(struct.pack("=HBBI", *row) for row in table)
