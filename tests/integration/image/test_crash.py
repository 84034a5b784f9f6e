"""The process dies at random moments of load, tag and remove: what it acknowledged is whole, nothing else is left."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.image.conftest import Machine
from integration.storage.suite import active, listing
from support.privileges import root_or_skip

WORKER = """
import io, sys
from pathlib import Path
from integration.image.conftest import Machine
from integration.image.suite import archive, docker_files, layer

machine = Machine(Path(sys.argv[1]))
machine.images.sweep()
shared = layer(("shared", b"s" * 100_000))
number = int(sys.argv[2])
while True:
    own = layer((f"own", b"%d" % number), *((f"f{n}", b"x" * 1000) for n in range(50)))
    machine.images.load(io.BytesIO(archive(docker_files([shared, own], [f"app:{number}"]))), lambda message: None)
    print("loaded", number, flush=True)
    machine.images.tag(f"app:{number}", "tagged", str(number))
    print("tagged", number, flush=True)
    if number % 2:
        print("removing", number, flush=True)
        for name in (f"app:{number}", f"tagged:{number}"):
            machine.images.remove(name, in_use=lambda image: [])
        print("removed", number, flush=True)
    number += 1
"""


def _run_and_kill(root: Path, first: int, seconds: float) -> list[tuple[str, int]]:
    """Let a worker run for a while, kill it, and return what it said was done."""
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-c", WORKER, str(root), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(tests)}) as worker:
        assert worker.stdout is not None
        said = [worker.stdout.readline()]
        time.sleep(seconds)  # the moment of death is the point, not something to wait for
        worker.kill()
        said += worker.stdout.readlines()
    words = [line.split() for line in said if line.endswith("\n")]
    return [(word, int(number)) for word, number in words]


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path, make_machine: Callable[[str], Machine]) -> None:
    root_or_skip()
    root, chance = tmp_path / "root", random.Random(12)
    done: dict[int, str] = {}
    for _ in range(12):
        said = _run_and_kill(root, max(done, default=-1) + 2, chance.uniform(0, 0.15))
        done |= {number: word for word, number in said}
    machine = make_machine("root")
    machine.images.sweep()
    _check_acknowledged(machine, done)
    _check_nothing_else(machine)


def _check_acknowledged(machine: Machine, done: dict[int, str]) -> None:
    names = {name for image in machine.images.list() for name in image.tags}
    for number, word in done.items():
        if word in ("loaded", "tagged"):
            assert f"app:{number}" in names
        if word == "tagged":
            assert f"tagged:{number}" in names
        if word == "removed":
            assert not {f"app:{number}", f"tagged:{number}"} & names
    assert len(done) > 5


def _check_nothing_else(machine: Machine) -> None:
    images = machine.images.list()
    assert machine.images.damaged == {}
    assert machine.stored() == {
        "content/ingest": [],
        "content/blobs/sha256": sorted({one[7:] for image in images for one in (image.id, *image.blobs)}),
        "layers": sorted({one[7:] for image in images for one in image.chain_ids}),
    }
    for number, image in enumerate(images):
        with active(machine.snapshots, f"k{number}", image.chain_ids) as root:
            assert len(listing(root)) == 52
