"""A container looks from inside as it does under dockerd: capabilities, mounts, devices, limits, what is refused.

Docker's answers are recorded in tests/peer/inside.json (`make record-peer`) on a machine with cgroup v1 controllers.
"""

import json
from pathlib import Path

import pytest

from support.engine import Engine
from support.inside import RECORDED, VARIANTS, look

VIEWS = json.loads(RECORDED.read_text())["views"]

# Blocks that tell about the recording machine, not about the engine: compared only where the same peer answers now.
MACHINE = {
    "cgroup": "the hierarchies are those of the machine",
    "sysctls": "the kernel's own defaults",
}

# (variant or *, block, start of the line): a difference that is meant, and why.
ALLOWED: list[tuple[str, str, str, str]] = [
    ("*", "limits", "Max processes", "RLIMIT_NPROC is the daemon's own and follows the machine's memory"),
    ("*", "limits", "Max pending signals", "likewise"),
    ("*", "limits", "Max open files", "the daemon's own limit, unless --ulimit names one (see test_run)"),
    ("*", "limits", "Max core file size", "likewise"),
    ("*", "limits", "Max locked memory", "likewise"),
    ("privileged", "dev", "", "a privileged container has the devices of its machine"),
    ("*", "mounts", "/sys/fs/cgroup / ", "the tmpfs that holds the hierarchies of version 1 is read-only here"),
    ("*", "writable", "/sys/fs/cgroup ", "likewise: nothing is to be made there"),
    ("*", "status1", "SigIgn", "busybox sh ignores SIGQUIT while it runs a script; a matter of the moment"),
]


def same_machine() -> bool:
    """The recorded mounts of cgroup are comparable where the same controllers are on version 1."""
    recorded = {line.split()[0] for line in VIEWS["default"]["mounts"] if " cgroup cgroup " in line}
    here = {f"/sys/fs/cgroup/{path.name}" for path in Path("/sys/fs/cgroup").iterdir() if path.name != "unified"}
    return recorded <= here


def kept(variant: str, block: str, lines: list[str]) -> list[str]:
    """The lines that must agree."""
    starts = tuple(start for v, b, start, _ in ALLOWED if b == block and v in ("*", variant))
    rest = [line for line in lines if not (starts and line.startswith(starts))]
    return rest if same_machine() else [line for line in rest if "cgroup" not in line]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_view_from_inside(engine: Engine, variant: str) -> None:
    seen = look(engine, VARIANTS[variant])
    expected = VIEWS[variant]
    assert seen.keys() == expected.keys()
    different = {}
    for block in expected.keys() - MACHINE.keys():
        want, got = kept(variant, block, expected[block]), kept(variant, block, seen[block])
        if want != got:
            different[block] = {"missing": [x for x in want if x not in got], "more": [x for x in got if x not in want]}
    assert not different, json.dumps(different, indent=1, ensure_ascii=False)
