"""Snapshots by overlayfs: the writable layer of a container is a directory, its image's layers are others below it.

Options: ``redirect_dir=nofollow``, because even with ``off`` a layer's own redirect attribute would be followed;
``metacopy=off,index=off``, so that the upper directory *is* the difference and reading it needs no mount. ``xino`` is
as the kernel has it by default.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from sampan.linux.mount import MOUNT_ATTR_RDONLY, new_filesystem, open_tree, set_attributes
from sampan.linux.overlayfs import Flavour
from sampan.storage.driver import RW, Driver
from sampan.storage.furniture import furnish
from sampan.storage.snapshots import Mounted
from sampan.storage.tree import PENDING_PREFIX, remove_tree
from sampan.storage.view import Place

WORK: Final = "work"
OPTIONS: Final = (("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"))
FLAGS: Final[dict[Flavour, tuple[str, ...]]] = {Flavour.TRUSTED: (), Flavour.USER: ("userxattr",)}
SOURCE: Final = "overlay"  # what mountinfo shows as the source
_FSCONFIG_LIMIT: Final = 255  # bytes of a value, fsconfig(2)


class Mounter(Protocol):
    """A way to get a detached overlay mount."""

    def mount(self, lower: Sequence[Path], upper: Path, work: Path, *, flags: Sequence[str], readonly: bool) -> int:
        """Return a descriptor of it. ``lower`` is top first; ``flags`` are options without a value."""
        ...


class DirectMounter:
    """fsopen, fsconfig, fsmount: since Linux 6.7, where overlay takes its layers one by one (``lowerdir+``)."""

    def mount(self, lower: Sequence[Path], upper: Path, work: Path, *, flags: Sequence[str], readonly: bool) -> int:
        """Make the mount; nothing is ever attached to a mount namespace."""
        with contextlib.ExitStack() as stack:
            options: list[tuple[str, str | None]] = [("lowerdir+", _short(path, stack)) for path in lower]
            options += [("upperdir", _short(upper, stack)), ("workdir", _short(work, stack)), *OPTIONS]
            options += [(flag, None) for flag in flags]
            return new_filesystem("overlay", options, MOUNT_ATTR_RDONLY if readonly else 0, source=SOURCE)


def _short(path: Path, stack: contextlib.ExitStack) -> str:
    """Return the path, or one through a descriptor where it is too long or would be unescaped by overlayfs."""
    encoded = os.fsencode(path)
    if len(encoded) <= _FSCONFIG_LIMIT and b"\\" not in encoded:
        return str(path)
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"


class OverlayDriver(Driver):
    """The driver for every machine where overlayfs works; ``probe`` finds out."""

    name = "overlay"

    def __init__(self, root: Path, mounter: Mounter | None = None, flavour: Flavour = Flavour.TRUSTED) -> None:
        """Keep snapshots below the data root. ``mounter`` is a DirectMounter unless the kernel is too old for it."""
        super().__init__(root, flavour, frozenset((flavour,)), (RW, WORK))
        self.mounter: Mounter = mounter or DirectMounter()
        self._flags = FLAGS[flavour]

    def _fill(self, path: Path, names: Sequence[str], *, fresh: bool) -> None:
        """The root of what the container sees is the upper directory: it takes after the image's root."""
        if not fresh:
            return
        if names:
            self._take_after(path / RW, names[-1])
        else:
            os.chmod(path / RW, 0o755)
            root = os.open(path / RW, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            furnish(root)
            os.close(root)

    def _take_after(self, path: Path, name: str) -> None:
        status = os.stat(self._layers.path(name))
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, status.st_mode & 0o7777)

    def _init_layer(self, name: str, lower: Sequence[Path]) -> Path:
        """Return the directory between the image of topmost layer ``name`` and its containers, made at first use."""
        place = self._layers.init_layer(name)
        if place.is_dir():
            return place
        pending = Path(tempfile.mkdtemp(prefix=PENDING_PREFIX, dir=self.root))
        try:
            upper, work = pending / "init", pending / WORK
            upper.mkdir()
            work.mkdir()
            self._take_after(upper, name)
            root = self.mounter.mount(lower, upper, work, flags=(*self._flags, "volatile"), readonly=False)
            furnish(root)
            os.close(root)
            try:
                os.rename(upper, place)
            except OSError:
                if not place.is_dir():  # nobody was faster
                    raise
        finally:
            remove_tree(pending)
        return place

    def _below(self, key: str) -> list[Place]:
        below, top = super()._below(key), self._active.top(key)
        if top is None:
            return below
        return [(self._init_layer(top, [path for path, _ in below]), self.flavour), *below]

    def mount(self, key: str, *, volatile: bool = False, readonly: bool = False) -> Mounted:
        """Mount a snapshot, detached."""
        top = self._active.top(key)
        lower = [self._layers.path(name) for name in self._layers.stack(top)]
        path = self._active.path(key)
        lock = self._active.own(key)
        try:
            if not lower:
                return Mounted(bind(path / RW, readonly=readonly), lock)
            assert top is not None
            lower.insert(0, self._init_layer(top, lower))
            flags = (*self._flags, "volatile") if volatile else self._flags
            root = self.mounter.mount(lower, path / RW, path / WORK, flags=flags, readonly=readonly)
        except BaseException:
            os.close(lock)
            raise
        return Mounted(root, lock)


def bind(directory: Path, *, readonly: bool) -> int:
    """Return a detached bind mount of a directory."""
    tree = open_tree(str(directory), recursive=False)
    if readonly:
        try:
            set_attributes(tree, set_=MOUNT_ATTR_RDONLY)
        except BaseException:
            os.close(tree)
            raise
    return tree
