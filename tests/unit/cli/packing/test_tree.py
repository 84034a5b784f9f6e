"""Paths of this machine as the image has them: links, loops, two names of one file, what is no file."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.cli.packing.tree import Directory, File, Link, Tree, Twin

notes: list[str] = []


@pytest.fixture
def tree() -> Tree:
    notes.clear()
    return Tree(notes.append)


def below(tree: Tree, root: Path) -> dict[str, object]:
    """The entries below `root`, files as "file"."""
    cut = len(str(root))
    return {
        path[cut:]: "file" if isinstance(entry, File) else entry
        for path, entry in tree.entries.items()
        if path.startswith(f"{root}/")
    }


def merged(root: Path) -> None:
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/dash").write_text("x")
    (root / "usr/bin/sh").symlink_to("dash")
    (root / "bin").symlink_to("usr/bin")


def unmerged(root: Path) -> None:
    (root / "bin").mkdir()
    (root / "bin/dash").write_text("x")
    (root / "bin/sh").symlink_to("dash")


MERGED = {"/bin": Link("usr/bin"), "/usr": Directory(), "/usr/bin": Directory(), "/usr/bin/sh": Link("dash")}
UNMERGED = {"/bin": Directory(), "/bin/sh": Link("dash"), "/bin/dash": "file"}


@pytest.mark.parametrize(
    ("make", "expected", "real"),
    [(merged, {**MERGED, "/usr/bin/dash": "file"}, "/usr/bin/dash"), (unmerged, UNMERGED, "/bin/dash")],
)
def test_links_are_kept_with_what_they_lead_to(
    tree: Tree, tmp_path: Path, make: Callable[[Path], None], expected: dict[str, object], real: str
) -> None:
    make(tmp_path)
    assert tree.add(f"{tmp_path}/bin/sh") == f"{tmp_path}{real}"
    assert below(tree, tmp_path) == expected
    assert tree.entries["/tmp"] == Directory(0o1777)


@pytest.mark.parametrize("target", ["loop", "../{here}/loop", "{root}/loop"])
def test_a_loop_of_links_ends(tree: Tree, tmp_path: Path, target: str) -> None:
    (tmp_path / "loop").symlink_to(target.format(here=tmp_path.name, root=tmp_path))
    with pytest.raises(OSError, match="Too many levels"):
        tree.add(f"{tmp_path}/loop")


def test_points_and_links_upwards(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "a/b/up").symlink_to("../../file")
    (tmp_path / "a/far").symlink_to("../" * 1000 + str(tmp_path)[1:] + "/file")
    assert tree.add(f"{tmp_path}/a//b/./up") == f"{tmp_path}/file"
    assert tree.add(f"{tmp_path}/a/far") == f"{tmp_path}/file"


def test_two_names_of_one_file_are_one_file(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("x")
    os.link(tmp_path / "one", tmp_path / "two")
    tree.add(f"{tmp_path}/one")
    tree.add(f"{tmp_path}/two")
    assert tree.entries[f"{tmp_path}/two"] == Twin(f"{tmp_path}/one")


def test_set_id_bits_of_others_are_lost(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "su").write_text("x")
    (tmp_path / "su").chmod(0o4755)
    if os.getuid():
        pytest.skip("only root can give files away")
    for owner, mode in ((0, 0o4755), (12345, 0o755)):
        os.chown(tmp_path / "su", owner, 0)
        (tmp_path / "su").chmod(0o4755)
        tree.entries.clear()
        tree.add(f"{tmp_path}/su")
        entry = tree.entries[f"{tmp_path}/su"]
        assert isinstance(entry, File) and entry.mode == mode


def test_a_directory_as_it_is(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True, mode=0o700)
    (tmp_path / "d/sub/f").write_text("x")
    (tmp_path / "d/out").symlink_to("/etc/shadow")
    os.mkfifo(tmp_path / "d/pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "d/sock"))
        assert tree.add_all(f"{tmp_path}/d") == [f"{tmp_path}/d/sub/f"]
    assert below(tree, tmp_path / "d") == {"/sub": Directory(0o700), "/sub/f": "file", "/out": Link("/etc/shadow")}
    assert "/etc/shadow" not in tree.entries, "what a link points to comes along only if it is in there"
    assert [note.partition(": ")[2] for note in notes] == ["a socket, pipe or device"] * 2


def test_a_directory_that_is_absurdly_deep(tree: Tree, tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
    with pytest.raises(OSError, match="200 directories deep"):
        tree.add_all(str(tmp_path))


def test_what_is_made_up_goes_where_links_lead(tree: Tree) -> None:
    tree.make("/lib", Link("usr/lib"))
    tree.make("/lib/x/y", File(0o644, 1, content=b"y"))
    assert isinstance(tree.entries["/usr/lib/x/y"], File)
    assert tree.entries["/usr/lib/x"] == Directory() and "/lib/x" not in tree.entries


def test_what_is_there_stays(tree: Tree) -> None:
    tree.make("/etc/passwd", File(0o644, 1, content=b"1"))
    tree.make("/etc/passwd", File(0o644, 1, content=b"2"))
    assert tree.entries["/etc/passwd"] == File(0o644, 1, content=b"1")
