"""The archive: read by tarfile and by its own digests; the same tree is the same bytes."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from sampan.cli.errors import CommandError
from sampan.cli.packing.archive import Image, pieces
from sampan.cli.packing.tree import Directory, File, Link, Tree, Twin

LONG = "/" + "/".join(["d" * 90] * 3) + "/ä\udcff"


def tree_of(**entries: Directory | Link | Twin | File) -> Tree:
    tree = Tree(lambda note: None)
    tree.entries = {path.replace("_", "/"): entry for path, entry in entries.items()}
    return tree


def image(epoch: int = 0) -> Image:
    return Image(["a:1", "b:2"], "amd64", {"Cmd": ["x"], "Env": ["A=\udcff"]}, "made by a test", epoch)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert all((m.uid, m.gid, m.uname, m.gname) == (0, 0, "", "") for m in tar)
        return {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar if m.isfile()}


def test_it_is_what_its_digests_say(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 3_000_001)
    tree = tree_of(_etc=Directory(), _etc_f=File(0o640, 3_000_001, str(tmp_path / "f")), _a=Link("etc"))
    tree.entries[LONG] = File(0o644, 3, content=b"abc")
    made = image()
    found = members(b"".join(pieces(made, tree)))
    (manifest,) = json.loads(found["manifest.json"])
    assert manifest["RepoTags"] == ["a:1", "b:2"]
    config = found[manifest["Config"]]
    assert made.id == "sha256:" + hashlib.sha256(config).hexdigest()
    layer = found[manifest["Layers"][0]]
    parsed = json.loads(config)
    assert parsed["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert (parsed["created"], parsed["architecture"]) == ("1970-01-01T00:00:00Z", "amd64")
    with tarfile.open(fileobj=io.BytesIO(layer), errors="surrogateescape") as tar:
        assert [m.name for m in tar] == ["a", LONG[1:], "etc", "etc/f"]
        assert {m.mtime for m in tar} == {0} and tar.getmember("etc/f").mode == 0o640
        assert tar.extractfile("etc/f").read() == b"x" * 3_000_001  # type: ignore[union-attr]


def test_the_order_in_which_things_came_is_not_seen() -> None:
    entries = {"_a": Directory(), "_a_b": File(0o644, 1, content=b"b"), "_a.b": Link("a"), "_a-b": Link("a")}
    forth = b"".join(pieces(image(5), tree_of(**entries)))
    back = b"".join(pieces(image(5), tree_of(**dict(reversed(entries.items())))))
    assert forth == back
    assert forth != b"".join(pieces(image(6), tree_of(**entries)))


def test_a_second_name_comes_behind_the_first(tmp_path: Path) -> None:
    """The name that was met first needn't be the first one in the archive."""
    (tmp_path / "f").write_bytes(b"f")
    file = File(0o755, 1, str(tmp_path / "f"))
    tree = tree_of(_b=file, _a=Twin("/b"), _c=Twin("/b"))
    layer = members(b"".join(pieces(image(), tree)))["layer.tar"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert [(m.name, m.type, m.linkname) for m in tar] == [
            ("a", tarfile.REGTYPE, ""), ("b", tarfile.LNKTYPE, "a"), ("c", tarfile.LNKTYPE, "a")
        ]  # fmt: skip
        assert tar.extractfile("c").read() == b"f"  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_file_that_changed_meanwhile(tmp_path: Path, size: int) -> None:
    (tmp_path / "f").write_bytes(b"ff")
    with pytest.raises(CommandError, match="cannot pack /f\n  because  it changed while it was read"):
        list(pieces(image(), tree_of(_f=File(0o644, size, str(tmp_path / "f")))))


def test_a_file_that_became_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(CommandError, match="it changed while it was read"):
        list(pieces(image(), tree_of(_f=File(0o644, 2, str(tmp_path / "f")))))
