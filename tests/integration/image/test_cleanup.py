"""Clean-up by reachability: what is needed stays, what is not goes, whoever dies or races meanwhile."""

import fcntl
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.image.conftest import Machine
from integration.image.suite import archive, docker_files, layer
from sampan.image import leases
from sampan.image.digest import of
from sampan.image.errors import ImageConflict, ImageError, ImageNotFound
from sampan.image.removal import Use
from sampan.image.store import Images
from sampan.state.images import SqlImageRows
from sampan.state.leases import SqlLeaseRows
from sampan.storage.snapshots import SnapshotMissing
from sampan.storage.tree import remove_tree

HOUR_NS = 3600 * 1_000_000_000
BASE, TOP, OTHER = layer(("a", b"a" * 5000)), layer(("b", b"b" * 5000)), layer(("c", b"c" * 5000))
PARTIAL = "sha256-" + "1" * 64 + ".partial"


def nobody(_image: str) -> list[Use]:
    """No container uses any image."""
    return []


def load(machine: Machine, layers: list[bytes], tag: str) -> str:
    """Load an image; return its ID."""
    machine.images.load(io.BytesIO(archive(docker_files(layers, [tag]))), lambda _message: None, True)
    return machine.images.resolve(tag).id


def images_at(machine: Machine, now_ns: int) -> Images:
    """Images of the data root at another time, with leases in the database."""
    return Images(
        machine.root, SqlImageRows(machine.database), machine.snapshots, leases=SqlLeaseRows(machine.database),
        clock=lambda: now_ns, architecture="amd64",
    )  # fmt: skip


def broken_pull(images: Images) -> None:
    """Bring one blob in, and fail."""
    with images.leased("pull x:1") as held:
        held.pin(of(OTHER))
        held.keep(images.content.put(OTHER))
        raise ConnectionError


def check_exactly_what_rows_need(machine: Machine) -> None:
    """Every row's blobs and layers are there, and after a collect nothing else is."""
    machine.images.collect()
    images = machine.images.list()
    used = {chain for key in sorted(machine.snapshots.keys()) for chain in machine.snapshots.stack(key)}
    stored = machine.stored()
    assert stored["content/ingest"] == []
    assert stored["content/blobs/sha256"] == sorted({one[7:] for i in images for one in (i.id, *i.blobs)})
    assert stored["layers"] == sorted({one[7:] for i in images for one in i.chain_ids} | {one[7:] for one in used})
    for image in images:
        for blob in (image.id, *image.blobs):
            assert of(machine.images.content.path(blob).read_bytes()) == blob


# --- who dies when: the rows of the table in docs/architecture.md

WORKER = """
import importlib, io, os, signal, sys
from pathlib import Path
from integration.image.conftest import Machine
from integration.image.test_cleanup import BASE, OTHER, TOP, load, images_at, nobody
import time

place, moment, what = sys.argv[2:5]
machine = Machine(Path(sys.argv[1]))
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*parents, name = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
real = getattr(owner, name)

def doomed(*arguments, **named):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

if what == "load":
    setattr(owner, name, doomed)
    load(machine, [BASE, OTHER], "new:1")
elif what == "import":
    setattr(owner, name, doomed)
    machine.images.import_(io.BytesIO(OTHER), "new:1")
elif what == "remove":
    setattr(owner, name, doomed)
    machine.images.remove("old:1", in_use=nobody)
elif what == "create":
    setattr(owner, name, doomed)
    machine.snapshots.prepare("k", machine.images.resolve("old:1").chain_ids)
elif what == "lease":
    images = images_at(machine, time.time_ns())
    with images.leased("pull new:1") as held:
        with images.content.ingest() as blob:
            blob.write(OTHER)
            held.pin(blob.digest)
            setattr(owner, name, doomed)
            held.keep(blob.commit())
"""
DEATHS = {
    "load, while a blob is written": ("sampan.image.content:Ingest.commit", "before", "load", ["old:1"]),
    "load, blobs there": ("sampan.image.store:unpack_stack", "before", "load", ["old:1"]),
    "load, while layers are unpacked": ("sampan.image.layers:unpack", "after", "load", ["old:1"]),
    "load, a layer in place": ("sampan.storage.tree:LayerTree.accept", "after", "load", ["old:1"]),
    "load, all in place": ("sampan.image.content:Content.sync", "before", "load", ["old:1"]),
    "load, before the row": ("sampan.state.images:SqlImageRows.put", "before", "load", ["old:1"]),
    "load, after the row": ("sampan.state.images:SqlImageRows.put", "after", "load", ["new:1", "old:1"]),
    "import, before the row": ("sampan.state.images:SqlImageRows.put", "before", "import", ["old:1"]),
    "remove, before the row": ("sampan.state.images:SqlImageRows.delete", "before", "remove", ["old:1"]),
    "remove, after the row": ("sampan.state.images:SqlImageRows.delete", "after", "remove", []),
    "remove, a layer set aside": ("sampan.storage.tree:LayerTree.set_aside", "after", "remove", []),
    "remove, a layer gone": ("sampan.storage.driver:remove_tree", "after", "remove", []),
    "remove, blobs half gone": ("sampan.image.content:Content.delete", "after", "remove", []),
    "create, snapshot there": ("sampan.storage.tree:ActiveTree.add", "after", "create", ["old:1"]),
}


def run_doomed(root: Path, place: str, moment: str, what: str) -> None:
    """Run a worker that kills itself at a place."""
    tests = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(root), place, moment, what],
        env={"PYTHONPATH": str(tests), "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_leaves_what_rows_name_and_nothing_else(machine: Machine, death: str) -> None:
    place, moment, what, expected = DEATHS[death]
    load(machine, [BASE, TOP], "old:1")
    machine.close()
    run_doomed(machine.root, place, moment, what)
    machine.again()
    for key in list(machine.snapshots.keys()):  # the engine sweeps snapshots of which it has no row
        machine.snapshots.discard(key)
    assert sorted(name for image in machine.images.list() for name in image.tags) == expected
    check_exactly_what_rows_need(machine)


@pytest.mark.parametrize(("moment", "kept"), [("before", False), ("after", True)])
def test_a_death_in_a_leased_operation_keeps_what_it_wrote_down(machine: Machine, moment: str, kept: bool) -> None:
    machine.close()
    run_doomed(machine.root, "sampan.state.leases:SqlLeaseRows.put", moment, "lease")
    machine._open()
    now = time.time_ns()
    images_at(machine, now).sweep()
    assert machine.images.content.has(of(OTHER)) is kept
    images_at(machine, now + 25 * HOUR_NS).sweep()
    assert machine.stored()["content/blobs/sha256"] == []
    assert SqlLeaseRows(machine.database).all() == []


def test_killed_once_more_while_sweeping(machine: Machine) -> None:
    load(machine, [BASE, TOP], "old:1")
    machine.close()
    run_doomed(machine.root, "sampan.state.images:SqlImageRows.put", "before", "load")
    machine._open()
    calls = iter((None, None))
    delete = machine.images.content.delete

    def fails_later(digest: str) -> None:
        if next(calls, 1):
            raise RuntimeError("died")
        delete(digest)

    machine.images.content.delete = fails_later  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        machine.images.sweep()
    machine.again()
    check_exactly_what_rows_need(machine)


# --- leases


def test_a_lease_keeps_for_a_day_and_its_good_end_releases(machine: Machine) -> None:
    start = time.time_ns()
    images = images_at(machine, start)
    with pytest.raises(ConnectionError):
        broken_pull(images)
    images.collect()
    assert images.content.has(of(OTHER))
    assert images.holders() == {of(OTHER): ["lease pull x:1"]}
    again = images_at(machine, start + 23 * HOUR_NS)
    again.sweep()
    assert again.content.has(of(OTHER))
    with again.leased("pull x:1"):
        assert again.content.has(of(OTHER))
    assert not again.content.has(of(OTHER))
    assert again.leases.list() == [] == SqlLeaseRows(machine.database).all()


def test_a_lease_keeps_layers_too(machine: Machine) -> None:
    images = images_at(machine, time.time_ns())
    load(machine, [BASE], "old:1")
    images._reread()
    image = images.resolve("old:1")
    images.leases.add("cache", image.chain_ids)
    images.remove("old:1", in_use=nobody)
    assert machine.snapshots.has(image.chain_ids[0])
    images.leases.release("cache")
    images.collect()
    assert not machine.snapshots.has(image.chain_ids[0])


def test_what_is_held_is_read_to_its_end(machine: Machine) -> None:
    load(machine, [BASE, TOP], "old:1")
    with machine.images.holding("old:1") as image:
        machine.images.remove("old:1", in_use=nobody)
        machine.images.collect()
        assert all(machine.images.content.has(blob) for blob in (image.id, *image.blobs))
        assert all(machine.snapshots.has(chain) for chain in image.chain_ids)
    assert machine.stored() == {"content/blobs/sha256": [], "content/ingest": [], "layers": []}
    with pytest.raises(ImageNotFound), machine.images.holding("old:1"):
        raise AssertionError


# --- partial downloads


@pytest.mark.parametrize(("age_h", "kept"), [(0, True), (23.9, True), (24.1, False), (1000, False), (-30, False)])
@pytest.mark.parametrize("moment", ["sweep", "collect"])
def test_partial_downloads_are_kept_for_a_day(machine: Machine, age_h: float, kept: bool, moment: str) -> None:
    path, now = machine.root / "content/ingest" / PARTIAL, time.time_ns()
    path.write_bytes(b"half")
    written = now - int(age_h * HOUR_NS)
    os.utime(path, ns=(written, written))
    getattr(images_at(machine, now), moment)()
    assert path.exists() is kept


def test_a_partial_download_that_is_locked_is_being_gone_on_with(machine: Machine) -> None:
    path = machine.root / "content/ingest" / PARTIAL
    path.write_bytes(b"half")
    late = images_at(machine, time.time_ns() + 25 * HOUR_NS)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        late.collect()
        assert path.exists()
    late.collect()
    assert not path.exists()


def test_what_only_looks_like_a_partial_download_harms_nobody(machine: Machine) -> None:
    ingest = machine.root / "content/ingest"
    (ingest / "random").write_bytes(b"x")
    (ingest / "link.partial").symlink_to("/etc/passwd")
    os.mkfifo(ingest / "pipe.partial")
    images_at(machine, time.time_ns() + 25 * HOUR_NS).sweep()
    assert os.listdir(ingest) == []
    assert Path("/etc/passwd").exists()


def test_a_clock_that_was_set_back_ends_a_lease_in_the_far_future(machine: Machine) -> None:
    images_at(machine, time.time_ns() + 1000 * leases.KEPT_NS).leases.add("pull x:1", ["sha256:" + "1" * 64])
    now = images_at(machine, time.time_ns())
    assert now.leases.held(time.time_ns()) == set()
    now.collect()
    assert now.leases.list() == []


# --- races


def _app(number: int) -> bytes:
    """The archive of an image that shares its lower layer with the others."""
    own = layer((f"own{number}", b"%d" % number * 2000))
    return archive(docker_files([BASE, own], [f"app{number}:1"]))


PATIENCE_S = 60.0


class Crew:
    """Threads that do what clients do, on a few images that share layers; what they raise is kept."""

    def __init__(self, machine: Machine, seconds: float) -> None:
        self.machine = machine
        self.deadline = time.monotonic() + seconds
        self.problems: list[BaseException] = []
        self.done: dict[str, int] = {}
        self.wanted: set[str] = set()
        self.making: dict[str, str] = {}
        self.containers: dict[str, str] = {}
        self.archives = {f"app{number}:1": _app(number) for number in range(3)}

    def run(self, *work: Callable[[random.Random], None]) -> None:
        """Each work again and again, in a thread of its own, until time is up and each has been done once."""
        self.wanted = {one.__name__ for one in work}
        threads = [threading.Thread(target=self._loop, args=(one, number)) for number, one in enumerate(work)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.problems:
            raise self.problems[0]

    def _loop(self, work: Callable[[random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        try:
            while (time.monotonic() < self.deadline or self._lacks()) and not self.problems:
                try:
                    work(chance)
                    self.done[work.__name__] = self.done.get(work.__name__, 0) + 1
                except (ImageNotFound, ImageConflict):
                    continue  # somebody else was faster
        except BaseException as error:
            self.problems.append(error)

    def _lacks(self) -> bool:
        """Whether something was never done, on a busy machine: it needs the others. A minute is enough for all."""
        return time.monotonic() < self.deadline + PATIENCE_S and not self.wanted <= self.done.keys()

    def uses(self, image_id: str) -> list[Use]:
        """As the engine asks: those being made first."""
        making = [Use(key, False) for key, image in list(self.making.items()) if image == image_id]
        return [*making, *(Use(key, False) for key, image in list(self.containers.items()) if image == image_id)]

    def load(self, chance: random.Random) -> None:
        tag = chance.choice(sorted(self.archives))
        self.machine.images.load(io.BytesIO(self.archives[tag]), lambda _message: None, True)

    def import_(self, chance: random.Random) -> None:
        self.machine.images.import_(io.BytesIO(BASE), chance.choice(["app0:1", "imported:1"]))

    def tag(self, chance: random.Random) -> None:
        self.machine.images.tag(chance.choice(sorted(self.archives)), "other", chance.choice("12"))

    def untag(self, chance: random.Random) -> None:
        ref = chance.choice([*self.archives, "other:1", "other:2", "imported:1"])
        self.machine.images.remove(ref, force=chance.random() < 0.3, in_use=self.uses)

    def prune(self, _chance: random.Random) -> None:
        for image in self.machine.images.list():
            if not image.tags:
                self.machine.images.remove(image.id, in_use=self.uses)
        self.machine.images.collect()

    def create(self, chance: random.Random) -> None:
        """A container's life: its image's layers must be whole as long as it lives."""
        images, snapshots = self.machine.images, self.machine.snapshots
        image, key = images.obtain(chance.choice(sorted(self.archives))), f"{chance.getrandbits(128):032x}"
        try:
            with images.present(image.id):
                self.making[key] = image.id
            snapshots.prepare(key, image.chain_ids)
            self.containers[key] = image.id
        except SnapshotMissing:
            snapshots.discard(key)
            raise AssertionError("the layers of an image that was claimed were gone") from None
        finally:
            self.making.pop(key, None)
        mounted = snapshots.mount(key)
        assert "a" in os.listdir(f"/proc/self/fd/{mounted.root}")
        mounted.close()
        for chain_id in image.chain_ids:
            assert snapshots.has(chain_id)
        del self.containers[key]
        snapshots.discard(key)
        if image.id not in {one.id for one in images.list()}:
            images.collect()

    def hold(self, chance: random.Random) -> None:
        """Somebody who reads an image from its blobs, as save does."""
        images = self.machine.images
        with images.holding(chance.choice(sorted(self.archives))) as image:
            for blob in (image.id, *image.blobs):
                assert of(images.content.path(blob).read_bytes()) == blob


@pytest.mark.slow
def test_all_at_once(machine: Machine) -> None:
    crew = Crew(machine, 6)
    crew.run(crew.load, crew.load, crew.import_, crew.tag, crew.untag, crew.untag, crew.prune, crew.create, crew.create,
             crew.hold)  # fmt: skip
    assert {"load", "tag", "untag", "prune", "create", "hold", "import_"} <= crew.done.keys()
    check_exactly_what_rows_need(machine)
    for image in machine.images.list():
        machine.images.remove(image.id, force=True, in_use=nobody)
    assert machine.stored() == {"content/blobs/sha256": [], "content/ingest": [], "layers": []}


def test_nobody_waits_for_a_large_image_to_be_deleted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    load(machine, [BASE, TOP], "old:1")
    kept = load(machine, [OTHER], "kept:1")
    deleting, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> None:
        deleting.set()
        assert go_on.wait(5)
        remove_tree(path)

    monkeypatch.setattr("sampan.storage.driver.remove_tree", slow)
    remover = threading.Thread(target=lambda: machine.images.remove("old:1", in_use=nobody))
    remover.start()
    assert deleting.wait(5)
    claimed = threading.Event()

    def claim() -> None:
        with machine.images.present(kept):
            claimed.set()

    threading.Thread(target=claim).start()
    assert claimed.wait(2)
    assert load(machine, [OTHER], "again:1") == kept
    go_on.set()
    remover.join()
    check_exactly_what_rows_need(machine)


def test_an_image_that_is_claimed_is_seen_as_used(machine: Machine) -> None:
    """The moment between "there is such an image" and "a container is being made of it" is nobody's."""
    image_id = load(machine, [BASE], "old:1")
    making: dict[str, str] = {}
    crew_sees: list[str] = []

    def in_use(asked: str) -> list[Use]:
        crew_sees.extend(making.values())
        return [Use("k", False)] if asked in making.values() else []

    inside, go_on = threading.Event(), threading.Event()

    def claim() -> None:
        with machine.images.present(image_id):
            inside.set()
            go_on.wait(5)
            making["k"] = image_id

    claimer = threading.Thread(target=claim)
    claimer.start()
    inside.wait(5)

    def remove() -> None:
        with pytest.raises(ImageConflict):
            machine.images.remove("old:1", in_use=in_use)

    remover = threading.Thread(target=remove)
    remover.start()
    time.sleep(0.05)  # it waits for the lock: had it not, it would have asked already
    assert crew_sees == []
    go_on.set()
    claimer.join()
    remover.join()
    assert crew_sees == [image_id]
    assert machine.images.resolve("old:1").id == image_id
    with pytest.raises(ImageError), machine.images.present("sha256:" + "0" * 64):
        raise AssertionError
