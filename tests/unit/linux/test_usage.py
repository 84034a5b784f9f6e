"""Sizes of trees: as Docker counts them, and as du does."""

import os
import subprocess
from pathlib import Path

from sampan.linux.usage import allocated, tree_size


def test_blocks_are_counted_as_du_counts_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "b" / "empty").touch()
    os.link(tmp_path / "a" / "one", tmp_path / "a" / "b" / "twin")
    (tmp_path / "link").symlink_to("/etc")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    os.mkfifo(tmp_path / "pipe")
    said = subprocess.run(["du", "-s", "--block-size=1", tmp_path], capture_output=True, text=True, check=True)
    assert allocated(tmp_path, set()) == int(said.stdout.split()[0])
    assert tree_size(tmp_path) == 10_000 + len("/etc") + (1 << 30)


def test_a_file_with_two_names_counts_once_over_several_trees(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "a" / "one", tmp_path / "b" / "twin")
    seen: set[tuple[int, int]] = set()
    first, second = allocated(tmp_path / "a", seen), allocated(tmp_path / "b", seen)
    assert first - second >= 10_000
    assert allocated(tmp_path / "nosuch", seen) == 0
