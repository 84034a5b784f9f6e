"""Profiles: Docker's default and its conditions; profiles that people bring."""

import json
from typing import Any

import pytest

from sampan.runtime.capabilities import DEFAULT, NAMES
from sampan.runtime.seccomp import SeccompError
from sampan.runtime.seccomp_profile import default_profile, load_profile

KERNEL = (6, 1)


def names(profile: dict[str, Any], *, without_conditions: bool = True) -> set[str]:
    return {
        name
        for call in profile["syscalls"]
        if call["action"] == "SCMP_ACT_ALLOW" and not (without_conditions and call.get("args"))
        for name in call["names"]
    }


def test_the_default_profile_is_dockers() -> None:
    profile = default_profile(DEFAULT, "x86_64", KERNEL)
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert {"read", "ptrace", "chroot", "modify_ldt", "arch_prctl"} <= names(profile)
    refused = (
        "keyctl add_key request_key bpf mount umount2 unshare setns reboot userfaultfd io_uring_setup swapon clone"
    )
    assert not set(refused.split()) & names(profile)


CONDITIONS = [
    ("CAP_SYS_ADMIN", {"mount", "unshare", "clone", "clone3", "bpf", "setns"}),
    ("CAP_SYS_PTRACE", {"kcmp", "process_madvise", "pidfd_getfd"}),
    ("CAP_SYS_BOOT", {"reboot"}),
    ("CAP_SYS_MODULE", {"init_module", "finit_module", "delete_module"}),
    ("CAP_DAC_READ_SEARCH", {"open_by_handle_at"}),
    ("CAP_BPF", {"bpf"}),
    ("CAP_SYSLOG", {"syslog"}),
    ("CAP_SYS_TIME", {"settimeofday", "clock_settime"}),
]


@pytest.mark.parametrize(("capability", "calls"), CONDITIONS)
def test_a_capability_opens_its_calls(capability: str, calls: set[str]) -> None:
    assert not calls & names(default_profile((), "x86_64", KERNEL))
    assert calls <= names(default_profile((capability,), "x86_64", KERNEL))


def test_clone3_looks_absent_without_the_right_to_make_namespaces() -> None:
    entry = {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    assert entry in default_profile(DEFAULT, "x86_64", KERNEL)["syscalls"]
    assert entry not in default_profile(NAMES, "x86_64", KERNEL)["syscalls"]


def test_kernel_and_architecture_decide() -> None:
    assert "ptrace" not in names(default_profile((), "x86_64", (4, 7)))
    arm = default_profile((), "aarch64", KERNEL)
    assert arm["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "cacheflush" in names(arm)
    assert not {"modify_ldt", "swapcontext"} & names(arm)
    with pytest.raises(SeccompError, match="sparc is not supported"):
        default_profile((), "sparc", KERNEL)


def load(profile: object, capabilities: tuple[str, ...] = (), kernel: tuple[int, int] = KERNEL) -> Any:
    return load_profile(json.dumps(profile), capabilities, "x86_64", kernel)


def call(**more: object) -> dict[str, object]:
    return {"names": ["read"], "action": "SCMP_ACT_ALLOW", **more}


INCLUDED = [
    ({}, True),
    ({"includes": {}, "excludes": {}}, True),
    ({"includes": None}, True),
    ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
    ({"includes": {"caps": ["CAP_CHOWN", "CAP_KILL"]}}, False),
    ({"excludes": {"caps": ["CAP_CHOWN", "CAP_KILL"]}}, False),
    ({"excludes": {"caps": ["CAP_KILL"]}}, True),
    ({"includes": {"arches": ["arm64", "amd64"]}}, True),
    ({"includes": {"arches": ["arm64"]}}, False),
    ({"excludes": {"arches": ["amd64"]}}, False),
    ({"includes": {"minKernel": "6.1"}}, True),
    ({"includes": {"minKernel": "6.2"}}, False),
    ({"includes": {"minKernel": "5.19"}}, True),
    ({"excludes": {"minKernel": "6.1"}}, False),
    ({"excludes": {"minKernel": "6.2"}}, True),
]


@pytest.mark.parametrize(("conditions", "included"), INCLUDED)
def test_conditions_are_resolved(conditions: dict[str, object], included: bool) -> None:
    profile = load({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [call(**conditions)]}, ("CAP_CHOWN",))
    assert profile["syscalls"] == ([call()] if included else [])


def test_fields_are_carried_over() -> None:
    args = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    profile = load(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "defaultErrnoRet": 2,
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "archMap": [
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            ],
            "syscalls": [{"name": "open", "action": "SCMP_ACT_ERRNO", "errnoRet": 3, "args": args, "comment": "x"}],
        }
    )
    assert profile == {
        "defaultAction": "SCMP_ACT_ALLOW",
        "defaultErrnoRet": 2,
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3, "args": args}],
    }


def test_a_profile_that_says_nothing_is_none() -> None:
    assert load({}) is None
    assert load({"syscalls": []}) is None


ERRORS = [
    ("{", "Decoding seccomp profile failed"),
    ("[]", "Decoding seccomp profile failed: it is not a JSON object"),
    ('{"syscalls":[{"names":["read"]}]}', "Decoding seccomp profile failed: KeyError: 'action'"),
    ('{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[7]}', "Decoding seccomp profile failed"),
    ('{"defaultAction":"x","syscalls":[{"names":["a"],"name":"b","action":"c"}]}', "use either 'name' or 'names'"),
    ('{"defaultAction":"x","architectures":["a"],"archMap":[{}]}', "use either 'architectures' or 'archMap'"),
    (
        '{"defaultAction":"x","syscalls":[{"names":["a"],"action":"c","includes":{"minKernel":"six"}}]}',
        "invalid kernel version: six",
    ),
    ('{"defaultAction":"x","syscalls":[{"names":["a"],"action":"c","errnoRet":"1"}]}', "a number is wanted"),
    ('{"defaultAction":"x","syscalls":[{"names":["a"],"action":"c","args":[{"index":0}]}]}', "KeyError: 'value'"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_a_broken_profile_is_refused(text: str, message: str) -> None:
    with pytest.raises(SeccompError, match=message):
        load_profile(text, (), "x86_64", KERNEL)
