"""Stacks of layers compared with what the kernel's overlayfs makes of the same changes."""

import contextlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.image.conftest import Machine
from integration.image.suite import CAPABILITY, archive, docker_files, layer, member, tree, unpacked
from integration.storage.suite import opened, unfurnished
from sampan.linux import overlayfs
from sampan.linux.overlayfs import Flavour
from sampan.storage.copy import CopyDriver
from sampan.storage.merge import merge
from support.privileges import root_or_skip


@pytest.fixture(autouse=True)
def _root() -> None:
    root_or_skip()


@contextlib.contextmanager
def overlay(tmp: Path, base: Path) -> Iterator[Path]:
    """A plain overlay mount over ``base``, by mount(8); the changes are in tmp/upper."""
    for name in ("upper", "work", "merged"):
        (tmp / name).mkdir()
    options = f"lowerdir={base},upperdir={tmp / 'upper'},workdir={tmp / 'work'},redirect_dir=off,metacopy=off"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "test", tmp / "merged"], check=True)
    try:
        yield tmp / "merged"
    finally:
        subprocess.run(["umount", tmp / "merged"], check=True)


def pack(root: Path) -> bytes:
    """A directory as a layer, the kernel's whiteouts and opaque marks in OCI's form."""
    out = io.BytesIO()
    seen: dict[int, str] = {}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for path in sorted([root, *root.rglob("*")]):
            name = "." if path == root else str(path.relative_to(root))
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                target.addfile(member(os.path.join(os.path.dirname(name), ".wh." + path.name)))
                continue
            info = _info(path, name, status, seen)
            with path.open("rb") if info.size else contextlib.nullcontext() as content:
                target.addfile(info, content)
            if "trusted.overlay.opaque" in os.listxattr(path, follow_symlinks=False):
                target.addfile(member(f"{name}/.wh..wh..opq"))
    return out.getvalue()


def _info(path: Path, name: str, status: os.stat_result, seen: dict[int, str]) -> tarfile.TarInfo:
    kinds = {stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFIFO: tarfile.FIFOTYPE}
    kind = kinds.get(stat.S_IFMT(status.st_mode), tarfile.REGTYPE)
    info = member(name, kind, mode=stat.S_IMODE(status.st_mode), uid=status.st_uid, gid=status.st_gid)
    info.mtime = status.st_mtime_ns // 10**9
    info.pax_headers = {"mtime": f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09d}"}
    for key in os.listxattr(path, follow_symlinks=False):
        value = os.getxattr(path, key, follow_symlinks=False)
        info.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
    if kind == tarfile.SYMTYPE:
        info.linkname = os.readlink(path)
    elif kind == tarfile.REGTYPE and seen.setdefault(status.st_ino, name) != name:
        info.type, info.linkname = tarfile.LNKTYPE, seen[status.st_ino]
    elif kind == tarfile.REGTYPE:
        info.size = status.st_size
    return info


def make_base(root: Path) -> None:
    """Something to change."""
    for name in ("keep", "gone", "opaque/deep", "replaced", "twice"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text(name)
    (root / "opaque/file").write_text("1")
    (root / "tmp").mkdir(mode=0o755)
    (root / "tmp").chmod(0o1777)
    (root / "file").write_text("base")
    (root / "capable").write_text("base")
    os.setxattr(root / "capable", "security.capability", CAPABILITY)
    os.link(root / "file", root / "twin")
    os.symlink("file", root / "link")
    os.chown(root, 0, 3)
    root.chmod(0o751)


CHANGES = {
    "delete a file": "rm file",
    "delete a tree": "rm -r gone opaque/deep",
    "delete and make again": "rm -r opaque && mkdir opaque && echo new > opaque/new",
    "a file for a directory": "rm -r replaced && echo now > replaced",
    "a directory for a file": "rm file && mkdir file && echo in > file/in",
    "a link for a file": "ln -sf keep/file file",
    "a file for a link": "rm link && echo now > link",
    "owner and mode": "chown 5:6 file keep && chmod 4711 file && chmod 700 keep",
    "a file with capabilities": "chmod 700 capable",
    "hard links": "ln keep/file keep/a && ln keep/file b && echo more >> b",
    "a fifo": "mkfifo -m 604 fifo",
    "the root": "chmod 700 . && chown 9:9 .",
    "deep": "mkdir -p a/b/c && echo 1 > a/b/c/d && rm -r twice/file",
    "nothing": "true",
    "rename": "mv file moved && mv keep/file keep/other",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_give_the_tree_that_overlayfs_gave(machine: Machine, tmp_path: Path, change: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    make_base(base)
    with overlay(tmp_path, base) as merged:
        subprocess.run(["sh", "-c", CHANGES[change]], cwd=merged, check=True)
        expected = tree(merged)
    layers = [pack(base), pack(tmp_path / "upper")]
    machine.images.load(io.BytesIO(archive(docker_files(layers, ["app:1"]))), machine.reports.append)
    chain = machine.images.resolve("app:1").chain_ids
    machine.snapshots.prepare("k", chain)
    with opened(machine.snapshots.mount("k")) as root:
        assert _links_as_overlay(unfurnished(tree(root))) == _links_as_overlay(expected)
    copied = tmp_path / "copied"
    copied.mkdir()
    merge([(machine.snapshots.layer(one), Flavour.TRUSTED) for one in chain], copied)
    assert _links_as_overlay(tree(copied)) == _links_as_overlay(expected)


def _links_as_overlay(found: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """Leave out which names are one file: overlayfs breaks hard links when it copies up (overlayfs.rst)."""
    return {name: fact[:6] + fact[7:] for name, fact in found.items()}


@pytest.mark.parametrize("flavour", Flavour)
def test_whiteouts_in_each_flavour(tmp_path: Path, flavour: Flavour) -> None:
    content = layer("d/", "d/.wh.gone", ".wh.other", "o/", "o/.wh..wh..opq", ("o/x", b"1"), ".wh..wh.plnk")
    unpacked(content, tmp_path / "layer", flavour)
    root = os.open(tmp_path / "layer", os.O_RDONLY)
    inner = os.open(tmp_path / "layer/d", os.O_RDONLY)
    opaque = os.open(tmp_path / "layer/o", os.O_RDONLY)
    try:
        assert overlayfs.hides(root, b"other", flavour) and overlayfs.hides(inner, b"gone", flavour)
        assert not overlayfs.hides(root, b"d", flavour) and not overlayfs.hides(opaque, b"x", flavour)
        assert overlayfs.is_opaque(opaque, flavour) and not overlayfs.is_opaque(inner, flavour)
    finally:
        for descriptor in (root, inner, opaque):
            os.close(descriptor)
    names = sorted(path.name for path in (tmp_path / "layer").rglob("*"))
    marks = [".wh..wh..opq", ".wh.gone", ".wh.other"] if flavour is Flavour.FILES else ["gone", "other"]
    assert names == sorted(["d", "o", "x", *marks])


ORDERS = {
    "whiteout, then the file": ([".wh.a", ("a", b"new")], {"a": b"new"}),
    "the file, then its whiteout": ([("a", b"new"), ".wh.a"], {"a": b"new"}),
    "whiteout, then a directory": ([".wh.d", "d/", ("d/new", b"1")], {"d/new": b"1"}),
    "whiteout, then an implied directory": ([".wh.d", ("d/new", b"1")], {"d/new": b"1"}),
    "a directory, then its whiteout": (["d/", ("d/new", b"1"), ".wh.d"], {"d/new": b"1"}),
    "opaque last": (["d/", ("d/new", b"1"), "d/.wh..wh..opq"], {"d/new": b"1"}),
    "opaque first": (["d/", "d/.wh..wh..opq", ("d/new", b"1")], {"d/new": b"1"}),
    "the same whiteout twice": ([".wh.a", ".wh.a"], {}),
}


@pytest.mark.parametrize("kind", ["overlay", "copy"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_whiteout_concerns_lower_layers_in_whatever_order(
    machine: Machine, tmp_path: Path, order: str, kind: str
) -> None:
    """OCI layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"."""
    entries, kept = ORDERS[order]
    base = layer(("a", b"old"), "d/", ("d/old", b"old"), ("rest", b"r"))
    driver = machine.snapshots if kind == "overlay" else CopyDriver(tmp_path / "copy")
    chain: list[str] = []
    for number, content in enumerate((base, layer(*entries))):
        pending = driver.begin("sha256:" + f"{number}" * 64, chain[-1] if chain else None)
        unpacked(content, pending.path, pending.flavour)
        pending.commit()
        chain.append("sha256:" + f"{number}" * 64)
    driver.prepare("k", chain)
    with opened(driver.mount("k")) as root:
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    untouched = {"rest": b"r"} | ({"d/old": b"old"} if "a" in kept or not kept else {"a": b"old"})
    assert unfurnished(found) == untouched | kept


def modes(root: Path, *names: str) -> list[tuple[int, int, int]]:
    """Mode, owner and group of directories."""
    found = [(root / name).stat() for name in names]
    return [(stat.S_IMODE(one.st_mode), one.st_uid, one.st_gid) for one in found]


def test_implied_directories_take_after_the_layers_below(machine: Machine) -> None:
    lowest = layer(
        member(".", tarfile.DIRTYPE, mode=0o711, uid=1),
        member("tmp", tarfile.DIRTYPE, mode=0o1777),
        member("srv", tarfile.DIRTYPE, mode=0o2750, uid=7, gid=8),
        member("srv/deep", tarfile.DIRTYPE, mode=0o700, uid=9, mtime=1_600_000_000),
        member("gone", tarfile.DIRTYPE, mode=0o700),
        member("covered", tarfile.DIRTYPE, mode=0o700),
    )
    middle = layer(("tmp/a", b"1"), ".wh.gone", ("covered", b"a file now"))
    top = layer(("tmp/b", b"2"), ("srv/deep/x", b"3"), ("srv/new/y", b"4"), ("gone/z", b"5"), ("covered/w", b"6"))
    files = docker_files([lowest, middle, top], ["app:1"])
    machine.images.load(io.BytesIO(archive(files)), machine.reports.append)
    machine.snapshots.prepare("k", machine.images.resolve("app:1").chain_ids)
    with opened(machine.snapshots.mount("k")) as root:
        assert modes(root, ".", "tmp", "srv", "srv/deep") == [
            (0o711, 1, 0), (0o1777, 0, 0), (0o2750, 7, 8), (0o700, 9, 0),
        ]  # fmt: skip
        assert modes(root, "srv/new", "gone", "covered") == [(0o755, 0, 0)] * 3
        assert (root / "srv/deep").stat().st_mtime == 1_600_000_000


def test_implied_directories_do_not_look_through_links_or_out(machine: Machine, tmp_path: Path) -> None:
    """A lower layer's link where the upper one implies a directory hides what lies behind the link."""
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    os.chown(secret, 77, 77)
    lower = layer(member("d", tarfile.SYMTYPE, linkname=str(secret)), member("e", tarfile.DIRTYPE, mode=0o700))
    files = docker_files([lower, layer(("d/x", b"1"), ("e/y", b"2"))], ["app:1"])
    machine.images.load(io.BytesIO(archive(files)), machine.reports.append)
    machine.snapshots.prepare("k", machine.images.resolve("app:1").chain_ids)
    with opened(machine.snapshots.mount("k")) as root:
        assert modes(root, "d", "e") == [(0o755, 0, 0), (0o700, 0, 0)]
    assert os.listdir(secret) == []


def test_a_layer_below_an_opaque_directory_is_not_asked(machine: Machine) -> None:
    lowest = layer(member("d", tarfile.DIRTYPE), member("d/e", tarfile.DIRTYPE, mode=0o700))
    middle = layer("d/", "d/.wh..wh..opq")
    files = docker_files([lowest, middle, layer(("d/e/x", b"1"))], ["app:1"])
    machine.images.load(io.BytesIO(archive(files)), machine.reports.append)
    machine.snapshots.prepare("k", machine.images.resolve("app:1").chain_ids)
    with opened(machine.snapshots.mount("k")) as root:
        assert modes(root, "d/e") == [(0o755, 0, 0)]


def test_a_loaded_image_has_one_copy_of_each_layer(machine: Machine) -> None:
    base, one, two = layer(("a", b"1")), layer(("b", b"2")), layer(("b", b"3"))
    for number, layers in enumerate(([base, one], [base, two], [one, base])):
        machine.images.load(io.BytesIO(archive(docker_files(layers, [f"app:{number}"]))), machine.reports.append)
    assert len(machine.stored()["layers"]) == 5  # [base], [base, one], [base, two], [one], [one, base]
    assert len({image.id for image in machine.images.list()}) == 3
