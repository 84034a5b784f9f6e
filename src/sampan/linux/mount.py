"""Mounts: the file-descriptor API of Linux 5.2 and later, and mount(2) for what it cannot do on older kernels.

Words.  *tree*: a mount with what is mounted below it.  *detached*: attached nowhere, known by its descriptor only, gone
        with it.  *attach*: to give a detached tree a place in the caller's mount namespace.
Errors. Every function raises OSError that names the call and its object.
Source. fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2), mount(2), umount2(2).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from sampan.linux.syscall import call

# linux/mount.h
MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MNT_DETACH: Final = 2

MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR__ATIME: Final = 0x70
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_STRICTATIME: Final = 0x20
MOUNT_ATTR_NODIRATIME: Final = 0x80
MOUNT_ATTR_NOSYMFOLLOW: Final = 0x200000

_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_FSCONFIG_SET_FLAG: Final = 0
_FSCONFIG_SET_STRING: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
_MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
_CLOEXEC: Final = 1


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def open_tree(path: str | bytes, *, at: int = -100, recursive: bool = True, clone: bool = True) -> int:
    """Return a descriptor of the tree at ``path``: a detached copy of it, or (``clone`` false) the place itself."""
    flags = os.O_CLOEXEC | (_OPEN_TREE_CLONE if clone else 0) | (_AT_RECURSIVE if recursive and clone else 0)
    if not path:
        flags |= _AT_EMPTY_PATH
    return call("open_tree", at, os.fsencode(path), flags, on=path or at)


def move_mount(tree: int, target: int, *, on: object = "") -> None:
    """Attach the detached ``tree`` at the directory or file that the descriptor ``target`` stands for."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    call("move_mount", tree, b"", target, b"", flags, on=on or f"tree → {target}")


def new_filesystem(
    kind: str, options: list[tuple[str, str | None]], attributes: int = 0, *, source: str | None = None
) -> int:
    """Make a file system of ``kind`` and return a descriptor of its detached mount.

    Args:
        kind: the file system's name, such as ``tmpfs``.
        options: (key, value) in order; value None for a flag. A value has at most 255 bytes (fsconfig's limit).
        attributes: MOUNT_ATTR_* of the mount.
        source: what mountinfo shows as the source.
    """
    context = call("fsopen", kind.encode(), _CLOEXEC, on=kind)
    try:
        pairs = [("source", source), *options] if source is not None else options
        for key, value in pairs:
            _configure(context, kind, key, value)
        _explained(context, "fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0, on=kind)
        return call("fsmount", context, _CLOEXEC, attributes, on=kind)
    finally:
        os.close(context)


def _configure(context: int, kind: str, key: str, value: str | None) -> None:
    where = f"{kind}, {key}={value}" if value is not None else f"{kind}, {key}"
    if value is None:
        _explained(context, "fsconfig", context, _FSCONFIG_SET_FLAG, key.encode(), None, 0, on=where)
    else:
        _explained(context, "fsconfig", context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0, on=where)


def _explained(context: int, name: str, *arguments: int | bytes | None, on: str) -> None:
    """Make the call; on failure add what the kernel wrote to the context's log (fsopen(2), "message retrieval")."""
    try:
        call(name, *arguments, on=on)
    except OSError as error:
        try:
            log = os.read(context, 8192).decode(errors="replace").strip()
        except OSError:
            raise error from None
        raise OSError(error.errno, f"{error.strerror} ({log})") from None


def set_attributes(tree: int, *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False) -> None:
    """Change MOUNT_ATTR_* or the propagation (MS_PRIVATE …) of the mount that ``tree`` stands for."""
    attr = _MountAttr(attr_set=set_, attr_clr=clear, propagation=propagation)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    call("mount_setattr", tree, b"", flags, attr, ctypes.sizeof(attr), on=tree)


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    call(
        "mount",
        source.encode() if source is not None else None,
        os.fsencode(target),
        kind.encode() if kind is not None else None,
        flags,
        data.encode() if data is not None else None,
        on=f"{kind or source or 'flags'} → {target}",
    )


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    call("umount2", os.fsencode(target), flags, on=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    call("pivot_root", os.fsencode(new_root), os.fsencode(put_old), on=new_root)
