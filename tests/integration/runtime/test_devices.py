"""Device policies in real cgroups: the same opens and mknods are allowed on v1 and v2."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sampan.linux import bpf
from sampan.runtime import devices
from sampan.runtime.devices import ALLOW_ALL, DENY_ALL, RUNTIME_RULES, Policy, Rule, policy
from support.privileges import root_or_skip

NULL, ZERO, KMSG = (1, 3), (1, 5), (1, 11)


def mount_of(kind: str, option: str) -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, found, options, *_ = line.split()
        if found == kind and (not option or option in options.split(",")):
            return Path(where)
    return None


@contextmanager
def v1(rules: Policy) -> Iterator[Path]:
    root = mount_of("cgroup", "devices")
    if root is None:
        pytest.skip("no devices controller of cgroup v1 is mounted here")
    group = root / f"sampan-test-{os.getpid()}"
    group.mkdir()
    try:
        for file, line in devices.v1_lines(rules):
            (group / file).write_text(line)
        yield group
    finally:
        group.rmdir()


@contextmanager
def v2(rules: Policy) -> Iterator[Path]:
    root = mount_of("cgroup2", "")
    if root is None:
        pytest.skip("no cgroup2 tree is mounted here")
    group = root / f"sampan-test-{os.getpid()}"
    group.mkdir()
    try:
        program = bpf.load(bpf.device_program(devices.v2_matches(rules), allow_by_default=rules.allow_by_default))
        directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
        bpf.attach(directory, program)
        os.close(program)  # the cgroup keeps it
        os.close(directory)
        yield group
    finally:
        group.rmdir()


def attempt(what: Callable[[], object]) -> str:
    try:
        what()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "done"


def look(group: Path, work: Path) -> dict[str, str]:
    """What a process in ``group`` may do."""
    made = {"null": NULL, "zero": ZERO, "kmsg": KMSG}
    for name, numbers in made.items():
        os.mknod(work / name, stat.S_IFCHR | 0o600, os.makedev(*numbers))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            (group / "cgroup.procs").write_text("0")
            answers = {
                f"{name} {mode}": attempt(lambda n=name, f=flags: os.close(os.open(work / n, f | os.O_NONBLOCK)))
                for name in made
                for mode, flags in (("r", os.O_RDONLY), ("w", os.O_WRONLY), ("rw", os.O_RDWR))
            }
            answers["mknod"] = attempt(lambda: os.mknod(work / "new", stat.S_IFCHR | 0o600, os.makedev(*KMSG)))
            os.write(writer, repr(answers).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as output, closing(output):
        text = output.read()
    os.waitpid(pid, 0)
    return dict(eval(text))


DONE, NO = "done", "Operation not permitted"
OPENS = [f"{name} {mode}" for name in ("null", "zero", "kmsg") for mode in ("r", "w", "rw")]
CASES = [
    (
        "a container's default",
        [DENY_ALL, *RUNTIME_RULES],
        {**dict.fromkeys(OPENS, DONE), "kmsg r": NO, "kmsg w": NO, "kmsg rw": NO, "mknod": DONE},
    ),
    ("nothing", [DENY_ALL], {**dict.fromkeys(OPENS, NO), "mknod": NO}),
    ("everything", [ALLOW_ALL], {**dict.fromkeys(OPENS, DONE), "mknod": DONE}),
    (
        "reading one device",
        [DENY_ALL, Rule(True, "c", 1, 5, "r")],
        {**dict.fromkeys(OPENS, NO), "zero r": DONE, "mknod": NO},
    ),
    (
        "all but writing one device",
        [ALLOW_ALL, Rule(False, "c", 1, 3, "w")],
        {**dict.fromkeys(OPENS, DONE), "null w": NO, "null rw": NO, "mknod": DONE},
    ),
]


@pytest.mark.parametrize("version", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize(("rules", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_policy_holds(version: Callable, rules: list[Rule], expected: dict[str, str], tmp_path: Path) -> None:  # type: ignore[type-arg]
    root_or_skip()
    with version(policy(rules)) as group:
        assert look(group, tmp_path) == expected


def test_a_program_that_the_verifier_refuses_says_why() -> None:
    root_or_skip()
    with pytest.raises(OSError, match=r"bpf\(5\): .*: .*(R0|processed|exit)"):
        bpf.load(bpf.instruction(0x95))  # exit without a result
