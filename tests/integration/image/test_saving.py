"""Images saved: dockerd's layout whatever the blobs are packed with, read back with equal IDs; damage is told."""

import bz2
import gzip
import io
import itertools
import json
import os
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from integration.image.conftest import Machine
from integration.image.suite import archive, docker_files, layer, oci_files
from sampan.image import digest
from sampan.image.committing import EMPTY_LAYER, Commit, new_name
from sampan.image.errors import ImageError, ImageNotFound, MissingContent
from sampan.image.model import Image

BOTTOM = layer("etc/", ("etc/a", b"a" * 10_000), ("big", bytes(3_000_000)))
TOP = layer(("etc/b", b"b"))
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two gzip members": lambda one: gzip.compress(one[:1000]) + gzip.compress(one[1000:]),
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
}


def load(machine: Machine, tags: list[str], pack: Callable[[bytes], bytes] = bytes) -> Image:
    layers = [BOTTOM, TOP]
    made = archive(docker_files(layers, tags, [pack(one) for one in layers]))
    machine.images.load(io.BytesIO(made), machine.reports.append, quiet=True)
    return machine.images.resolve(tags[0])


def saved(machine: Machine, *names: str) -> bytes:
    return b"".join(machine.images.save(machine.images.choose(names)))


def contents(made: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]


def document(files: dict[str, bytes], name: str) -> Any:
    return json.loads(files[name])


@pytest.mark.parametrize("packed", PACKED)
def test_layers_are_plain_tars_named_by_diff_id(
    machine: Machine, make_machine: Callable[[str], Machine], packed: str
) -> None:
    image = load(machine, ["a/b:1"], PACKED[packed])
    made = saved(machine, "a/b:1")
    files = contents(made)
    assert files[f"blobs/sha256/{digest.of(BOTTOM)[7:]}"] == BOTTOM
    assert files[f"blobs/sha256/{digest.of(TOP)[7:]}"] == TOP
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert digest.of(content)[7:] == name.rpartition("/")[2]
    index = document(files, "index.json")["manifests"][0]
    manifest = document(files, "blobs/" + index["digest"].replace(":", "/"))
    assert index["size"] == len(files["blobs/" + index["digest"].replace(":", "/")])
    assert [one["size"] for one in manifest["layers"]] == [len(BOTTOM), len(TOP)]
    assert manifest["config"]["digest"] == image.id
    other = make_machine("other")
    other.images.load(io.BytesIO(made), other.reports.append, quiet=True)
    assert other.images.resolve("a/b:1").id == image.id
    assert saved(other, "a/b:1") == made, "the same image makes the same archive, however it is stored"


@pytest.mark.parametrize("packed", PACKED)
def test_sizes_are_counted_where_nobody_noted_them(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    load(machine, ["a/b:1"], PACKED[packed])
    made = saved(machine, "a/b:1")
    monkeypatch.setattr(machine.images.content, "plain_size", lambda blob: None)
    assert saved(machine, "a/b:1") == made


def test_several_images_share_their_layers(machine: Machine) -> None:
    one = load(machine, ["a/b:1"])
    machine.images.tag("a/b:1", "a/b", "2")
    machine.images.load(
        io.BytesIO(archive(oci_files([BOTTOM], "docker.io/library/other:1"))), machine.reports.append, quiet=True
    )
    two = machine.images.resolve("other:1")
    made = saved(machine, "a/b:2", "other:1", "a/b:1", one.id)
    files = contents(made)
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert len(tar.getnames()) == len(set(tar.getnames()))
    listed = document(files, "manifest.json")
    assert [(item["Config"], item["RepoTags"]) for item in listed] == [
        (f"blobs/sha256/{one.id[7:]}", ["a/b:2", "a/b:1"]),
        (f"blobs/sha256/{two.id[7:]}", ["other:1"]),
    ]
    assert document(files, "repositories") == {
        "a/b": {"1": digest.of(TOP)[7:], "2": digest.of(TOP)[7:]},
        "other": {"1": digest.of(BOTTOM)[7:]},
    }
    names = [item["annotations"]["io.containerd.image.name"] for item in document(files, "index.json")["manifests"]]
    assert names == ["docker.io/a/b:2", "docker.io/a/b:1", "docker.io/library/other:1"]


def test_what_a_name_means(machine: Machine) -> None:
    image = load(machine, ["a/b:1", "a/b:2", "c:1"])

    def tags(*names: str) -> list[list[str]]:
        return [[tag.familiar for tag in one.tags] for one in machine.images.choose(names)]

    assert tags("a/b") == [["a/b:1", "a/b:2"]]
    assert tags("a/b:2") == [["a/b:2"]]
    assert tags(image.id) == tags(image.id[7:]) == tags(image.id[7:19]) == [[]]
    assert tags(image.id, "c:1", "c") == [["c:1"]]
    for name, status, text in (
        ("a/b:3", 404, "reference does not exist"),
        ("nosuch", 404, "No such image: nosuch"),
        ("B", 500, "invalid reference format: repository name (library/B) must be lowercase"),
    ):
        with pytest.raises(ImageError, match=text.replace("(", r"\(").replace(")", r"\)")) as error:
            machine.images.choose([name])
        assert error.value.status == status


def test_without_names_there_are_no_repositories(machine: Machine) -> None:
    image = load(machine, ["a/b:1"])
    files = contents(saved(machine, image.id))
    assert "repositories" not in files
    assert document(files, "manifest.json")[0]["RepoTags"] is None
    assert "annotations" not in document(files, "index.json")["manifests"][0]


def test_the_first_bytes_come_before_any_layer_is_read(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    image = load(machine, ["a/b:1"], gzip.compress)
    made = machine.images.save(machine.images.choose(["a/b:1"]))
    opened = []
    real = machine.images.content.open
    monkeypatch.setattr(machine.images.content, "open", lambda blob: opened.append(blob) or real(blob))
    assert next(made)[:6] == b"blobs/"
    assert set(opened) <= {image.id}
    made.close()  # type: ignore[attr-defined]


def test_a_missing_blob_is_told_before_the_first_byte(machine: Machine) -> None:
    image = load(machine, ["a/b:1"])
    machine.images.content.path(image.blobs[1]).unlink()
    with pytest.raises(MissingContent, match=image.blobs[1]):
        next(machine.images.save(machine.images.choose(["a/b:1"])))


@pytest.mark.parametrize("packed", ["plain", "gzip"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "longer"])
def test_a_damaged_blob_breaks_the_archive_off(machine: Machine, packed: str, harm: str) -> None:
    image = load(machine, ["a/b:1"], PACKED[packed])
    path = machine.images.content.path(image.blobs[0])
    content = bytearray(path.read_bytes())
    if harm == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"flipped": content, "cut": content[:-600], "longer": content + content[:1024]}[harm])
    pieces: list[bytes] = []
    with pytest.raises(ImageError):
        pieces.extend(machine.images.save(machine.images.choose(["a/b:1"])))
    assert not b"".join(pieces).endswith(bytes(1024)) or b"manifest.json" not in b"".join(pieces)


def test_a_damaged_configuration_is_told_before_the_first_byte(machine: Machine) -> None:
    image = load(machine, ["a/b:1"])
    machine.images.content.path(image.id).write_bytes(b"{}")
    with pytest.raises(MissingContent, match="damaged"):
        next(machine.images.save(machine.images.choose(["a/b:1"])))


def test_an_image_that_is_removed_while_it_is_saved_stays_until_then(machine: Machine) -> None:
    image = load(machine, ["a/b:1"])
    expected = saved(machine, "a/b:1")
    made = machine.images.save(machine.images.choose(["a/b:1"]))
    first = list(itertools.islice(made, 2))
    machine.images.remove("a/b:1", in_use=lambda _image: [])
    assert b"".join([*first, *made]) == expected
    assert machine.stored() == {"content/blobs/sha256": [], "content/ingest": [], "layers": []}, image.id


# --- commit --------------------------------------------------------------------------------------------------------


def commit(machine: Machine, base: Image, pieces: list[bytes], name: str | None = None) -> Image:
    said = Commit("c" * 64, {"Cmd": ["sh"]}, {"Cmd": ["run"], "Labels": {"b": "2", "a": "1"}}, "me", "why", "1.0")
    read: list[bool] = []
    made = machine.images.commit(base, iter(pieces), said, name=name, read=lambda: read.append(True))
    assert read == [True]
    return made


def test_commit_puts_a_layer_on_the_image(machine: Machine) -> None:
    base = load(machine, ["a/b:1"], gzip.compress)
    extra = layer(("new", b"n" * 3_000_000))
    image = commit(machine, base, [extra[:7], extra[7:]], "made:1")
    assert image.diff_ids == (*base.diff_ids, digest.of(extra))
    assert image.blobs == (*base.blobs, digest.of(extra))
    assert list(image.config) == sorted(image.config)
    assert list(image.config["config"]["Labels"]) == ["a", "b"]
    step = {"created": image.config["created"], "created_by": "sh", "author": "me", "comment": "why"}
    assert image.config["history"][-1] == step
    assert image.size == base.size + 3_000_000
    assert (machine.snapshots.layer(image.chain_ids[-1]) / "new").stat().st_size == 3_000_000


def test_commit_of_nothing_adds_no_layer(machine: Machine) -> None:
    base = load(machine, ["a/b:1"])
    image = commit(machine, base, [bytes(1024)])
    assert image.diff_ids == base.diff_ids and image.config["history"][-1]["empty_layer"] is True
    assert not machine.images.content.has(EMPTY_LAYER)


def test_a_commit_that_fails_leaves_nothing(machine: Machine) -> None:
    base = load(machine, ["a/b:1"])
    before = machine.stored()

    def broken() -> Any:
        yield BOTTOM[:5000]
        raise OSError(5, "Input/output error")

    said = Commit("c" * 64, {}, {}, "", "", "1.0")
    with pytest.raises(ImageError, match="Input/output error"):
        machine.images.commit(base, broken(), said, name=None, read=lambda: None)
    with pytest.raises(ImageError):
        machine.images.commit(base, iter([b"x" * 1024]), said, name=None, read=lambda: None)
    machine.images.remove("a/b:1", in_use=lambda _image: [])
    with pytest.raises(ImageNotFound):
        machine.images.commit(base, iter([TOP]), said, name=None, read=lambda: None)
    assert set(machine.stored()["content/blobs/sha256"]) <= set(before["content/blobs/sha256"])
    assert machine.stored()["content/ingest"] == []


def test_a_full_disk_is_told_and_leaves_nothing(small_disk: Any) -> None:
    machine = Machine(small_disk / "root")
    tiny = layer(("a", b"a"))
    machine.images.load(io.BytesIO(archive(docker_files([tiny], ["a:1"]))), machine.reports.append, quiet=True)
    said = Commit("c" * 64, {}, {}, "", "", "1.0")
    with pytest.raises(ImageError, match="No space left"):
        machine.images.commit(
            machine.images.resolve("a:1"), iter([os.urandom(1 << 20)] * 20), said, name=None, read=lambda: None
        )
    assert machine.stored()["content/ingest"] == []
    machine.close()


def test_new_names() -> None:
    assert new_name("", "x") is None
    assert new_name("a/b", "") == "a/b:latest"
    assert new_name("localhost:5000/a", "2") == "localhost:5000/a:2"
    for repo, tag in (("A", ""), ("sha256", "x"), ("a", "!"), ("a@sha256:" + "0" * 64, "")):
        with pytest.raises(ImageError) as error:
            new_name(repo, tag)
        assert error.value.status == 400
