"""Overlay mounts for kernels before 6.7 (Debian 12, Ubuntu 22.04, RHEL 9): mount(2) in a namespace that nobody sees.

mount(2) takes at most a page of options, so layers are given as descriptor numbers relative to /proc/self/fd
(``lowerdir=5:6:7``). It attaches what it mounts, so that happens in a mount namespace private to one thread; an
open_tree clone of it is the detached mount, and the attached one goes. The thread lives as long as the mounter:
unsharing copies the host's mount table, which is too dear for each mount. Mounts that the host makes later arrive by
propagation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sampan.linux.mount import MNT_DETACH, MS_RDONLY, MS_REC, MS_SLAVE, mount, open_tree, umount
from sampan.linux.syscall import call
from sampan.storage.overlay import OPTIONS, SOURCE

_CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
_CLONE_FS: Final = 0x00000200
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class NamespaceMounter:
    """A thread with a mount namespace and a current directory of its own that mounts for everybody."""

    def __init__(self) -> None:
        """Start the thread with the first mount."""
        self._pool = ThreadPoolExecutor(1, "overlay-mounts", initializer=_enter_private_namespace)

    def mount(self, lower: Sequence[Path], upper: Path, work: Path, *, flags: Sequence[str], readonly: bool) -> int:
        """Return a detached overlay mount."""
        return self._pool.submit(_mount, lower, upper, work, flags, readonly).result()

    def close(self) -> None:
        """End the thread and its namespace."""
        self._pool.shutdown()


def _enter_private_namespace() -> None:
    call("unshare", _CLONE_FS | _CLONE_NEWNS, on="mount namespace")
    mount(None, "/", None, MS_REC | MS_SLAVE)
    os.chdir("/proc/self/fd")


def _mount(lower: Sequence[Path], upper: Path, work: Path, flags: Sequence[str], readonly: bool) -> int:
    with contextlib.ExitStack() as stack:

        def number(path: Path) -> str:
            # Opened here: overlayfs refuses directories that were reached through another namespace's mounts.
            descriptor = os.open(path, _DIRECTORY)
            stack.callback(os.close, descriptor)
            return str(descriptor)

        options = [f"lowerdir={':'.join(map(number, lower))}", f"upperdir={number(upper)}", f"workdir={number(work)}"]
        options += [f"{key}={value}" for key, value in OPTIONS] + list(flags)
        mount(SOURCE, str(work), "overlay", MS_RDONLY if readonly else 0, ",".join(options))
        try:
            return open_tree(str(work), recursive=False)
        finally:
            umount(str(work), MNT_DETACH)
