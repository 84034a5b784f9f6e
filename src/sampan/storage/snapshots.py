"""Snapshots: the file-system states that containers and builds stand on.

Words.  *layer*: committed, frozen, named by its ``chain_id``, shared. *active* snapshot: writable, named by ``key``
        (a container's ID), stands on a stack of layers. *owner*: whoever holds an active snapshot's lock.
Life.   layer:  begin → (unpack into ``path``) → commit | abort … forget.
        active: prepare → mount → … → mount again → discard. An active snapshot is never a parent.
Cost.   overlay: everything is O(layers), mount about 0.1 ms, ``usage`` walks the writable layer: O(files in it).
        copy: ``prepare`` copies the whole image.
Owner.  Two live mounts of one upper directory corrupt each other, and with ``index=off`` the kernel lets it happen.
        So ``mount`` takes the snapshot's lock and returns it together with the mount: whoever keeps the mount (the
        monitor) keeps the lock's descriptor open as long; it is an open-file-description lock (flock), free as soon
        as the last copy of the descriptor is closed, however its holders died.

Differences to the first sketch: ``begin`` takes the parent too (a layer knows its parent, so that an active snapshot
needs to remember its topmost layer only); ``mount`` returns ``Mounted(root, lock)`` instead of a bare descriptor.

On disk (below the data root)::

    layers/<hex of chain id>/{fs/, parent → hex (link), flavour → "trusted" (link), init/}
    layers/.pending-*/                     unpacked halfway; swept at start
    containers/<key>/{rw/, work/, top → hex (link)}; the lock is the directory's

``init/`` is what every container of the image gets besides (`furniture`): a layer between the image and the writable
layer, which so holds what the container wrote and nothing else. Every file that isn't made and deleted for each
container counts: ext4 looks at each inode deleted within a minute before it makes another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from sampan.storage.view import View

from sampan.linux.overlayfs import Flavour


class StorageError(Exception):
    """Base of this room's errors; ``status`` is the HTTP status that the API answers with."""

    status: ClassVar[int] = 500


class SnapshotMissing(StorageError):
    """No such active snapshot, or a layer that it stands on is gone."""

    status = 404


class SnapshotBusy(StorageError):
    """The active snapshot has an owner already; go through the descriptor that its owner holds."""

    status = 409


class DriverUnusable(StorageError):
    """The storage driver that was asked for can't work here; the text says why."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A root file system nobody else sees. The caller closes both descriptors, ``root`` first."""

    root: int  # detached mount, O_PATH; gone when closed, unless move_mount put it somewhere
    lock: int  # holds the snapshot's lock; keep it open for as long as ``root`` or what was made of it is in use

    def close(self) -> None:
        """Close both: the mount first, then the lock that protects it."""
        os.close(self.root)
        os.close(self.lock)


class PendingLayer(Protocol):
    """A layer that is being unpacked; becomes visible by ``commit`` only."""

    path: Path  # empty directory, mode 755, owned by us: the layer's root
    flavour: Flavour  # how deletions are to be marked in it

    def commit(self) -> None:
        """Rename it into place, atomically. When another one was faster, that one stays and this one goes."""
        ...

    def abort(self) -> None:
        """Remove everything that was unpacked; also after a failed commit. Idempotent."""
        ...


class Snapshots(Protocol):
    """A storage driver. Thread-safe. Paths and locks are valid across restarts of sampand."""

    name: str  # "overlay" | "copy"
    flavour: Flavour  # how layers of this driver mark deletions
    root: Path  # the directory that the layers are in

    def layer(self, chain_id: str) -> Path:
        """Return the root directory of a committed layer. Raises SnapshotMissing."""
        ...

    def begin(self, chain_id: str, parent: str | None) -> PendingLayer:
        """Start a layer that will stand on ``parent`` (a chain ID, or None for a bottom layer)."""
        ...

    def has(self, chain_id: str) -> bool:
        """Tell whether the layer is committed, in a form that this driver can use."""
        ...

    def layers(self) -> Iterable[str]:
        """Yield the chain ID of every committed layer."""
        ...

    def used(self) -> set[str]:
        """Return the chain IDs that active snapshots stand on: not to be forgotten."""
        ...

    def forget(self, chain_id: str) -> None:
        """Remove a committed layer; idempotent. The caller knows that nothing stands on it."""
        ...

    def set_aside(self, chain_id: str) -> None:
        """The quick half of ``forget``: take a layer out of sight by one rename, to be deleted by ``purge``."""
        ...

    def purge(self) -> None:
        """The slow half: delete what this thread set aside. O(files)."""
        ...

    def prepare(self, key: str, parents: Sequence[str]) -> None:
        """Make the active snapshot ``key`` on the stack ``parents`` (chain IDs, bottom first); idempotent.

        Raises SnapshotMissing when a layer of the stack is not committed.
        """
        ...

    def mount(self, key: str, *, volatile: bool = False, readonly: bool = False) -> Mounted:
        """Mount it, detached. ``volatile`` saves the sync at unmount; afterwards it can't be mounted again.

        Raises SnapshotMissing, SnapshotBusy, OSError from the kernel.
        """
        ...

    def discard(self, key: str) -> None:
        """Remove the active snapshot's own files (not the engine's beside them); idempotent."""
        ...

    def usage(self, key: str) -> int:
        """Return the bytes in the writable layer, as Docker's SizeRw: each inode once, directories not counted."""
        ...

    def stack(self, key: str) -> list[str]:
        """Return the chain IDs of the layers that an active snapshot stands on, top first. Raises SnapshotMissing."""

    def view(self, key: str) -> View:
        """Open what a container sees, to be read without a mount; see `view`. Raises SnapshotMissing, OSError."""
        ...

    def written(self, key: str) -> View:
        """Open the writable layer to be compared with those below (``View.difference``). Raises as ``view``."""
        ...

    def keys(self) -> Iterable[str]:
        """Yield the key of every active snapshot on disk."""
        ...

    def sweep(self) -> None:
        """Remove what a crash left unfinished (pending layers). Call before any ``begin``."""
        ...
