"""Snapshots by copying, for machines where overlayfs can't be: slow to make, plain to use.

``prepare`` applies all layers to the snapshot's directory; a link tells that this came to its end and how many bytes
the image has, so that ``usage`` can tell what was added.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sampan.linux.overlayfs import Flavour
from sampan.linux.usage import tree_size
from sampan.storage.driver import RW, Driver
from sampan.storage.furniture import furnish
from sampan.storage.merge import merge
from sampan.storage.overlay import bind
from sampan.storage.snapshots import Mounted, SnapshotMissing
from sampan.storage.tree import remove_tree
from sampan.storage.view import View

COPIED: Final = "copied"  # link in a finished snapshot: bytes of the image


class CopyDriver(Driver):
    """A driver that needs nothing of the kernel but bind mounts."""

    name = "copy"

    def __init__(self, root: Path, flavour: Flavour = Flavour.FILES) -> None:
        """Keep snapshots below the data root. Layers of every flavour are readable."""
        super().__init__(root, flavour, frozenset(Flavour), (RW,))

    def _fill(self, path: Path, names: Sequence[str], *, fresh: bool) -> None:
        if os.path.lexists(path / COPIED):
            return
        target = path / RW
        remove_tree(target)  # what an interrupted copy left
        target.mkdir()
        target.chmod(0o755)
        merge([(self._layers.path(name), self._layers.flavour_of(name)) for name in names], target)
        root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        furnish(root)
        os.close(root)
        os.symlink(str(tree_size(target)), path / COPIED)

    def mount(self, key: str, *, volatile: bool = False, readonly: bool = False) -> Mounted:
        """Bind a snapshot's directory, detached. ``volatile`` has no meaning here."""
        self._active.top(key)
        path = self._active.path(key)
        if not os.path.lexists(path / COPIED):
            raise SnapshotMissing(f"the file system of {key} was never finished")
        lock = self._active.own(key)
        try:
            return Mounted(bind(path / RW, readonly=readonly), lock)
        except BaseException:
            os.close(lock)
            raise

    def view(self, key: str) -> View:
        """Open what a container sees: a directory without marks."""
        self._active.top(key)
        return View([(self._active.path(key) / RW, None)])

    def written(self, key: str) -> View:
        """Open the same with the image's layers below, to be compared."""
        return View([(self._active.path(key) / RW, None), *self._below(key)], whole=True)

    def usage(self, key: str) -> int:
        """Return by how many bytes the snapshot is larger than its image."""
        total = super().usage(key)
        return max(0, total - int(os.readlink(self._active.path(key) / COPIED)))

    def discard(self, key: str) -> None:
        """Remove an active snapshot."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._active.path(key) / COPIED)
        super().discard(key)
