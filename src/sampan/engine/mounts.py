"""Mounts of a container: those that each one has, and those that were asked for with -v, --tmpfs and --mount.

Forms.  ``-v``: ``source:destination[:mode,…]``, modes ``ro rw z Z``, a propagation, and Docker's historical words for
        other systems, which do nothing here.
Source. dockerd 26.1's OCI specifications, read from its bundles.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sampan.api import schema
from sampan.engine.errors import BadParameter, Internal
from sampan.linux import bindsource

if TYPE_CHECKING:
    from collections.abc import Iterable

PROPAGATIONS: Final = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_ACCESS: Final = frozenset({"ro", "rw"})
_LABELS: Final = frozenset({"z", "Z"})
_CONSISTENCY: Final = frozenset({"consistent", "cached", "delegated", "default"})
_GROUPS: Final = (_ACCESS, _LABELS, PROPAGATIONS, _CONSISTENCY)
_TMPFS_DEFAULTS: Final = ("noexec", "nosuid", "nodev")
_OPPOSITES: Final = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "rw": "ro", "atime": "noatime"}
_TMPFS_FLAGS: Final = frozenset(
    {"noexec", "nosuid", "nodev", "ro", "noatime", "nodiratime", "relatime", "strictatime", *_OPPOSITES}
)
_TMPFS_VALUES: Final = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})
_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")

OciMount = dict[str, Any]


@dataclass(frozen=True, slots=True)
class UserMount:
    """One mount that was asked for."""

    type: str  # "bind" | "tmpfs"
    destination: str  # absolute and clean
    source: str = ""  # of a bind: absolute
    mode: str = ""  # as it was written
    writable: bool = True
    propagation: str = "rprivate"
    recursive: bool = True
    make_source: bool = False  # a missing source becomes a directory (-v), or is an error (--mount)
    options: tuple[str, ...] = ()  # of a tmpfs
    listed: bool = True  # shown in inspect's Mounts

    def oci(self) -> OciMount:
        """The mount in the runtime specification's words."""
        if self.type == "tmpfs":
            return _mount(self.destination, "tmpfs", "tmpfs", *self.options)
        access = () if self.writable else ("ro",)
        bind = "rbind" if self.recursive else "bind"
        return _mount(self.destination, "bind", self.source, bind, *access, self.propagation)

    def check_source(self) -> None:
        """Check that the source of a --mount is there, as Docker does when the container is created."""
        if self.type == "bind" and not self.make_source and not bindsource.exists(self.source):
            where = 'invalid mount config for type "bind"'
            raise BadParameter(f"{where}: bind source path does not exist: {self.source}")

    def point(self) -> schema.MountPoint:
        """The mount as inspect shows it."""
        return schema.MountPoint(
            type=self.type,
            source=self.source,
            destination=self.destination,
            mode=self.mode,
            rw=self.writable,
            propagation=self.propagation if self.type == "bind" else "",
        )


@dataclass(slots=True)
class _Taken:
    """Destinations that have a mount already."""

    seen: set[str] = field(default_factory=set)

    def take(self, mount: UserMount) -> UserMount:
        if mount.destination in self.seen:
            raise BadParameter(f"Duplicate mount point: {mount.destination}")
        self.seen.add(mount.destination)
        return mount


def user_mounts(host: schema.HostConfig) -> list[UserMount]:
    """Return what -v, --mount and --tmpfs ask for. Raises BadParameter for what is wrong with them."""
    taken = _Taken()
    binds = [taken.take(parse_bind(text)) for text in host.binds or []]
    mounts = [taken.take(_from_mount(mount)) for mount in host.mounts]
    tmpfs = [taken.take(_tmpfs(destination, text)) for destination, text in host.tmpfs.items()]
    return tmpfs + binds + mounts


def parse_bind(text: str) -> UserMount:
    """Return the mount of one ``-v``. Raises BadParameter; Internal where dockerd answers 500."""
    source, colon, rest = text.partition(":")
    if not colon:
        raise _no_volumes(text)
    destination, _, mode = rest.partition(":")
    if ":" in mode or not source or not destination:
        raise BadParameter(f"invalid volume specification: '{text}'")
    modes = _modes(mode)
    if not destination.startswith("/"):
        reason = f"invalid mount path: '{destination}' mount path must be absolute"
        raise Internal(f"invalid volume specification: '{text}': invalid mount config for type \"bind\": {reason}")
    clean = posixpath.normpath("/" + destination.lstrip("/"))
    if clean == "/":
        reason = "invalid specification: destination can't be '/'"
        raise Internal(f"invalid volume specification: '{text}': invalid mount config for type \"bind\": {reason}")
    if not source.startswith("/"):
        raise _no_volumes(source)
    propagation = next((word for word in modes if word in PROPAGATIONS), "rprivate")
    source = posixpath.normpath("/" + source.lstrip("/"))
    return UserMount("bind", clean, source, mode, "ro" not in modes, propagation, make_source=True)


def _no_volumes(source: str) -> BadParameter:
    if not source.startswith("/") and not _VOLUME_NAME.fullmatch(source):
        allowed = (
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
        return BadParameter(
            f'create {source}: "{source}" includes invalid characters for a local volume name, {allowed}'
        )
    return BadParameter(
        f'volume "{source}" can\'t be made: this version of Sampan has no volumes yet; '
        "mount a directory of the host with -v /host/directory:/container/directory"
    )


def _modes(mode: str) -> list[str]:
    words = mode.split(",") if mode else []
    for group in _GROUPS:
        if sum(word in group for word in words) > 1:
            raise Internal(f"invalid mode: {mode}")
    if not all(any(word in group for group in _GROUPS) for word in words):
        raise Internal(f"invalid mode: {mode}")
    return words


def _from_mount(mount: schema.Mount) -> UserMount:
    if mount.type not in ("bind", "tmpfs", "volume"):
        raise BadParameter(f'invalid mount config for type "{mount.type}": mount type unknown')
    where = f'invalid mount config for type "{mount.type}"'
    if not mount.target:
        raise BadParameter(f"{where}: field Target must not be empty")
    if not mount.target.startswith("/"):
        raise BadParameter(f"{where}: invalid mount path: '{mount.target}' mount path must be absolute")
    destination = posixpath.normpath("/" + mount.target.lstrip("/"))
    if destination == "/":
        raise BadParameter(f"{where}: invalid specification: destination can't be '/'")
    if mount.type == "volume":
        raise _no_volumes(mount.source)
    if mount.type == "tmpfs":
        return _tmpfs_mount(mount, destination)
    return _bind_mount(mount, destination, where)


def _bind_mount(mount: schema.Mount, destination: str, where: str) -> UserMount:
    if not mount.source:
        raise BadParameter(f"{where}: field Source must not be empty")
    if not mount.source.startswith("/"):
        raise BadParameter(f"{where}: invalid mount path: '{mount.source}' mount path must be absolute")
    options = mount.bind_options or schema.BindOptions()
    propagation = options.propagation or "rprivate"
    if propagation not in PROPAGATIONS:
        raise BadParameter(f"{where}: invalid propagation mode: {propagation}")
    return UserMount(
        "bind",
        destination,
        posixpath.normpath("/" + mount.source.lstrip("/")),
        writable=not mount.read_only,
        propagation=propagation,
        recursive=not options.non_recursive,
        make_source=options.create_mountpoint,
    )


def _tmpfs_mount(mount: schema.Mount, destination: str) -> UserMount:
    options = mount.tmpfs_options or schema.TmpfsOptions()
    words = [*_TMPFS_DEFAULTS]
    if mount.read_only:
        words.append("ro")
    if options.size_bytes:
        words.append(f"size={options.size_bytes}")
    if options.mode:
        words.append(f"mode={options.mode:o}")
    words.append("tmpcopyup")
    return UserMount("tmpfs", destination, writable=not mount.read_only, options=tuple(words))


def _tmpfs(destination: str, text: str) -> UserMount:
    if not destination.startswith("/"):
        raise BadParameter(f"invalid mount path: '{destination}' mount path must be absolute")
    clean = posixpath.normpath("/" + destination.lstrip("/"))
    if clean == "/":
        raise BadParameter("invalid specification: destination can't be '/'")
    return UserMount("tmpfs", clean, options=(*tmpfs_options(text), "tmpcopyup"), listed=False)


def tmpfs_options(text: str) -> list[str]:
    """Return the options of ``--tmpfs``, defaults first, each default given up where its opposite was asked for."""
    asked = [word for word in text.split(",") if word]
    for word in asked:
        key, equals, _value = word.partition("=")
        if not (word in _TMPFS_FLAGS or (equals and key in _TMPFS_VALUES)):
            raise BadParameter(f'invalid tmpfs option "{word}"')
    given_up = {_OPPOSITES[word] for word in asked if word in _OPPOSITES}
    return [word for word in _TMPFS_DEFAULTS if word not in given_up and word not in asked] + asked


def _mount(destination: str, kind: str, source: str, *options: str) -> OciMount:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def default_mounts(host: schema.HostConfig) -> list[OciMount]:
    """Return the mounts that every container has, changed by --privileged, --ipc and --shm-size."""
    access = () if host.privileged else ("ro",)
    mounts = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", *access),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *access, "nosuid", "noexec", "nodev"),
    ]
    mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"))
    if host.ipc_mode == "host":
        mounts.append(_mount("/dev/shm", "bind", "/dev/shm", "rbind", "rprivate"))  # noqa: S108 (the host's, as asked)
    elif host.ipc_mode != "none":
        size = f"size={host.shm_size}"
        mounts.append(_mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", size))  # noqa: S108
    return mounts


def combine(defaults: Iterable[OciMount], own: Iterable[UserMount], files: Iterable[OciMount]) -> list[OciMount]:
    """Return all mounts in the order to make them; what was asked for stands instead of a default."""
    asked = sorted(own, key=lambda mount: mount.destination.count("/"))
    covered = {mount.destination for mount in asked}
    kept = [mount for mount in defaults if mount["destination"] not in covered]
    return [
        *kept,
        *(mount.oci() for mount in asked),
        *(mount for mount in files if mount["destination"] not in covered),
    ]


def file_mount(source: str, destination: str, *, readonly: bool) -> OciMount:
    """Return the bind of one of the engine's files (hosts, hostname, resolv.conf)."""
    access = ("ro",) if readonly else ()
    return _mount(destination, "bind", source, "rbind", *access, "rprivate")
