"""Images compared with what dockerd made of the same archives (recorded: tests/peer/record_images.py)."""

import gzip
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from integration.image.conftest import Machine
from integration.image.suite import tree
from integration.storage.suite import active, unfurnished
from peer import image_cases as cases
from sampan.image.errors import ImageError

PEER = Path(__file__).parents[2] / "peer"
RECORD: dict[str, Any] = json.loads((PEER / "images.json").read_text())


def facts(machine: Machine, identity: str) -> dict[str, Any]:
    image = machine.images.resolve(identity)
    inspected = {
        "Id": image.id, "RepoTags": list(image.tags), "RepoDigests": list(image.digests), "Size": image.size,
        "Created": image.created, "Architecture": image.architecture, "Os": image.os,
        "RootFS": {"Type": "layers"} | ({"Layers": list(image.diff_ids)} if image.diff_ids else {}),
    }  # fmt: skip
    return cases.facts(inspected, machine.images.history(identity))


@pytest.mark.parametrize("name", cases.LOADS)
def test_load(machine: Machine, name: str) -> None:
    messages: list[dict[str, object]] = []
    machine.images.load(io.BytesIO(cases.LOADS[name]), messages.append, quiet=True)
    expected = RECORD["loads"][name]
    if name == "v1":
        # dockerd says nothing then, and keeps an image of every step; ours has the one that was saved.
        expected["images"] = [one for one in expected["images"] if one["RepoTags"]]
        for step in expected["images"][0]["History"][1:]:
            step["Id"] = "<missing>"
        expected["messages"] = [{"stream": f"Loaded image: {cases.PREFIX}/v1:{tag}\n"} for tag in "ab"]
    assert messages == expected["messages"]
    found = sorted((facts(machine, image.id) for image in machine.images.list()), key=lambda one: str(one["Id"]))
    assert found == expected["images"]


@pytest.mark.parametrize("kind", ["docker and OCI", "OCI alone", "docker alone"])
def test_an_archive_that_dockerd_saved(machine: Machine, kind: str) -> None:
    saved = gzip.decompress((PEER / "saved.tar.gz").read_bytes())
    if kind != "docker and OCI":
        left_out = ("manifest.json", "repositories") if kind == "OCI alone" else ("index.json", "oci-layout")
        saved = _without(saved, left_out)
    machine.images.load(io.BytesIO(saved), machine.reports.append, quiet=True)
    expected = RECORD["loads"]["docker"]
    assert [facts(machine, image.id) for image in machine.images.list()] == expected["images"]
    assert machine.reports == expected["messages"]


def _without(archive: bytes, names: tuple[str, ...]) -> bytes:
    import tarfile

    kept = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for one in opened:
            file = opened.extractfile(one)
            if one.name not in names and file is not None:
                kept.append(cases.entry(one.name, file.read()))
    return cases.tar(kept)


def test_the_tree_is_the_one_that_dockerd_exports(machine: Machine) -> None:
    machine.images.load(io.BytesIO(cases.LOADS["docker"]), machine.reports.append)
    image = machine.images.resolve(f"{cases.PREFIX}/a:1")
    with active(machine.snapshots, "k", image.chain_ids) as root:
        ours = {name: _exported(root / name, fact) for name, fact in tree(root).items() if name}
    expected = {name: value for name, value in RECORD["loads"]["docker"]["tree"].items() if value[0] != "1"}
    assert {name: ours[name] for name in expected} == expected
    theirs = RECORD["loads"]["docker"]["tree"]
    assert unfurnished(ours).keys() == unfurnished(theirs).keys()


def _exported(path: Path, fact: tuple[Any, ...]) -> list[Any]:
    mode = int(fact[0], 8)
    kind = "5" if stat.S_ISDIR(mode) else "2" if stat.S_ISLNK(mode) else "0"
    content = {"5": "", "2": fact[5]}.get(kind)
    return [kind, oct(stat.S_IMODE(mode)), fact[1], fact[2], path.read_text() if content is None else content]


@pytest.mark.parametrize("name", cases.IMPORTS)
def test_import(machine: Machine, name: str) -> None:
    image = machine.images.import_(io.BytesIO(cases.BASE), None, changes=cases.IMPORTS[name])
    expected = RECORD["imports"][name]
    assert {
        "Config": image.defaults,
        "Comment": image.config["comment"],
        "Os": image.os,
        "Size": image.size,
    } == expected
    assert list(image.defaults) == list(expected["Config"])
    assert image.tags == ()
    assert image.created == "2023-11-14T22:13:20.000000001Z"


@pytest.mark.parametrize("name", cases.BAD_IMPORTS)
def test_bad_changes(machine: Machine, name: str) -> None:
    with pytest.raises(ImageError) as caught:
        machine.images.import_(io.BytesIO(cases.BASE), None, changes=[cases.BAD_IMPORTS[name]])
    assert [caught.value.status, str(caught.value)] == RECORD["imports"][f"bad: {name}"]
    assert machine.stored() == {"content/blobs/sha256": [], "content/ingest": [], "layers": []}


@pytest.mark.parametrize("text", [name for name, answer in RECORD["references"].items() if answer[0] != 301])
def test_names(machine: Machine, text: str) -> None:
    with pytest.raises(ImageError) as caught:
        machine.images.resolve(text)
    assert [caught.value.status, str(caught.value)] == RECORD["references"][text]
