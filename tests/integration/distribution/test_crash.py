"""sampand is killed in the middle of a pull or a push: the next one is clean, and the next try goes through."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.doom import Doomed
from support.images import BUSYBOX
from support.registry import Registry

NAME = "127.0.0.1:5000/some/where:1"
PUSHING = (
    ("sampan.distribution.push:Push._packed", "after"),
    ("sampan.distribution.push:Push._upload", "before"),
    ("sampan.distribution.push:Push._upload", "after"),
    ("sampan.distribution.registry:Repository.put_blob", "before"),
    ("sampan.image.store:Images.hand_on", "before"),
    ("sampan.image.store:Images.hand_on", "after"),
    ("sampan.distribution.registry:Repository.put_manifest", "before"),
    ("sampan.distribution.registry:Repository.put_manifest", "after"),
    ("sampan.image.store:Images.add_names", "before"),
    ("sampan.image.store:Images.add_names", "after"),
)
PULLING = (
    ("sampan.distribution.registry:Repository.manifest", "after"),
    ("sampan.distribution.download:Downloads.fetch", "before"),
    ("sampan.distribution.download:Downloads.fetch", "after"),
    ("sampan.image.store:Images.install", "before"),
    ("sampan.image.layers:unpack_blob", "before"),
    ("sampan.image.layers:unpack_blob", "after"),
    ("sampan.image.store:Images._sync", "before"),
    ("sampan.image.store:Images._put", "before"),
    ("sampan.image.store:Images._put", "after"),
)


@pytest.fixture
def place() -> Iterator[tuple[Doomed, Registry]]:
    """A sampand that can be made to die, with an image, and a registry on its loopback."""
    with Doomed() as one, Registry(one.space) as registry:
        one.engine.load_busybox()
        one.engine.ok("tag", BUSYBOX, NAME)
        yield one, registry


def stored(root: Path) -> dict[str, list[str]]:
    return {name: sorted(path.name for path in (root / name).iterdir()) for name in ("content/ingest", "layers")}


def blobs(root: Path) -> set[str]:
    return {path.name for path in (root / "content/blobs/sha256").iterdir()}


@pytest.mark.parametrize(("function", "moment"), PUSHING)
def test_killed_in_a_push(place: tuple[Doomed, Registry], function: str, moment: str) -> None:
    doomed, _ = place
    engine = doomed.engine
    identity, before, held = engine.look(NAME, "{{.Id}}"), stored(doomed.data), blobs(doomed.data)
    doomed.doomed(function, moment)
    assert engine.docker("push", NAME).code != 0
    doomed.wait_dead()
    doomed.start()
    assert engine.look(NAME, "{{.Id}}") == identity
    assert stored(doomed.data) == before
    handed_on = PUSHING.index((function, moment)) > PUSHING.index(("sampan.image.store:Images.hand_on", "before"))
    assert (blobs(doomed.data) == held) != handed_on  # else the packed layer and the manifest are the image's by now
    said = engine.ok("push", NAME).splitlines()[-1]
    engine.ok("rmi", "-f", NAME, BUSYBOX)
    assert blobs(doomed.data) == set()
    pulled = engine.ok("pull", NAME).splitlines()
    assert pulled[-3].removeprefix("Digest: ") in said
    assert engine.look(NAME, "{{.Id}}") == identity
    assert engine.run(NAME, "echo", "hi").out == "hi\n"


@pytest.mark.parametrize(("function", "moment"), PULLING)
def test_killed_in_a_pull(place: tuple[Doomed, Registry], function: str, moment: str) -> None:
    doomed, registry = place
    engine = doomed.engine
    identity = engine.look(NAME, "{{.Id}}")
    engine.ok("push", NAME)
    engine.ok("rmi", "-f", NAME, BUSYBOX)
    before = stored(doomed.data)
    doomed.doomed(function, moment)
    assert engine.docker("pull", NAME).code != 0
    doomed.wait_dead()
    doomed.start()
    there = (function, moment) == PULLING[-1]
    assert engine.ok("images", "-q", "--no-trunc") == (identity if there else "")
    if not there:
        assert stored(doomed.data) == before
    asked, held = len(registry.requests()), blobs(doomed.data)
    engine.ok("pull", NAME)
    fetched = {
        one.rpartition(":")[2] for one in registry.requests()[asked:] if one.startswith("GET") and "/blobs/" in one
    }
    assert not fetched & held  # what came whole before the death isn't asked for again
    assert engine.run(NAME, "echo", "hi").out == "hi\n"
    engine.clean()
    engine.ok("rmi", "-f", NAME)
    assert stored(doomed.data) == before
    assert blobs(doomed.data) == set()
