"""How overlayfs marks deletions on disk, and the plain-file form for file systems that can't hold those marks.

Source: Documentation/filesystems/overlayfs.rst ("whiteouts and opaque directories"); OCI image layer.md (``.wh.``).
"""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum
from typing import Final

WHITEOUT_PREFIX: Final = b".wh."  # OCI layer.md: an entry `.wh.<name>` hides <name> of the layers below
OPAQUE_NAME: Final = b".wh..wh..opq"  # … and this one hides everything below in its directory


class Flavour(Enum):
    """How a layer directory on disk says "not there any more"."""

    TRUSTED = "trusted"  # 0:0 character devices and trusted.overlay.opaque: needs CAP_SYS_ADMIN
    USER = "user"  # 0:0 character devices and user.overlay.opaque: overlay mounted with `userxattr`
    FILES = "files"  # empty files named as in the archive: any file system, read by the copy driver only


OPAQUE_ATTRIBUTE: Final = {Flavour.TRUSTED: "trusted.overlay.opaque", Flavour.USER: "user.overlay.opaque"}


def is_private_attribute(name: str) -> bool:
    """Tell whether an extended attribute steers overlayfs itself and so must never come from an archive."""
    return name.startswith(("trusted.overlay.", "user.overlay."))


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether this is overlay's whiteout: a character device with number 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def make_whiteout(directory: int, name: bytes, flavour: Flavour) -> None:
    """Hide ``name`` of the layers below in the directory behind the descriptor; FileExistsError when it is there."""
    if flavour is Flavour.FILES:
        marker = WHITEOUT_PREFIX + name
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory))
    else:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)


def make_opaque(directory: int, flavour: Flavour) -> None:
    """Hide everything that the layers below have in the directory behind the (readable) descriptor."""
    if flavour is Flavour.FILES:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(OPAQUE_NAME, flags, 0o600, dir_fd=directory))
    else:
        os.setxattr(directory, OPAQUE_ATTRIBUTE[flavour], b"y")


def is_opaque(directory: int, flavour: Flavour) -> bool:
    """Tell whether the directory behind the (readable) descriptor hides what is below it."""
    if flavour is Flavour.FILES:
        return _exists(directory, OPAQUE_NAME)
    try:
        return os.getxattr(directory, OPAQUE_ATTRIBUTE[flavour]) == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise


def hides(directory: int, name: bytes, flavour: Flavour) -> bool:
    """Tell whether the layer directory behind the descriptor has a whiteout for ``name``."""
    if flavour is Flavour.FILES:
        return _exists(directory, WHITEOUT_PREFIX + name)
    try:
        return is_whiteout(os.lstat(name, dir_fd=directory))
    except FileNotFoundError:
        return False


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True
