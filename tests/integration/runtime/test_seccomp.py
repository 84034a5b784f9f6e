"""The kernel takes compiled filters, and they refuse what Docker's refuse: tests/peer/seccomp.json, from inside."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import process
from sampan.linux.seccomp import Filter, available
from sampan.linux.syscall import call, prepare
from sampan.runtime import capabilities
from sampan.runtime.seccomp import compile_filter, native_architecture
from sampan.runtime.seccomp_profile import default_profile
from support.images import static_program
from support.privileges import root_or_skip

PEER = Path(__file__).parents[2] / "peer"
ANSWERS = json.loads((PEER / "seccomp.json").read_text())
EPERM, ENOSYS = 1, 38
# Newer profiles than that of dockerd 26.1 refuse AF_ALG sockets.
DIFFERENT = {"socket_alg": EPERM}


def in_child(run: Callable[[], None]) -> tuple[str, int]:
    """What ``run`` writes to descriptor 1, and the wait status of the process that ran it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(writer, 1)
            os.close(reader)
            run()
            code = 0
        except BaseException as error:  # the child of a test must never go on as pytest
            os.write(1, repr(error).encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as output:
        text = output.read()
    return text, os.waitpid(pid, 0)[1]


def with_capabilities(names: list[str]) -> None:
    """Leave this process what a container has."""
    bits = capabilities.mask(names)
    for number in range(64):
        if not bits >> number & 1:
            process.drop_bounding(number)
    process.set_capabilities(bits, bits, 0)


@pytest.mark.parametrize(("name", "added"), [("default", []), ("sys_admin", ["CAP_SYS_ADMIN"])])
def test_a_container_can_call_what_it_can_under_dockerd(name: str, added: list[str]) -> None:
    root_or_skip()
    if os.uname().machine != "x86_64":
        pytest.skip("the recorded answers are of x86-64")
    probe = static_program((PEER / "seccomp_probe.c").read_text())
    usable = capabilities.usable()
    given = capabilities.tweak(added, [], usable)
    release = os.uname().release.split(".")
    program = compile_filter(default_profile(given, "x86_64", (int(release[0]), int(release[1]))))

    def run() -> None:
        prepare()
        filter_ = Filter(program)
        process.set_subreaper()
        process.unshare(process.CLONE_NEWUTS | process.CLONE_NEWIPC | process.CLONE_NEWNS | process.CLONE_NEWNET)
        filter_.install()  # needs CAP_SYS_ADMIN; what follows is allowed by the profile
        with_capabilities(given)
        os.execv(probe, [str(probe)])

    output, status = in_child(run)
    answers = {line.split()[0]: int(line.split()[1]) for line in output.splitlines()}
    assert status == 0, output
    expected = {probe: refused(ANSWERS[name], probe) for probe in ANSWERS[name]}
    if added and (int(release[0]), int(release[1])) < (6, 18):
        answers.pop("syslog"), expected.pop("syslog")  # older kernels take CAP_SYS_ADMIN for CAP_SYSLOG
    expected.update(DIFFERENT)
    assert {probe: refused(answers, probe) for probe in answers} == expected


def refused(answers: dict[str, int], probe: str) -> int:
    """EPERM or ENOSYS, or 0 for what the kernel itself answered (its errnos are the machine's affair)."""
    return answers[probe] if answers[probe] in (EPERM, ENOSYS) else 0


def write(text: str) -> None:
    os.write(1, text.encode())


def profile(action: str, **more: Any) -> dict[str, Any]:
    entry = {"names": ["setpriority"], "action": action, **more}
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [native_architecture()], "syscalls": [entry]}


def test_errno_comes_back_and_other_calls_work() -> None:
    root_or_skip()
    filter_ = Filter(compile_filter(profile("SCMP_ACT_ERRNO", errnoRet=77)))

    def run() -> None:
        filter_.install()
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        except OSError as error:
            write(f"{error.errno} {os.getpid() > 0}")

    assert in_child(run) == ("77 True", 0)


@pytest.mark.parametrize(
    ("action", "end"),
    [("SCMP_ACT_KILL", signal.SIGSYS), ("SCMP_ACT_KILL_PROCESS", signal.SIGSYS), ("SCMP_ACT_TRAP", signal.SIGSYS)],
)
def test_killing_actions_kill(action: str, end: signal.Signals) -> None:
    root_or_skip()
    filter_ = Filter(compile_filter(profile(action)))

    def run() -> None:
        filter_.install()
        os.setpriority(os.PRIO_PROCESS, 0, 0)

    _, status = in_child(run)
    assert os.WTERMSIG(status) == signal.SIGSYS


def test_without_rights_a_filter_needs_no_new_privileges() -> None:
    root_or_skip()
    filter_ = Filter(compile_filter(profile("SCMP_ACT_ERRNO")))

    def run() -> None:
        prepare()
        os.setresuid(65534, 65534, 65534)
        try:
            filter_.install()
        except PermissionError as error:
            write(f"{error.strerror}; ")
        process.set_no_new_privileges()
        filter_.install()
        write("installed")

    assert in_child(run) == ("seccomp(SECCOMP_SET_MODE_FILTER): Permission denied; installed", 0)


def test_a_filter_holds_for_what_is_started() -> None:
    root_or_skip()
    spec = profile("SCMP_ACT_ERRNO")
    spec["syscalls"][0]["names"] = ["mkdir", "mkdirat"]
    filter_ = Filter(compile_filter(spec))

    def run() -> None:
        filter_.install()
        os.execv("/bin/sh", ["sh", "-c", "mkdir /tmp/never-made 2>/dev/null || echo refused"])

    assert in_child(run) == ("refused\n", 0)


def test_a_broken_program_is_refused_by_the_kernel() -> None:
    root_or_skip()

    def run() -> None:
        try:
            Filter(b"\x20\x00\x00\x00\x00\x00\x00\x00").install()  # runs off its end
        except OSError as error:
            write(str(error.errno))

    assert in_child(run) == ("22", 0)


def test_seccomp_is_there() -> None:
    assert available()
    assert call("prctl", 21, 0, 0, 0, 0) == 0  # PR_GET_SECCOMP: this process has no filter
