"""What both drivers share on disk: committed layers, and the directories of active snapshots with their locks.

The form is drawn in ``snapshots``. Names that were committed (chain IDs, keys) are plain hex or checked to be one path
component, so a path made of them can't lead elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sampan.linux.overlayfs import Flavour
from sampan.storage.snapshots import SnapshotBusy, SnapshotMissing

PENDING_PREFIX: Final = ".pending-"
_TOP: Final = "top"  # link in an active snapshot: hex of its topmost layer; "-" when it stands on nothing
_PARENT: Final = "parent"  # link in a layer: hex of the one below; missing in a bottom layer
_FLAVOUR: Final = "flavour"  # link in a layer: how it marks deletions
_NOTHING: Final = "-"


class Pending:
    """A layer being unpacked, in a directory beside the committed ones."""

    def __init__(self, tree: LayerTree, hexadecimal: str, parent: str | None, flavour: Flavour) -> None:
        """Make the directory and note what it will be."""
        self.flavour = flavour
        self._tree = tree
        self._hex = hexadecimal
        self._directory = Path(tempfile.mkdtemp(prefix=PENDING_PREFIX, dir=tree.root))
        self.path = self._directory / "fs"
        self.path.mkdir()
        self.path.chmod(0o755)
        os.symlink(flavour.value, self._directory / _FLAVOUR)
        if parent is not None:
            os.symlink(parent, self._directory / _PARENT)

    def commit(self) -> None:
        """Rename it into place; when it is there already (someone was faster), ours goes."""
        self._tree.accept(self._directory, self._hex)
        self.abort()

    def abort(self) -> None:
        """Remove what is still in the pending place."""
        remove_tree(self._directory)


class LayerTree:
    """Committed layers below ``root``. Thread-safe."""

    def __init__(self, root: Path, flavour: Flavour, readable: frozenset[Flavour]) -> None:
        """``flavour`` is for new layers; committed ones count when theirs is ``readable``."""
        self.root = root
        self.flavour = flavour
        self._readable = {one.value for one in readable}
        self._lock = threading.Lock()
        self._parents: dict[str, str | None] = {}  # of layers that were looked at; a layer's parent never changes
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # set-id programs lie in there, for containers only

    def path(self, hexadecimal: str) -> Path:
        """Return the layer's root directory, there or not."""
        return self.root / hexadecimal / "fs"

    def init_layer(self, hexadecimal: str) -> Path:
        """Return where the directory is that the layer's containers stand on, there or not."""
        return self.root / hexadecimal / "init"

    def begin(self, hexadecimal: str, parent: str | None) -> Pending:
        """Start a layer."""
        return Pending(self, hexadecimal, parent, self.flavour)

    def accept(self, directory: Path, hexadecimal: str) -> None:
        """Rename an unpacked layer into place, unless one that can be read is there."""
        with self._lock:
            if self._flavour_of(hexadecimal) in self._readable:
                return
            if (self.root / hexadecimal).exists():
                self._set_aside(hexadecimal)
            os.rename(directory, self.root / hexadecimal)

    def has(self, hexadecimal: str) -> bool:
        """Tell whether it is committed and readable for the driver."""
        return self._flavour_of(hexadecimal) in self._readable

    def flavour_of(self, hexadecimal: str) -> Flavour:
        """Return how a committed layer marks deletions. Raises SnapshotMissing."""
        value = self._flavour_of(hexadecimal)
        if value is None:
            raise SnapshotMissing(f"layer sha256:{hexadecimal} is missing from {self.root}")
        return Flavour(value)

    def _flavour_of(self, hexadecimal: str) -> str | None:
        return _link(self.root / hexadecimal / _FLAVOUR)

    def stack(self, top: str | None) -> list[str]:
        """Return the layers from ``top`` down. Raises SnapshotMissing where one isn't there."""
        stack: list[str] = []
        while top is not None:
            stack.append(top)
            top = self._parent(top)
        return stack

    def known_stack(self, top: str) -> list[str]:
        """Return the layers from ``top`` down as far as they are there: of a damaged stack what is left of it."""
        stack: list[str] = []
        name: str | None = top
        with contextlib.suppress(SnapshotMissing):
            while name is not None:
                stack.append(name)
                name = self._parent(name)
        return stack

    def _parent(self, hexadecimal: str) -> str | None:
        if hexadecimal not in self._parents:
            if not self.has(hexadecimal):
                raise SnapshotMissing(f"layer sha256:{hexadecimal} is missing from {self.root}")
            self._parents[hexadecimal] = _link(self.root / hexadecimal / _PARENT)
        return self._parents[hexadecimal]

    def names(self) -> list[str]:
        """Return the hex names of all committed layers, whatever their flavour."""
        return [name for name in os.listdir(self.root) if not name.startswith(".")]

    def set_aside(self, hexadecimal: str) -> Path | None:
        """Take a layer out of sight by one rename; return where it is now, or None when it wasn't there."""
        with self._lock:
            return self._set_aside(hexadecimal)

    def _set_aside(self, hexadecimal: str) -> Path | None:
        self._parents.pop(hexadecimal, None)
        aside = Path(tempfile.mkdtemp(prefix=PENDING_PREFIX, dir=self.root))
        try:
            os.rename(self.root / hexadecimal, aside)  # replaces the empty directory
        except FileNotFoundError:
            aside.rmdir()
            return None
        return aside

    def sweep(self) -> None:
        """Remove pending layers."""
        for name in os.listdir(self.root):
            if name.startswith(PENDING_PREFIX):
                remove_tree(self.root / name)


class ActiveTree:
    """Active snapshots below ``root``, one directory for each key; the engine keeps files of its own beside ours."""

    def __init__(self, root: Path) -> None:
        """Look which snapshots there are."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()  # held while a snapshot appears, and while a layer is found to be unused
        self._tops: dict[str, str | None] = dict(self._read())

    def _read(self) -> Iterator[tuple[str, str | None]]:
        for key in os.listdir(self.root):
            top = _link(self.root / key / _TOP)
            if top is not None:
                yield key, None if top == _NOTHING else top

    def path(self, key: str) -> Path:
        """Return the snapshot's directory. Raises SnapshotMissing for a key that can't be a file name."""
        if not key or "/" in key or key.startswith("."):
            raise SnapshotMissing(f"no such snapshot: {key}")
        return self.root / key

    def add(self, key: str, top: str | None, directories: Sequence[str]) -> Path:
        """Make the directories of ``key``, then the link that makes it a snapshot. Idempotent. Hold the lock."""
        path = self.path(key)
        path.mkdir(mode=0o700, exist_ok=True)  # nobody on the host walks in; a mount needs the path only once
        for name in directories:
            (path / name).mkdir(mode=0o755, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(_NOTHING if top is None else top, path / _TOP)
        self._tops[key] = top
        return path

    def top(self, key: str) -> str | None:
        """Return the hex name of the topmost layer. Raises SnapshotMissing."""
        try:
            return self._tops[key]
        except KeyError:
            raise SnapshotMissing(f"no such snapshot: {key}") from None

    def tops(self) -> set[str]:
        """Return the topmost layers of all snapshots. Hold the lock."""
        return {top for top in self._tops.values() if top is not None}

    def keys(self) -> set[str]:
        """Return the keys of all snapshots."""
        return set(self._tops)

    def __contains__(self, key: str) -> bool:
        return key in self._tops

    def own(self, key: str) -> int:
        """Take the snapshot's lock and return the descriptor that holds it. Raises SnapshotBusy."""
        descriptor = os.open(self.path(key), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise SnapshotBusy(f"the file system of {key} is in use") from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def remove(self, key: str, names: Sequence[str]) -> None:
        """Remove the snapshot's files, the link that makes it one first; idempotent."""
        path = self.path(key)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path / _TOP)
        for name in names:
            remove_tree(path / name)
        with self.lock:
            self._tops.pop(key, None)
        with contextlib.suppress(OSError):  # not empty: the engine's files are still there
            path.rmdir()


def _link(path: Path) -> str | None:
    """Return where a link points; None when there is no link of that name."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
            return None
        raise


def hex_of(chain_id: str) -> str:
    """Return the directory name of a chain ID. Raises SnapshotMissing for what is none."""
    algorithm, _, hexadecimal = chain_id.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64 or not hexadecimal.isalnum():
        raise SnapshotMissing(f"no such layer: {chain_id}")
    return hexadecimal


def remove_tree(path: Path) -> None:
    """Remove a directory tree, or nothing when it isn't there; never follows links out of it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
