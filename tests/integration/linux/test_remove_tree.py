"""Removing a tree that a container made: deep, wide, full of links, and nobody else's files."""

import os
from pathlib import Path

import pytest

from sampan.linux.path import remove_tree

DEPTH = 3000  # more than Python recurses, and a path longer than PATH_MAX


def remove(parent: Path, name: str) -> None:
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(descriptor, name)
    finally:
        os.close(descriptor)


def test_a_tree_deeper_than_any_path(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    for name in ("top", *["d" * 200] * DEPTH):
        os.mkdir(name, dir_fd=directory)
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=directory))
    os.close(directory)
    remove(tmp_path, "top")
    assert os.listdir(tmp_path) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "kept").touch()
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    (top / "link").symlink_to(tmp_path / "victim")
    (top / "below" / "up").symlink_to("..")
    (top / "below" / "none").symlink_to("/nowhere")
    os.mkfifo(top / "below" / "pipe")
    (top / "empty").mkdir(mode=0)
    remove(tmp_path, "top")
    assert sorted(os.listdir(tmp_path)) == ["victim"]
    assert os.listdir(tmp_path / "victim") == ["kept"]


def test_what_is_not_there_or_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        remove(tmp_path, "top")
    with pytest.raises(NotADirectoryError):
        remove(tmp_path, "file")
