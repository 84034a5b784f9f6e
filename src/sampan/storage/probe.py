"""Which storage driver works here: found out by trying, not by reading version numbers."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sampan.linux import overlayfs
from sampan.linux.overlayfs import Flavour
from sampan.storage.copy import CopyDriver
from sampan.storage.namespace import NamespaceMounter
from sampan.storage.overlay import FLAGS, DirectMounter, Mounter, OverlayDriver
from sampan.storage.snapshots import DriverUnusable, Snapshots

DRIVERS: Final = ("overlay", "copy")
_ALIASES: Final = {"overlay2": "overlay", "vfs": "copy"}  # Docker's names for the same


@dataclass(frozen=True, slots=True)
class Choice:
    """The driver, and what the probe found: one sentence for each thing that didn't work."""

    snapshots: Snapshots
    notes: tuple[str, ...] = ()


def choose(root: Path, name: str | None = None, *, old_mount: bool = False) -> Choice:
    """Return the best driver for the data root, or the one called ``name`` (Docker's names too).

    ``old_mount`` takes the way of kernels before 6.7 even where a newer one would do. Raises DriverUnusable.
    """
    wanted = _ALIASES.get(name or "", name)
    if wanted is not None and wanted not in DRIVERS:
        raise DriverUnusable(f"no storage driver {name!r}; there are {' and '.join(DRIVERS)}")
    if wanted == "copy":
        return Choice(CopyDriver(root))
    overlay, notes = _overlay(root, old_mount=old_mount)
    if overlay is not None:
        return Choice(overlay, tuple(notes))
    if wanted == "overlay":
        raise DriverUnusable(f"the overlay driver can't work on {root}: {'; '.join(notes)}")
    return Choice(CopyDriver(root), tuple(notes))


def _overlay(root: Path, *, old_mount: bool) -> tuple[OverlayDriver | None, list[str]]:
    notes: list[str] = []
    mounters: list[type[DirectMounter | NamespaceMounter]] = [NamespaceMounter]
    if not old_mount:
        mounters.insert(0, DirectMounter)
    for flavour in (Flavour.TRUSTED, Flavour.USER):
        for make in mounters:
            mounter = make()
            reason = overlay_trouble(root, mounter, flavour)
            if reason is None:
                return OverlayDriver(root, mounter, flavour), notes
            notes.append(reason)
            if isinstance(mounter, NamespaceMounter):
                mounter.close()
    return None, notes


def overlay_trouble(root: Path, mounter: Mounter, flavour: Flavour = Flavour.TRUSTED) -> str | None:
    """Return why ``mounter`` can't mount an overlay of directories below ``root``, or None when it can."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=root) as name:
        try:
            _try_overlay(Path(name), mounter, flavour)
        except OSError as error:
            return f"overlay ({flavour.value}) by {type(mounter).__name__}: {error.strerror or error}"
    return None


def _try_overlay(directory: Path, mounter: Mounter, flavour: Flavour) -> None:
    """Do what snapshots need: a whiteout, an opaque mark, a mount that honours them, a file written through it."""
    layers = [directory / name for name in ("top", "bottom", "rw", "work")]
    for layer in layers:
        layer.mkdir()
    top, bottom, rw, work = layers
    for name in ("hidden", "opaque/file"):
        (bottom / name).parent.mkdir(exist_ok=True)
        (bottom / name).touch()
    (top / "opaque").mkdir()
    _mark(top, flavour)
    root = mounter.mount([top, bottom], rw, work, flags=FLAGS[flavour], readonly=False)
    try:
        _check(root)
    finally:
        os.close(root)


def _mark(top: Path, flavour: Flavour) -> None:
    for path, action in ((top, "whiteout"), (top / "opaque", "opaque")):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if action == "whiteout":
                overlayfs.make_whiteout(descriptor, b"hidden", flavour)
            else:
                overlayfs.make_opaque(descriptor, flavour)
        finally:
            os.close(descriptor)


def _check(root: int) -> None:
    inside = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        names = os.listdir(inside)
        os.mkdir("new", dir_fd=inside)
        opaque = os.open("opaque", os.O_RDONLY | os.O_CLOEXEC, dir_fd=inside)
        try:
            hidden = "hidden" not in names and not os.listdir(opaque)
        finally:
            os.close(opaque)
    finally:
        os.close(inside)
    if not hidden:
        raise OSError(0, "whiteouts are not honoured")
