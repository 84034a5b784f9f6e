"""Directories of containers: the engine's own files beside the snapshot.

On disk (below the data root)::

    containers/<id>/{hostname, hosts, resolv.conf, <id>-json.log, config.json, and the snapshot's rw/, work/ …}
    removed/<id>/          taken aside, waiting to be deleted

Life.   make → (write …) → set_aside → delete.  What was set aside is deleted at the next start if a crash came between.
Cost.   set_aside is one rename; delete is O(files in the writable layer).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from typing import TYPE_CHECKING, Final

from sampan.linux import path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_ID_LENGTH: Final = 64


class ContainerDirectories:
    """The directories of one data root. Thread-safe: each container's is used by one caller at a time."""

    def __init__(self, data_root: Path) -> None:
        """Make the two parent directories where they are missing."""
        self._containers = data_root / "containers"
        self._removed = data_root / "removed"
        for directory in (self._containers, self._removed):
            directory.mkdir(mode=0o710, parents=True, exist_ok=True)

    def path(self, container_id: str) -> Path:
        """Return a container's directory, there or not."""
        return self._containers / container_id

    def make(self, container_id: str) -> None:
        """Make a container's directory; ignored when it is there (the snapshot driver makes it too)."""
        with contextlib.suppress(FileExistsError):
            self.path(container_id).mkdir(mode=0o710)

    def allow_remount(self, container_id: str) -> None:
        """Let a root that was mounted ``volatile`` be mounted again, in the same boot of the machine.

        The kernel refuses it, because the last unmount synced nothing; as long as the machine is up, nothing is lost.
        Source: overlayfs.rst, "Volatile mount".
        """
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path(container_id) / "work" / "work" / "incompat" / "volatile")

    def write(self, container_id: str, files: Mapping[str, bytes]) -> None:
        """Write files by name. Not synced: each start writes them anew."""
        directory = self.path(container_id)
        for name, content in files.items():
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)

    def set_aside(self, container_id: str) -> None:
        """Take a container's directory away, to be deleted later; ignored when there is none."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path(container_id), self._removed / container_id)

    def delete(self, container_id: str) -> None:
        """Delete what was set aside; what can't be deleted is logged, and tried again at the next start."""
        parent = os.open(self._removed, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path.remove_tree(parent, container_id)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("files of container %s are left in %s: %s", container_id[:12], self._removed, error)
        finally:
            os.close(parent)

    def left_behind(self) -> list[str]:
        """Return the names of those that were set aside and not deleted."""
        return os.listdir(self._removed)

    def ids(self) -> list[str]:
        """Return the ids of all containers that have a directory."""
        return [name for name in os.listdir(self._containers) if len(name) == _ID_LENGTH]
