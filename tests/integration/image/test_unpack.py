"""Unpacking compared with GNU tar, entry kind by entry kind and format by format."""

import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.image.suite import CAPABILITY, layer, member, tree, unpacked
from support.privileges import root_or_skip

TAR = ("tar", "--numeric-owner", "--same-owner", "--delay-directory-restore", "-p")
XATTRS = ("--xattrs", "--xattrs-include=*")  # only the pax format has a place for them


@pytest.fixture(autouse=True)
def _root() -> None:
    root_or_skip()


def _everything(root: Path) -> None:
    """A tree with every kind of thing that a layer can have."""
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "empty").touch()
    (root / "big").write_bytes(os.urandom(1_300_001))
    (root / "exactly").write_bytes(b"x" * 512)
    os.link(root / "big", root / "etc/deep/hard")
    os.symlink("../etc/passwd", root / "etc/link")
    os.symlink("/nowhere/at/all", root / "dangling")
    os.symlink("xy/" * 100, root / "long-link")
    (root / ("n" * 120 + "é")).write_text("name of more than 100 bytes")
    (root / "p" / ("q" * 90) / ("r" * 90)).mkdir(parents=True)
    (root / "p" / ("q" * 90) / ("r" * 90) / ("s" * 90)).write_text("path of more than 255 bytes")
    os.mkfifo(root / "fifo", 0o620)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "setuid").write_text("x")
    os.chown(root / "setuid", 12, 34)
    (root / "setuid").chmod(0o6755)
    (root / "group").mkdir()
    os.chown(root / "group", 0, 50)
    (root / "group").chmod(0o2775)
    (root / "group/inside").write_text("must not inherit the group when unpacked")
    os.chown(root / "group/inside", 60_000, 2_000_000_000)
    os.utime(root / "etc/passwd", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "etc/link", ns=(0, 99_000_000_001), follow_symlinks=False)


def _attributes(root: Path) -> None:
    """Extended attributes; only pax archives have a place for them."""
    os.setxattr(root / "setuid", "user.binary", bytes(range(256)))
    os.setxattr(root / "setuid", "security.capability", CAPABILITY)
    os.setxattr(root / "tmp", "user.on.directory", b"")
    os.setxattr(root / "etc/link", "trusted.on.link", b"1", follow_symlinks=False)
    os.setxattr(root / "null", "trusted.on.device", b"2")


def _pack(source: Path, target: Path, *flags: str) -> bytes:
    xattrs = XATTRS if "--format=posix" in flags else ()
    subprocess.run([*TAR, *xattrs, *flags, "-C", source, "-cf", target, "."], check=True)
    return target.read_bytes()


def _gnu_unpack(archive: Path, root: Path) -> None:
    root.mkdir()
    subprocess.run([*TAR, *XATTRS, "-C", root, "-xf", archive], check=True)


@pytest.mark.parametrize(
    ("flags", "attributes"),
    [
        (("--format=gnu",), False),
        (("--format=posix",), True),
        (("--format=posix", "--sort=name", "--pax-option=delete=atime,delete=ctime"), True),
        (("--format=ustar", "--exclude=long-link", "--exclude=n*", "--exclude=ssss*", "--exclude=inside"), False),
        (("--format=v7", "--exclude=long-link", "--exclude=n*", "--exclude=p", "--exclude=inside", "--exclude=fifo",
          "--exclude=null", "--exclude=loop"), False),
    ],
    ids=["gnu", "pax", "pax sorted", "ustar", "v7"],
)  # fmt: skip
def test_every_kind_and_format_unpacks_as_gnu_tar_does(
    tmp_path: Path, flags: tuple[str, ...], attributes: bool
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    _everything(source)
    if attributes:
        _attributes(source)
    content = _pack(source, tmp_path / "a.tar", *flags)
    _gnu_unpack(tmp_path / "a.tar", tmp_path / "gnu")
    result = unpacked(content, tmp_path / "ours")
    ours, theirs = tree(tmp_path / "ours"), tree(tmp_path / "gnu")
    assert ours == theirs
    if attributes:
        assert ours == tree(source)
    assert result.implied == () and result.entries == len(ours)


def test_directory_times_survive_their_content(tmp_path: Path) -> None:
    old = member("d", tarfile.DIRTYPE, mtime=1_000_000_000)
    unpacked(layer(old, ("d/x", b"1"), "d/sub/"), tmp_path / "ours")
    assert (tmp_path / "ours/d").stat().st_mtime == 1_000_000_000


SPARSE: dict[str, Callable[[Path], None]] = {
    "hole first": lambda path: _sparse(path, [(1 << 20, b"end")], (1 << 20) + 3),
    "hole last": lambda path: _sparse(path, [(0, b"start")], 3 << 20),
    "only a hole": lambda path: _sparse(path, [], 5 << 20),
    "three holes": lambda path: _sparse(path, [(8192, b"a" * 700), (1 << 19, b"b" * 5000)], 1 << 20),
    "many pieces": lambda path: _sparse(path, [(n << 16, b"piece %d" % n) for n in range(60)], 60 << 16),
}


def _sparse(path: Path, pieces: list[tuple[int, bytes]], size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)


@pytest.mark.parametrize("shape", SPARSE)
@pytest.mark.parametrize(
    "flags",
    [
        ("--format=gnu",),
        ("--format=posix", "--sparse-version=0.0"),
        ("--format=posix", "--sparse-version=0.1"),
        ("--format=posix", "--sparse-version=1.0"),
    ],
    ids=["old gnu", "pax 0.0", "pax 0.1", "pax 1.0"],
)
def test_sparse_files(tmp_path: Path, shape: str, flags: tuple[str, ...]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    SPARSE[shape](source / "sparse")
    (source / "after").write_text("the next entry is found")
    content = _pack(source, tmp_path / "a.tar", "-S", *flags, "--sort=name")
    assert len(content) < (1 << 20), "GNU tar saw no hole here"
    unpacked(content, tmp_path / "ours")
    assert tree(tmp_path / "ours", times=False) == tree(source, times=False)
    assert (tmp_path / "ours/sparse").stat().st_blocks <= (source / "sparse").stat().st_blocks


def test_later_entries_replace_earlier_ones(tmp_path: Path) -> None:
    content = layer(
        ("a", b"1"), ("a", b"2"),
        ("b", b"1"), "b/", ("b/x", b"2"),
        "c/", ("c/x", b"1"), ("c", b"2"),
        "d/", ("d/x", b"1"), "d/", ("d/y", b"2"),
        member("e", tarfile.SYMTYPE, linkname="a"), ("e", b"2"),
        ("f", b"1"), member("g", tarfile.LNKTYPE, linkname="f"), ("f", b"2"),
    )  # fmt: skip
    unpacked(content, tmp_path / "ours")
    root = tmp_path / "ours"
    assert {name: (root / name).read_text() for name in ("a", "b/x", "c", "d/x", "d/y", "e", "f", "g")} == {
        "a": "2", "b/x": "2", "c": "2", "d/x": "1", "d/y": "2", "e": "2", "f": "2", "g": "1",
    }  # fmt: skip
    assert not (root / "e").is_symlink()


def test_a_hard_link_to_a_symbolic_link_is_one(tmp_path: Path) -> None:
    content = layer(
        member("a", tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("b", tarfile.LNKTYPE, linkname="a"),
        member("c", tarfile.LNKTYPE, linkname="./a"),
        member("d", tarfile.LNKTYPE, linkname="/a"),
        member("a", tarfile.LNKTYPE, linkname="a"),
    )
    unpacked(content, tmp_path / "ours")
    assert [os.readlink(tmp_path / "ours" / name) for name in "abcd"] == ["/etc/passwd"] * 4
    assert (tmp_path / "ours/a").lstat().st_nlink == 4


def test_links_of_the_same_layer_are_followed_as_the_container_would(tmp_path: Path) -> None:
    content = layer(
        "usr/", "usr/lib/",
        member("lib", tarfile.SYMTYPE, linkname="usr/lib"),
        member("lib64", tarfile.SYMTYPE, linkname="/usr/lib"),
        ("lib/x", b"1"), ("lib64/y", b"2"), ("lib64/sub/z", b"3"),
    )  # fmt: skip
    unpacked(content, tmp_path / "ours")
    root = tmp_path / "ours"
    assert sorted(os.listdir(root / "usr/lib")) == ["sub", "x", "y"]
    assert (root / "lib").is_symlink()


def test_size_counts_as_docker_does(tmp_path: Path) -> None:
    content = layer(
        "d/",
        ("d/x", b"12345"),
        member("l", tarfile.SYMTYPE, linkname="d/x"),
        member("h", tarfile.LNKTYPE, linkname="d/x"),
    )
    assert unpacked(content, tmp_path / "ours").size == 5 + 3


def test_directories_without_an_entry_are_reported(tmp_path: Path) -> None:
    result = unpacked(layer(("a/b/c", b"1"), "x/", ("x/y/z", b"2")), tmp_path / "ours")
    assert result.implied == ((), (b"a",), (b"a", b"b"), (b"x", b"y"))
