"""What two stacks of layers have different, held against the stacks put together for real."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.image.difference import Difference, differences
from sampan.linux.overlayfs import Flavour
from sampan.linux.path import remove_tree
from sampan.storage.merge import merge

Entry = str | bytes | None  # a file's content, a link's target (with "@" before), None: a directory


def layer(root: Path, entries: dict[str, Entry]) -> Path:
    """A layer directory; deletions are marked by files, as the copy driver has them."""
    root.mkdir()
    for path, entry in entries.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry is None:
            place.mkdir(exist_ok=True)
        elif isinstance(entry, str) and entry.startswith("@"):
            place.symlink_to(entry[1:])
        else:
            place.write_bytes(entry if isinstance(entry, bytes) else entry.encode())
    return root


def said(first: list[Path], second: list[Path]) -> list[tuple[str, str, int]]:
    return [(one.kind, one.path, one.size) for one in differences(first, second)]


BASE: dict[str, Entry] = {
    "a/same": "s",
    "a/gone": "12345",
    "d/one": "1",
    "d/two": "2",
    "l": "@/etc",
    "k": "abc",
    "t": "tt",
}


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"a/new": "new"}, [("A", "/a/new", 3)]),
        ({"a/.wh.gone": ""}, [("D", "/a/gone", -5)]),
        ({"d/.wh..wh..opq": "", "d/two": "22"}, [("D", "/d/one", -1), ("C", "/d/two", 1)]),
        ({".wh.d": "", "d/one": "1"}, [("D", "/d/two", -1)]),
        ({"l": "@/usr"}, [("C", "/l", 0)]),
        ({"l": "@/etc", "k": "abc"}, []),
        ({"k": "abd"}, [("C", "/k", 0)]),
        ({"t/in": "in"}, [("C", "/t", -2), ("A", "/t/in", 2)]),
        ({"a": "file"}, [("C", "/a", 4), ("D", "/a/gone", -5), ("D", "/a/same", -1)]),
        ({".wh.a": ""}, [("D", "/a", 0), ("D", "/a/gone", -5), ("D", "/a/same", -1)]),
        ({"a/n/m/o": "o"}, [("A", "/a/n", 0), ("A", "/a/n/m", 0), ("A", "/a/n/m/o", 1)]),
        ({"a.b": "", "a-": ""}, [("A", "/a-", 0), ("A", "/a.b", 0)]),
    ],
)  # fmt: skip
def test_a_layer_on_top(tmp_path: Path, top: dict[str, Entry], expected: list[tuple[str, str, int]]) -> None:
    base, upper = layer(tmp_path / "base", BASE), layer(tmp_path / "top", top)
    assert said([base], [upper, base]) == expected
    back = [({"A": "D", "D": "A"}.get(kind, kind), path, -size) for kind, path, size in expected]
    assert said([upper, base], [base]) == back
    assert said([upper, base], [upper, base]) == []


def test_a_mode_is_a_change_and_a_date_is_none(tmp_path: Path) -> None:
    base, top = layer(tmp_path / "base", {"f": "x", "g": "y"}), layer(tmp_path / "top", {"f": "x", "g": "y"})
    os.utime(top / "f", (1, 1))
    (top / "g").chmod(0o600)
    assert said([base], [top]) == [("C", "/g", 0)]


def test_whiteouts_of_overlay(tmp_path: Path) -> None:
    base, top = layer(tmp_path / "base", BASE), layer(tmp_path / "top", {"d/one": "1"})
    try:
        os.mknod(top / "k", stat.S_IFCHR, os.makedev(0, 0))
        os.setxattr(top / "d", "user.overlay.opaque", b"y")
    except OSError as error:
        pytest.skip(f"this file system or kernel lets no whiteout be made: {error}")
    assert said([base], [top, base]) == [("D", "/d/two", -1), ("D", "/k", -3)]


def test_images_without_layers(tmp_path: Path) -> None:
    base = layer(tmp_path / "base", {"f": "x"})
    assert said([], []) == [] and said([], [base]) == [("A", "/f", 1)] and said([base], []) == [("D", "/f", -1)]


def test_no_link_leads_out(tmp_path: Path) -> None:
    """A layer that has a link where the other one has a directory: nothing behind the link is looked at."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("s")
    one = layer(tmp_path / "one", {"d/x": "x"})
    other = layer(tmp_path / "other", {"d": f"@{tmp_path}/outside", "e": "@../outside"})
    assert said([one], [other]) == [("C", "/d", len(f"{tmp_path}/outside")), ("D", "/d/x", -1), ("A", "/e", 10)]
    assert said([one], [other, one]) == said([one], [other])


def test_deep_trees_are_walked(tmp_path: Path) -> None:
    base, deep = layer(tmp_path / "base", {}), layer(tmp_path / "deep", {})
    for depth in range(1, 1201):
        os.mkdir(f"{deep}/{'d/' * depth}")
    try:
        assert len(said([base], [deep])) == 1200
    finally:
        parent = os.open(tmp_path, os.O_RDONLY)
        remove_tree(parent, "deep")  # pytest's own clean-up is not made for such depths
        os.close(parent)


def test_what_is_read_is_closed(tmp_path: Path) -> None:
    base, top = layer(tmp_path / "base", BASE), layer(tmp_path / "top", {"x": "x", "d/z": ""})
    before = len(os.listdir("/proc/self/fd"))
    found = differences([base], [top, base])
    assert next(found).path == "/d/z"
    found.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_that_are_no_text(tmp_path: Path) -> None:
    base, top = layer(tmp_path / "base", {}), layer(tmp_path / "top", {})
    Path(os.fsdecode(os.fsencode(top) + b"/\xff\n")).write_text("")
    assert list(differences([base], [top])) == [Difference("A", "/\ufffd\n", 0)]


NAMES = st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "a/b/c"])
CONTENTS = st.sampled_from(["", "x", "y", "@a", None])
MARKS = st.sampled_from(["a", "b", "a/a", "a/b"])
STACKS = st.lists(st.tuples(st.dictionaries(NAMES, CONTENTS, max_size=4), st.sets(MARKS, max_size=2)), max_size=3)


def build(root: Path, stack: list[tuple[dict[str, Entry], set[str]]], prefix: str) -> list[Path]:
    """Layers of `stack` (bottom first), without names that contradict each other."""
    made = []
    for number, (entries, marks) in enumerate(stack):
        fitting: dict[str, Entry] = {}
        for path in sorted(entries):
            above = ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)]
            if all(fitting.get(one) is None for one in above):
                fitting[path] = entries[path]
        for mark in sorted(marks):
            directory, _, name = mark.rpartition("/")
            if mark not in fitting and (not directory or fitting.get(directory) is None):
                fitting[f"{directory}/.wh.{name}".lstrip("/")] = ""
        made.append(layer(root / f"{prefix}{number}", fitting))
    return made


def flat(layers: list[Path], target: Path) -> dict[str, Any]:
    """What is there once the layers are put together."""
    target.mkdir()
    merge([(one, Flavour.FILES) for one in layers], target)
    found: dict[str, Any] = {}
    for top, directories, files in os.walk(target):
        for name in (*directories, *files):
            path = Path(top) / name
            kept = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
            found["/" + str(path.relative_to(target))] = kept, path.lstat().st_mode
    return found


@settings(max_examples=150, deadline=None)
@given(STACKS, STACKS, STACKS)
def test_against_layers_put_together(shared: Any, one: Any, other: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        below = build(root, shared, "s")
        first, second = below + build(root, one, "a"), below + build(root, other, "b")
        before, after = flat(first, root / "before"), flat(second, root / "after")
        expected = dict.fromkeys(before.keys() - after.keys(), "D")
        expected |= dict.fromkeys(after.keys() - before.keys(), "A")
        expected |= {path: "C" for path in before.keys() & after.keys() if before[path] != after[path]}
        found = list(differences(first[::-1], second[::-1]))
        assert {each.path: each.kind for each in found} == expected
        assert len(found) == len(expected)
