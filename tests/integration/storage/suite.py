"""Words for tests of storage drivers: layers made of functions, snapshots looked into."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from sampan.linux import overlayfs
from sampan.storage.snapshots import Mounted, PendingLayer, Snapshots

FURNISHED = frozenset((".dockerenv", "dev", "etc", "proc", "sys"))
T = TypeVar("T")
Build = Callable[[PendingLayer], None]


def chain_id(name: str) -> str:
    """A chain ID for a layer that a test calls ``name``."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def commit(driver: Snapshots, name: str, parent: str | None, build: Build) -> str:
    """Commit a layer whose content ``build`` makes, and return its chain ID."""
    pending = driver.begin(chain_id(name), None if parent is None else parent)
    build(pending)
    pending.commit()
    return chain_id(name)


def stack(driver: Snapshots, *builds: Build) -> list[str]:
    """Commit layers on top of each other; return their chain IDs, bottom first."""
    chain: list[str] = []
    for number, build in enumerate(builds):
        chain.append(commit(driver, f"layer {number}", chain[-1] if chain else None, build))
    return chain


def files(**contents: str | None) -> Build:
    """A layer of files; ``a__b`` is a/b. None is a whiteout, and ``a___opaque`` makes the directory a opaque."""

    def build(pending: PendingLayer) -> None:
        for name, text in contents.items():
            path = pending.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                whiteout(pending, path)
            else:
                path.write_text(text)

    return build


def opaque(name: str, **contents: str) -> Build:
    """A layer whose directory ``name`` hides what is below and has these files."""

    def build(pending: PendingLayer) -> None:
        directory = pending.path / name
        directory.mkdir(parents=True)
        for file, text in contents.items():
            (directory / file).write_text(text)
        with descriptor(directory) as fd:
            overlayfs.make_opaque(fd, pending.flavour)

    return build


def whiteout(pending: PendingLayer, path: Path) -> None:
    """Hide ``path`` of the layers below."""
    with descriptor(path.parent) as fd:
        overlayfs.make_whiteout(fd, os.fsencode(path.name), pending.flavour)


@contextlib.contextmanager
def descriptor(directory: Path) -> Iterator[int]:
    """An open directory."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(mounted: Mounted) -> Iterator[Path]:
    """The root of a mount as a path; mount and lock are closed at the end."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mounted.root)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
        mounted.close()


def active(driver: Snapshots, key: str, chain: Sequence[str]) -> contextlib.AbstractContextManager[Path]:
    """Prepare and mount a snapshot; its root as a path."""
    driver.prepare(key, chain)
    return opened(driver.mount(key))


def unfurnished(found: dict[str, T]) -> dict[str, T]:
    """What is in a root, by name, without what every container has."""
    return {name: one for name, one in found.items() if name.partition("/")[0] not in FURNISHED}


def listing(root: Path) -> dict[str, str | None]:
    """Every name below ``root``: a file's text, None for a directory; what every container has left out."""
    found: dict[str, str | None] = {}
    for directory, names, leaves in os.walk(root):
        base = os.path.relpath(directory, root)
        found |= {os.path.normpath(f"{base}/{name}"): None for name in names}
        found |= {os.path.normpath(f"{base}/{leaf}"): Path(directory, leaf).read_text() for leaf in leaves}
        if base == ".":
            names[:] = [name for name in names if name not in FURNISHED]
    return unfurnished(found)
