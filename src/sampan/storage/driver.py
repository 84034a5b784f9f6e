"""The part of a storage driver that doesn't depend on how snapshots are mounted."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from sampan.linux.overlayfs import Flavour
from sampan.linux.usage import tree_size
from sampan.storage.snapshots import SnapshotMissing
from sampan.storage.tree import ActiveTree, LayerTree, Pending, hex_of, remove_tree
from sampan.storage.view import Place, View

RW: Final = "rw"  # the writable layer of an active snapshot


class _Aside(threading.local):
    """Layers that a thread took out of sight and is to delete: nobody else waits for that."""

    def __init__(self) -> None:
        self.paths: list[Path] = []


class Driver(ABC):
    """Layers and active snapshots below one data root; see ``snapshots.Snapshots`` for what the methods mean."""

    name: str

    def __init__(
        self, root: Path, flavour: Flavour, readable: frozenset[Flavour], directories: tuple[str, ...]
    ) -> None:
        """``directories`` are those that each active snapshot has; ``readable`` the flavours of usable layers."""
        self.flavour = flavour
        self.root = root / "layers"
        self._layers = LayerTree(self.root, flavour, readable)
        self._active = ActiveTree(root / "containers")
        self._directories = directories
        self._aside = _Aside()

    def layer(self, chain_id: str) -> Path:
        """Return the root directory of a committed layer."""
        name = hex_of(chain_id)
        if not self._layers.has(name):
            raise SnapshotMissing(f"no such layer: {chain_id}")
        return self._layers.path(name)

    def begin(self, chain_id: str, parent: str | None) -> Pending:
        """Start a layer."""
        return self._layers.begin(hex_of(chain_id), None if parent is None else hex_of(parent))

    def has(self, chain_id: str) -> bool:
        """Tell whether a layer is committed."""
        return self._layers.has(hex_of(chain_id))

    def layers(self) -> Iterable[str]:
        """Return all committed layers."""
        return [f"sha256:{name}" for name in self._layers.names()]

    def used(self) -> set[str]:
        """Return the layers that active snapshots stand on."""
        with self._active.lock:
            return {f"sha256:{name}" for name in self._used()}

    def _used(self) -> set[str]:
        used: set[str] = set()
        for top in self._active.tops():
            used.update(self._layers.known_stack(top))
        return used

    def forget(self, chain_id: str) -> None:
        """Remove a layer, unless an active snapshot came to stand on it meanwhile."""
        self.set_aside(chain_id)
        self.purge()

    def set_aside(self, chain_id: str) -> None:
        """Take a layer out of sight, with the same proviso."""
        name = hex_of(chain_id)
        with self._active.lock:
            if name in self._used():
                return
            aside = self._layers.set_aside(name)
        if aside is not None:
            self._aside.paths.append(aside)

    def purge(self) -> None:
        """Delete what this thread set aside."""
        while self._aside.paths:
            remove_tree(self._aside.paths.pop())

    def prepare(self, key: str, parents: Sequence[str]) -> None:
        """Make an active snapshot."""
        names = [hex_of(chain_id) for chain_id in parents]
        with self._active.lock:
            fresh = key not in self._active
            top = names[-1] if names else None
            if self._layers.stack(top) != names[::-1]:
                raise SnapshotMissing(f"the layers asked for {key} are not one stack")
            path = self._active.add(key, top, self._directories)
        self._fill(path, names, fresh=fresh)

    @abstractmethod
    def _fill(self, path: Path, names: Sequence[str], *, fresh: bool) -> None:
        """Give the writable layer its content; ``names`` are the layers, bottom first, ``fresh`` tells a first call."""

    def discard(self, key: str) -> None:
        """Remove an active snapshot."""
        self._active.remove(key, self._directories)

    def usage(self, key: str) -> int:
        """Return the bytes in the writable layer."""
        self._active.top(key)
        return tree_size(self._active.path(key) / RW)

    def stack(self, key: str) -> list[str]:
        """Return the layers that an active snapshot stands on, top first."""
        top = self._active.top(key)
        return [] if top is None else [f"sha256:{name}" for name in self._layers.known_stack(top)]

    def view(self, key: str) -> View:
        """Open what a container sees: its writable layer on those below."""
        return View([(self._active.path(key) / RW, self.flavour), *self._below(key)])

    def written(self, key: str) -> View:
        """Open the writable layer with those below, to be compared."""
        below = self._below(key)
        return View([(self._active.path(key) / RW, self.flavour), *below], whole=not below)

    def _below(self, key: str) -> list[Place]:
        """Return what the writable layer stands on, topmost first."""
        names = self._layers.stack(self._active.top(key))
        return [(self._layers.path(name), self._layers.flavour_of(name)) for name in names]

    def keys(self) -> Iterable[str]:
        """Return the keys of all active snapshots."""
        return self._active.keys()

    def sweep(self) -> None:
        """Remove pending layers."""
        self._layers.sweep()
