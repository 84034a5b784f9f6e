"""What a root is furnished with, and that nothing outside of it is."""

import os
import stat
from pathlib import Path

import pytest

from sampan.storage.furniture import furnish


def furnished(root: Path) -> dict[str, str]:
    """Furnish a directory; return what is in it: octal mode of files and directories, or where a link points."""
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    before = os.umask(0o022)
    try:
        furnish(descriptor)
    finally:
        os.umask(before)
        os.close(descriptor)
    return {str(one.relative_to(root)): shown(one) for one in root.rglob("*")}


def shown(one: Path) -> str:
    return os.readlink(one) if one.is_symlink() else oct(stat.S_IMODE(one.stat().st_mode))


def test_an_empty_root(tmp_path: Path) -> None:
    """As dockerd's init layer."""
    places = ".dockerenv dev dev/console dev/pts dev/shm etc etc/hostname etc/hosts etc/resolv.conf proc sys"
    expected = dict.fromkeys(places.split(), "0o755") | {"etc/mtab": "/proc/mounts"}
    assert furnished(tmp_path) == expected
    assert furnished(tmp_path) == expected


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    (tmp_path / "etc/hosts").write_text("mine")
    (tmp_path / "etc/hosts").chmod(0o600)
    (tmp_path / "etc/mtab").write_text("mine")
    (tmp_path / "etc/resolv.conf").symlink_to("../run/resolv.conf")  # leads nowhere
    (tmp_path / "sys").write_text("no directory")
    found = furnished(tmp_path)
    assert (found["etc"], found["etc/hosts"], found["etc/resolv.conf"]) == ("0o700", "0o600", "../run/resolv.conf")
    assert (tmp_path / "etc/hosts").read_text() == (tmp_path / "etc/mtab").read_text() == "mine"
    assert "run" not in found and found["proc"] == "0o755"


@pytest.mark.parametrize("way", ["{outside}", "../outside"])
def test_links_lead_nowhere_else(tmp_path: Path, way: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    for name in ("etc", "dev", "proc", ".dockerenv"):
        (root / name).symlink_to(way.format(outside=outside))
    furnished(root)
    assert list(outside.iterdir()) == []
