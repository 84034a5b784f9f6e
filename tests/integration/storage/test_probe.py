"""Choosing a storage driver by trying."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.storage.copy import CopyDriver
from sampan.storage.namespace import NamespaceMounter
from sampan.storage.overlay import OverlayDriver
from sampan.storage.probe import choose
from sampan.storage.snapshots import DriverUnusable
from support.privileges import root_or_skip


@pytest.fixture(autouse=True)
def _root() -> None:
    root_or_skip()


@pytest.fixture
def no_overlay(tmp_path: Path) -> Iterator[Path]:
    """A directory on overlayfs, which can't be an upper directory (nor hold whiteouts)."""
    names = ("lower", "upper", "work", "merged")
    for name in names:
        (tmp_path / name).mkdir()
    lower, upper, work, merged = (tmp_path / name for name in names)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "test", merged], check=True)
    yield merged
    subprocess.run(["umount", merged], check=True)


def test_overlay_is_chosen_where_it_works(tmp_path: Path) -> None:
    choice = choose(tmp_path)
    assert isinstance(choice.snapshots, OverlayDriver)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["containers", "layers"]


def test_the_old_way_can_be_forced(tmp_path: Path) -> None:
    choice = choose(tmp_path, old_mount=True)
    assert isinstance(choice.snapshots, OverlayDriver)
    assert isinstance(choice.snapshots.mounter, NamespaceMounter)
    choice.snapshots.mounter.close()


def test_copying_is_chosen_where_overlay_cannot_be_and_says_why(no_overlay: Path) -> None:
    choice = choose(no_overlay)
    assert isinstance(choice.snapshots, CopyDriver)
    assert len(choice.notes) == 4  # two ways to mount, two places for the marks
    assert all(note.startswith("overlay (") for note in choice.notes)


def test_overlay_by_name_where_it_cannot_be(no_overlay: Path) -> None:
    with pytest.raises(DriverUnusable, match="the overlay driver can't work on"):
        choose(no_overlay, "overlay2")


@pytest.mark.parametrize("name", ["copy", "vfs"])
def test_copying_by_name(tmp_path: Path, name: str) -> None:
    assert choose(tmp_path, name).snapshots.name == "copy"


def test_a_name_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(DriverUnusable, match="no storage driver 'zfs'"):
        choose(tmp_path, "zfs")
