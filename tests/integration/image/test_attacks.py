"""Layers that mean harm: each gets one clear error, and nothing outside of the layer's directory is touched."""

import gc
import io
import os
import tarfile
from pathlib import Path

import pytest

from integration.image.suite import layer, member, tree, unpacked
from sampan.image.errors import BadArchive
from sampan.image.tar import TarReader
from sampan.image.unpack import Limits, UnpackFailed, unpack
from sampan.linux.overlayfs import Flavour
from support.privileges import root_or_skip

SYM, HARD, CHR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE

ATTACKS = {
    "absolute name": (layer(("/victim/new", b"x")), r'"/victim/new" is an absolute name'),
    "dots": (layer(("../victim/new", b"x")), r'"../victim/new" is outside of "/"'),
    "dots inside": (layer("a/", ("a/../../victim/new", b"x")), 'is outside of "/"'),
    "dots in a hard link": (layer(member("h", HARD, linkname="../victim/secret")), 'is outside of "/"'),
    "dots in a directory": (layer("../victim/"), 'is outside of "/"'),
    "through a relative link": (
        layer(member("l", SYM, linkname="../victim"), ("l/new", b"x")),
        'goes through the link "/l", which leads to no directory of this layer',
    ),
    "through an absolute link": (
        layer(member("l", SYM, linkname="/victim"), ("l/new", b"x")),
        'goes through the link "/l", which leads to no directory of this layer',
    ),
    "through two links": (
        layer(member("l", SYM, linkname=".."), member("m", SYM, linkname="l/victim"), ("m/new", b"x")),
        'goes through the link "/m"',
    ),
    "through a link to itself": (layer(member("l", SYM, linkname="l"), ("l/x", b"x")), 'goes through the link "/l"'),
    "through /proc": (
        layer(member("l", SYM, linkname="/proc/self/cwd"), ("l/new", b"x")),
        'goes through the link "/l"',
    ),
    "hard link to the outside by a link": (
        layer(member("l", SYM, linkname="../victim"), member("h", HARD, linkname="l/secret")),
        "link /l/secret /h: no such file or directory",
    ),
    "hard link to nothing": (
        layer(member("h", HARD, linkname="missing")),
        "link /missing /h: no such file or directory",
    ),
    "hard link to a directory": (layer("d/", member("h", HARD, linkname="d")), '"/h": operation not permitted'),
    "whiteout of dots": (layer("a/", "a/.wh..."), "is a whiteout of no name"),
    "whiteout of the parent": (layer("a/", "a/.wh..."), "is a whiteout of no name"),
    "whiteout of nothing": (layer(".wh."), "is a whiteout of no name"),
    "0:0 device": (layer(member("d", CHR, devmajor=0, devminor=0)), '"/d" is a 0:0 character device'),
    "a file below a file": (layer(("a", b"1"), ("a/b", b"2")), '"/a" is no directory'),
    "root as a link": (layer(member(".", SYM, linkname="/victim")), "takes the place of the root directory"),
    "root as a file": (layer(("./", b"x")), "takes the place of the root directory"),
    "a link to nothing": (layer(member("l", SYM, linkname="")), '"/l" is a link to nothing'),
    "a component that is too long": (layer(("a" * 256, b"x")), "file name too long"),
    "too deep": (layer(("a/" * 300 + "b", b"x")), "more than 200 directories"),
    "a path that is too long": (layer(("abcdefgh/" * 500 + "b", b"x")), "empty or overlong name"),
    "a type nobody knows": (layer(member("a", b"Z")), 'unhandled tar header type 90'),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _root() -> None:
    root_or_skip()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory beside the layer's, with a file that must stay as it is."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    return victim


@pytest.mark.parametrize("flavour", Flavour)
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(tmp_path: Path, victim: Path, name: str, flavour: Flavour) -> None:
    content, message = ATTACKS[name]
    before = tree(victim)
    gc.collect()  # what an earlier test left open goes now, and not while we count
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BadArchive) as caught:
        unpacked(content, tmp_path / "layer", flavour)
    assert message in str(caught.value)
    assert tree(victim) == before
    assert sorted(os.listdir(tmp_path)) == ["layer", "victim"]
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_links_to_the_outside_may_lie_there(tmp_path: Path, victim: Path) -> None:
    """Every image has links such as /etc/mtab → /proc/mounts; they are harmless as long as nobody follows them."""
    content = layer(member("a", SYM, linkname="/victim/secret"), member("b", SYM, linkname="../../victim"), "c")
    unpacked(content, tmp_path / "layer")
    assert os.readlink(tmp_path / "layer/b") == "../../victim"


def test_a_file_over_a_link_replaces_the_link(tmp_path: Path, victim: Path) -> None:
    target = str(victim / "secret")
    unpacked(layer(member("a", SYM, linkname=target), ("a", b"mine")), tmp_path / "layer")
    assert (tmp_path / "layer/a").read_text() == "mine"
    assert (victim / "secret").read_text() == "secret"


def test_a_directory_over_a_link_replaces_the_link(tmp_path: Path, victim: Path) -> None:
    entry = member("a", tarfile.DIRTYPE, mode=0o700, uid=5)
    unpacked(layer(member("a", SYM, linkname=str(victim)), entry, ("a/new", b"x")), tmp_path / "layer")
    assert not (tmp_path / "layer/a").is_symlink()
    assert os.listdir(victim) == ["secret"]
    assert victim.stat().st_uid == 0


def test_attributes_of_a_directory_that_became_a_link_are_not_set_on_its_target(tmp_path: Path, victim: Path) -> None:
    entry = member("a", tarfile.DIRTYPE, mode=0o777, uid=5)
    before = tree(victim)
    unpacked(layer(entry, member("a", SYM, linkname=str(victim))), tmp_path / "layer")
    assert tree(victim) == before


@pytest.mark.parametrize("flavour", Flavour)
def test_attributes_that_steer_overlayfs_are_dropped(tmp_path: Path, flavour: Flavour) -> None:
    headers = {
        f"SCHILY.xattr.{space}.overlay.{name}": value
        for space in ("trusted", "user")
        for name, value in {"redirect": "/etc", "opaque": "y", "metacopy": "", "whiteout": "y"}.items()
    }
    headers["SCHILY.xattr.user.kept"] = "1"
    content = layer(
        member("d", tarfile.DIRTYPE, pax_headers=headers), member("f", pax_headers=headers),
        member("l", SYM, linkname="x", pax_headers={k: v for k, v in headers.items() if "trusted" in k}),
    )  # fmt: skip
    unpacked(content, tmp_path / "layer", flavour)
    for name, kept in (("d", ["user.kept"]), ("f", ["user.kept"]), ("l", [])):
        assert os.listxattr(tmp_path / "layer" / name, follow_symlinks=False) == kept


def test_limits(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    many = layer(*(f"f{number}" for number in range(20)))
    with pytest.raises(BadArchive, match="more than 10 entries"):
        unpack(TarReader(io.BytesIO(many).read), tmp_path / "layer", Flavour.TRUSTED, Limits(entries=10))
    large = layer(member("a", size=600), member("b", size=600))
    with pytest.raises(BadArchive, match="more than 1000 bytes"):
        unpack(TarReader(io.BytesIO(large).read), tmp_path / "layer", Flavour.TRUSTED, Limits(size=1000))
    directories = layer(*(f"d{number}/" for number in range(20)))
    implied = layer(*(f"i{number}/f" for number in range(20)))
    for archive in (directories, implied):
        with pytest.raises(BadArchive, match="directories take more than 5000 bytes of memory"):
            unpack(TarReader(io.BytesIO(archive).read), tmp_path / "layer", Flavour.TRUSTED, Limits(memory=5000))


def test_every_cut_of_an_archive_is_noticed(tmp_path: Path) -> None:
    content = layer("d/", ("d/x", b"1" * 700), member("y" * 150, SYM, linkname="z" * 150))
    end = len(content.rstrip(b"\0"))
    for cut in range(1, end, 97):
        if cut % 512 == 0:
            continue  # between two headers the end of the stream counts as the end of the archive, as in Go
        with pytest.raises(BadArchive, match="unexpected EOF"):
            unpacked(content[:cut], tmp_path / str(cut))


def test_a_full_disk_is_not_the_archives_fault(tmp_path: Path, small_disk: Path) -> None:
    content = layer(member("big", size=4 << 20))
    with pytest.raises(UnpackFailed, match='write "/big": no space left on device'):
        unpacked(content, small_disk / "layer")
