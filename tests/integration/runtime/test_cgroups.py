"""Control groups of a container: what stands between two monitors that make the same parent at once."""

import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.runtime import cgroups, limits
from support.processes import wait_for

ENTER = """
import sys, time
from sampan.runtime import cgroups
cgroups.Group(sys.argv[1:], None).enter()
print(1, flush=True)
time.sleep(100)
"""


@pytest.fixture
def parent() -> Iterator[str]:
    """The path of a group of this test alone, removed afterwards with what is in it."""
    name = f"sampan-test-{uuid.uuid4().hex[:8]}"
    yield f"/{name}"
    for point in cgroups.probe().mounts:
        cgroups.remove_tree(f"{point}/{name}")


@pytest.mark.skipif("cpuset" not in cgroups.probe().v1, reason="version 2 cpusets are never empty")
def test_a_parent_that_its_maker_has_not_filled_yet(parent: str) -> None:
    layout = cgroups.probe()
    cpuset = Path(f"{layout.v1['cpuset']}{parent}")
    cpuset.mkdir()  # and no more: so another monitor may find it, or for ever if its maker was killed
    assert (cpuset / "cpuset.cpus").read_text().strip() == ""
    path = f"{parent}/one"
    group = cgroups.plan(layout, path)
    limits.create(layout, group, path, {})
    command = (
        "import sys, time; from sampan.runtime import cgroups; cgroups.Group(sys.argv[1:], None).enter(); print(1)"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", f"{command}; sys.stdout.flush(); time.sleep(100)", *group.paths], stdout=subprocess.PIPE
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"1\n"
        assert f":cpuset:{path}\n" in Path(f"/proc/{program.pid}/cgroup").read_text()
    finally:
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    assert (cpuset / "cpuset.cpus").read_text() == Path(f"{layout.v1['cpuset']}/cpuset.cpus").read_text()


def test_frozen_and_thawed(parent: str) -> None:
    """A program that counts stands still from the moment that the group says so, on both versions."""
    layout = cgroups.probe()
    path = f"{parent}/one"
    group = cgroups.plan(layout, path)
    limits.create(layout, group, path, {})
    count = "import sys\nfrom sampan.runtime import cgroups\ncgroups.Group(sys.argv[1:], None).enter()\n"
    count += "while True:\n    print(1, flush=True)\n"
    with subprocess.Popen([sys.executable, "-c", count, *group.paths], stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == b"1\n"
            group.freeze(frozen=True)
            wait_for(group.is_frozen, "the group is frozen")
            os.set_blocking(program.stdout.fileno(), False)
            while program.stdout.read(1 << 20):
                pass
            output = select.poll()
            output.register(program.stdout, select.POLLIN)
            assert output.poll(100) == [], "it still writes"  # ms; running it would fill the pipe in one
            group.freeze(frozen=False)
            assert output.poll(10_000), "it does not go on"
            assert not group.is_frozen()
        finally:
            group.kill()
