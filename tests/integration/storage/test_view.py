"""What a container sees and what it changed, read without a mount: compared with the mount itself."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.storage.suite import files, stack
from sampan.image import pack
from sampan.image.tar import TarReader
from sampan.storage.snapshots import Snapshots
from sampan.storage.view import Kind, changed

LETTERS = {Kind.CHANGED: "C", Kind.ADDED: "A", Kind.REMOVED: "D", Kind.SAME: "="}
Work = Callable[[Path], None]


@contextmanager
def inside(driver: Snapshots, key: str) -> Iterator[Path]:
    """The root of a snapshot, mounted."""
    mounted = driver.mount(key)
    try:
        yield Path(f"/proc/self/fd/{mounted.root}")
    finally:
        mounted.close()


@pytest.fixture
def chain(driver: Snapshots) -> list[str]:
    """Two layers: directories keep/, gone/, new/ and files in them."""
    return stack(
        driver,
        files(keep__a="1", keep__b="2", gone__x="3", gone__deep__y="4", over="5", hidden="6", dir__f="7"),
        files(keep__a="1+", hidden=None, top__t="8"),
    )


def difference(driver: Snapshots, chain: list[str], *work: Work) -> list[str]:
    """Letters and paths after each of ``work`` was done in a mount of its own."""
    driver.prepare("c1", chain)
    for one in work:
        with inside(driver, "c1") as root:
            one(root)
    with driver.written("c1") as view:
        return [f"{LETTERS[node.kind]} {os.fsdecode(node.path)}" for node in changed(view.difference())]


def nothing(root: Path) -> None:
    """Only look."""
    assert (root / "keep").is_dir()


def remove(root: Path, name: str) -> None:
    for directory, below, names in os.walk(root / name, topdown=False):
        for one in names:
            os.unlink(f"{directory}/{one}")
        for one in below:
            os.rmdir(f"{directory}/{one}")
    os.rmdir(root / name)


def recreate(root: Path) -> None:
    """Delete a directory and make it again: opaque."""
    remove(root, "gone")
    (root / "gone").mkdir()
    (root / "gone" / "z").touch()


def by_file(root: Path) -> None:
    remove(root, "gone")
    (root / "gone").write_text("now a file")


def by_directory(root: Path) -> None:
    (root / "over").unlink()
    (root / "over").mkdir()
    (root / "over" / "n").touch()


def linked(root: Path) -> None:
    os.link(root / "keep" / "b", root / "keep" / "c")


def rename(root: Path) -> None:
    """Of a directory in a lower layer: EXDEV with these options, so programs copy and delete."""
    (root / "moved").mkdir()
    (root / "moved" / "f").write_text((root / "dir" / "f").read_text())
    remove(root, "dir")


CASES: list[tuple[list[Work], list[str]]] = [
    ([], []),
    ([nothing], []),
    ([lambda root: (root / "n").mkdir()], ["A n"]),
    ([lambda root: (root / "keep" / "b").write_text("22") and None], ["C keep", "C keep/b"]),
    ([lambda root: (root / "keep" / "b").chmod(0o600)], ["C keep", "C keep/b"]),
    ([lambda root: (root / "keep").chmod(0o700)], ["C keep"]),
    ([lambda root: (root / "keep" / "b").unlink()], ["C keep", "D keep/b"]),
    ([lambda root: remove(root, "gone")], ["D gone"]),
    ([recreate], ["C gone", "D gone/deep", "D gone/x", "A gone/z"]),
    ([recreate, lambda root: remove(root, "gone")], ["D gone"]),
    ([by_file], ["C gone"]),
    ([by_directory], ["C over", "A over/n"]),
    ([rename], ["D dir", "A moved", "A moved/f"]),
    ([lambda root: (root / "hidden").touch()], ["A hidden"]),
    ([lambda root: (root / "etc" / "new").touch()], ["C etc", "A etc/new"]),
    ([lambda root: os.symlink("/x", root / "keep" / "l")], ["C keep", "A keep/l"]),
    ([lambda root: (root / "t").touch(), lambda root: (root / "t").unlink()], []),
]


@pytest.mark.parametrize(("work", "expected"), CASES)
def test_difference(driver: Snapshots, chain: list[str], work: list[Work], expected: list[str]) -> None:
    assert difference(driver, chain, *work) == expected


def test_a_hard_link_is_added_beside_the_file(driver: Snapshots, chain: list[str]) -> None:
    found = difference(driver, chain, linked)
    assert [line for line in found if line != "C keep/b"] == ["C keep", "A keep/c"]


def seen(root: Path) -> dict[str, tuple[int, int]]:
    """Every path of a mount: mode and, of a file, size."""
    found = {}
    for directory, below, names in os.walk(root):
        for name in (*below, *names):
            status = os.lstat(f"{directory}/{name}")
            size = 0 if name in below and not os.path.islink(f"{directory}/{name}") else status.st_size
            found[os.path.relpath(f"{directory}/{name}", root)] = (status.st_mode, size)
    return found


@pytest.mark.parametrize("work", [nothing, recreate, by_file, by_directory, linked, rename])
def test_the_view_is_what_the_mount_shows(driver: Snapshots, chain: list[str], work: Work) -> None:
    driver.prepare("c1", chain)
    with inside(driver, "c1") as root:
        work(root)
        expected = seen(root)
        with driver.view("c1") as view:  # while it is mounted, as a running container's is
            walked = [(os.fsdecode(node.path), node.status) for node in view.walk()]
    got = {
        path: (status.st_mode, 0 if status.st_mode & 0o170000 == 0o040000 else status.st_size)
        for path, status in walked
        if status is not None
    }
    assert got == expected
    assert [path for path, _ in walked] == sorted(expected, key=lambda path: path.split("/"))


def test_hostile_names_and_kinds(driver: Snapshots, chain: list[str], tmp_path: Path) -> None:
    """What leads out, waits, has no form in tar or is too deep neither escapes nor stops the rest."""
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def make(root: Path) -> None:
        os.symlink(str(secret), root / "out")
        os.symlink("/proc/self/root", root / "keep" / "loop")
        os.symlink(str(tmp_path), root / "outdir")
        os.mkfifo(root / "pipe")
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{root}/socket")
        (root / "new\nline").touch()
        os.mkdir(os.fsencode(root) + b"/\xff\xfe")
        (root / ".wh.keep").touch()
        (root / (".wh.dir")).mkdir()
        (root / ".wh.dir" / "f").touch()
        here = os.open(root, os.O_RDONLY)
        for _ in range(40):  # 40 × 250 bytes: deeper than PATH_MAX
            os.mkdir("d" * 250, dir_fd=here)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        (root / "z").write_text("last")

    driver.prepare("c1", chain)
    with inside(driver, "c1") as root:
        make(root)
    with driver.written("c1") as view:
        archive = b"".join(pack.packed(view.difference(), layer=True))
    names = {os.fsdecode(entry.name): entry for entry in TarReader(_source(archive))}
    assert names["out"].link == os.fsencode(secret) and b"secret" not in archive.replace(os.fsencode(secret), b"")
    assert {"pipe", "null", "new\nline", "outdir", "keep/loop", "z"} < set(names)
    assert not {"socket", ".wh.keep", ".wh.dir/", ".wh.dir/f"} & set(names)
    deep = [name for name in names if name.startswith("ddd")]
    assert 14 <= len(deep) <= 17


def _source(archive: bytes) -> Callable[[int], bytes]:
    from io import BytesIO

    return BytesIO(archive).read
