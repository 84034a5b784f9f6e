"""The container's view of the file system: its root attached, what the bundle mounts, devices, masks, pivot.

Runs in init, in the container's new mount namespace, while ``/`` is still the zygote's. Every target is opened inside
the root (openat2) and every mount goes through descriptors, so that a link planted by an image or by another container
that shares a volume leads nowhere else (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565).

Source. The OCI runtime specification, config.md "Mounts", config-linux.md "Default Devices", "Masked Paths".
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from fcntl import ioctl
from typing import Any, Final

from sampan.linux import mount, path
from sampan.runtime.devices import DEFAULT_LINKS, DEFAULT_NODES

Spec = dict[str, Any]

# option → (attributes to set, attributes to clear); mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS"
_ATTRIBUTES: Final = {
    "ro": (mount.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mount.MOUNT_ATTR_RDONLY),
    "nosuid": (mount.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mount.MOUNT_ATTR_NOSUID),
    "nodev": (mount.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mount.MOUNT_ATTR_NODEV),
    "noexec": (mount.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mount.MOUNT_ATTR_NOEXEC),
    "noatime": (mount.MOUNT_ATTR_NOATIME, mount.MOUNT_ATTR__ATIME),
    "relatime": (0, mount.MOUNT_ATTR__ATIME),
    "strictatime": (mount.MOUNT_ATTR_STRICTATIME, mount.MOUNT_ATTR__ATIME),
    "nodiratime": (mount.MOUNT_ATTR_NODIRATIME, 0),
    "nosymfollow": (mount.MOUNT_ATTR_NOSYMFOLLOW, 0),
}
_PROPAGATION: Final = {
    "private": mount.MS_PRIVATE,
    "slave": mount.MS_SLAVE,
    "shared": mount.MS_SHARED,
    "rprivate": mount.MS_PRIVATE,
    "rslave": mount.MS_SLAVE,
    "rshared": mount.MS_SHARED,
}
_IGNORED: Final = {"bind", "rbind", "defaults", "async", "tmpcopyup"}


_NO_LINKS: Final = path.RESOLVE_IN_ROOT | path.RESOLVE_NO_SYMLINKS
# Files of /proc that lxcfs shows a container in its own way.
_EMULATED: Final = frozenset(
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev",
                 "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled")
)  # fmt: skip
_ORDINARY_ONLY: Final = ("proc", "sysfs")


Key = tuple[str, str, tuple[str, ...]]  # type, source and options of a mount


class Options:
    """A mount's options, sorted by who takes them: the mount, its propagation, the file system."""

    def __init__(self, options: list[str]) -> None:
        self.set = 0
        self.clear = 0
        self.propagation: list[str] = []
        self.data: list[tuple[str, str | None]] = []
        self.copy_up = "tmpcopyup" in options
        for option in options:
            self._take(option)

    def _take(self, option: str) -> None:
        if option in _ATTRIBUTES:
            on, off = _ATTRIBUTES[option]
            self.set = self.set & ~off | on
            self.clear |= off
        elif option in _PROPAGATION:
            self.propagation.append(option)
        elif option not in _IGNORED:
            key, equals, value = option.partition("=")
            self.data.append((key, value if equals else None))


class Root:
    """The root being built.

    Attributes:
        descriptor: the root's mount, attached or not.
        proc: descriptor of the container's /proc before anything could be mounted over it, or -1.
    """

    def __init__(self, descriptor: int, ready: dict[Key, int] | None = None) -> None:
        """``ready``: file systems that are made already; see `sampan.runtime.usual`."""
        self.descriptor = descriptor
        self.proc = -1
        self._ready = ready or {}

    def attach(self, place: str) -> None:
        """Give the detached root a place in this mount namespace; any directory will do, it is left by `pivot`."""
        target = os.open(place, path.O_PATH | os.O_DIRECTORY)
        mount.set_attributes(self.descriptor, propagation=mount.MS_PRIVATE)
        mount.move_mount(self.descriptor, target, on=f"root → {place}")
        os.close(target)

    def mount(self, entry: dict[str, Any], tree: int | None, cgroup: dict[str, str]) -> None:
        """Do one of the bundle's ``mounts``.

        Args:
            tree: for a bind, the detached tree that sampand opened on the host.
            cgroup: version 1 hierarchy → this container's directory, for the type ``cgroup``; empty for version 2.
        """
        kind, options = entry.get("type") or "bind", Options(entry.get("options") or [])
        destination: str = entry["destination"]
        if kind == "cgroup":
            self._mount_cgroup(destination, options, cgroup)
            return
        self._check_proc(tree, destination, kind)
        if tree is None:
            tree = self._filesystem(kind, entry, options)
        elif options.set or options.clear:
            recursive = "rbind" in (entry.get("options") or [])
            mount.set_attributes(tree, set_=options.set, clear=options.clear, recursive=recursive)
        self._place(tree, destination, ordinary=kind if kind in _ORDINARY_ONLY else None)
        for name in options.propagation:
            mount.set_attributes(tree, propagation=_PROPAGATION[name], recursive=name.startswith("r"))
        os.close(tree)

    def _filesystem(self, kind: str, entry: dict[str, Any], options: Options) -> int:
        source = entry.get("source") or kind
        tree = self._ready.pop((kind, source, tuple(entry.get("options") or ())), -1)
        if tree < 0:
            covered = self._covered(entry["destination"]) if kind == "tmpfs" and options.copy_up else []
            tree = mount.new_filesystem(kind, [*covered, *options.data], options.set, source=source)
        if kind == "proc" and self.proc < 0:
            self.proc = os.dup(tree)
        return tree

    def _place(self, tree: int, destination: str, ordinary: str | None = None) -> None:
        """Attach ``tree`` at ``destination``, which is made where missing.

        Args:
            ordinary: the kind of a file system that is mounted on an ordinary directory only. Were /proc a link, what
                masks and protects it would be laid elsewhere.

        Raises:
            OSError: ENOTDIR, also for such a link; EINVAL for the root itself.
        """
        is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        make = path.make_directories if is_directory else path.make_file
        try:
            target = make(self.descriptor, destination)
        except NotADirectoryError as error:
            where = f"create mount destination for {destination} mount: cannot mkdir in {destination}"
            raise OSError(errno.ENOTDIR, f"{where}: {_reason(error)}") from None
        if ordinary is not None:
            os.close(target)
            target = self._open_ordinary(destination, ordinary)
        try:
            if os.path.sameopenfile(target, self.descriptor):
                raise OSError(errno.EINVAL, f"{destination} is the root of the container itself")
            if stat.S_ISDIR(os.fstat(target).st_mode) != is_directory:  # the kernel would only say EINVAL
                raise OSError(errno.ENOTDIR, f"mount to {destination}: {os.strerror(errno.ENOTDIR).lower()}")
            mount.move_mount(tree, target, on=f"{destination}")
        finally:
            os.close(target)

    def _check_proc(self, tree: int | None, destination: str, kind: str) -> None:
        """Let nothing be laid over /proc or into it but what shows the same: what protects it would miss.

        Source. runc, libcontainer/rootfs_linux.go; its words.
        """
        if kind == "proc":
            return
        why = ""
        if destination == "/proc":
            if tree is not None and _is_proc(tree):
                self.proc = os.dup(tree)
            else:
                why = "it is not of type proc"
        elif destination.startswith("/proc/") and destination not in _EMULATED:
            why = "it is inside /proc"
        if why:
            safety = f"create mount destination for {destination} mount: check proc-safety of {destination} mount"
            raise OSError(errno.EPERM, f'{safety}: "{destination}" cannot be mounted because {why}')

    def _open_ordinary(self, destination: str, kind: str) -> int:
        try:
            return path.open_in_root(self.descriptor, destination, resolve=_NO_LINKS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise OSError(errno.ENOTDIR, f'filesystem "{kind}" must be mounted on ordinary directory') from None

    def _covered(self, destination: str) -> list[tuple[str, str | None]]:
        """Owner and mode of the directory that a tmpfs covers: it gets them too, as under dockerd for --tmpfs."""
        try:
            below = path.open_in_root(self.descriptor, destination)
        except FileNotFoundError:
            return []
        found = os.fstat(below)
        os.close(below)
        return [("uid", str(found.st_uid)), ("gid", str(found.st_gid)), ("mode", f"{stat.S_IMODE(found.st_mode):o}")]

    def _mount_cgroup(self, destination: str, options: Options, directories: dict[str, str]) -> None:
        """Show the container its own control groups: each hierarchy of version 1 under its name, or version 2."""
        if not directories:
            self._place_and_close(mount.new_filesystem("cgroup2", [], options.set, source="cgroup"), destination)
            return
        mode = mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NODEV | mount.MOUNT_ATTR_NOEXEC
        top = mount.new_filesystem("tmpfs", [("mode", "755")], mode, source="tmpfs")
        self._place(top, destination)
        for name, own in directories.items():
            os.mkdir(name, 0o755, dir_fd=top)  # a file system of our own: nothing in it can lead elsewhere
            target = os.open(name, path.O_PATH | os.O_NOFOLLOW, dir_fd=top)
            tree = mount.open_tree(own)
            mount.move_mount(tree, target, on=f"{destination}/{name}")
            os.close(tree)
            os.close(target)
            for alias in name.split(",") if "," in name else ():
                os.symlink(name, alias, dir_fd=top)
        mount.set_attributes(top, set_=options.set, recursive=True)
        os.close(top)

    def _place_and_close(self, tree: int, destination: str) -> None:
        self._place(tree, destination)
        os.close(tree)

    def make_devices(self, devices: list[dict[str, Any]]) -> None:
        """Make the default devices and links in /dev, and those that the bundle asks for."""
        dev = path.make_directories(self.descriptor, "dev")
        make_nodes(dev)
        os.close(dev)
        for device in devices:
            self._make_device(device)

    def _make_device(self, device: dict[str, Any]) -> None:
        parent_path, _, name = device["path"].rpartition("/")
        kind = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}[device["type"]]
        number = os.makedev(device.get("major", 0), device.get("minor", 0))
        parent = path.make_directories(self.descriptor, parent_path)
        try:
            mode = kind | device.get("fileMode", 0o666)
            _make_node(parent, name, mode, number, (device.get("uid", 0), device.get("gid", 0)))
        finally:
            os.close(parent)

    def open_terminal(self) -> tuple[int, int]:
        """Return (master, slave) of a new pseudo terminal of the container's own devpts.

        Raises:
            OSError: /dev/pts/ptmx is not what it should be (CVE-2025-52565).
        """
        master = path.open_in_root(self.descriptor, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        if os.fstat(master).st_rdev != os.makedev(5, 2):
            raise OSError(errno.ENODEV, "/dev/pts/ptmx is no pseudo-terminal multiplexer")
        return master, open_peer(master)

    def place_console(self, slave: int) -> None:
        """Show the terminal as /dev/console."""
        tree = mount.open_tree("", at=slave)
        self._place(tree, "dev/console")
        os.close(tree)

    def mask(self, paths: list[str]) -> None:
        """Hide files behind /dev/null and directories behind an empty read-only tmpfs; what is not there needs no mask.

        Raises:
            OSError: /dev/null of the container is not the null device (CVE-2025-31133).
        """
        empty, null = -1, self._null_device()
        for masked in paths:
            try:
                target = path.open_in_root(self.descriptor, masked, resolve=_NO_LINKS)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(os.fstat(target).st_mode):
                tree = mount.open_tree("", at=null)
            elif empty < 0:
                tree = mount.new_filesystem("tmpfs", [("nr_blocks", "1"), ("nr_inodes", "1")], 1, source="tmpfs")
                empty = os.dup(tree)
            else:
                tree = mount.open_tree("", at=empty)
            mount.move_mount(tree, target, on=f"mask of {masked}")
            os.close(tree)
            os.close(target)
        os.close(null)
        if empty >= 0:
            os.close(empty)

    def _null_device(self) -> int:
        null = path.open_in_root(self.descriptor, "dev/null")
        found = os.fstat(null)
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
            raise OSError(errno.ENODEV, "/dev/null of the container is not the null device")
        return null

    def make_readonly(self, paths: list[str]) -> None:
        """Make these paths of the container read-only for it, with all that is mounted below."""
        for readonly in paths:
            try:
                target = path.open_in_root(self.descriptor, readonly, resolve=_NO_LINKS)
            except FileNotFoundError:
                continue
            tree = mount.open_tree("", at=target)
            mount.set_attributes(tree, set_=mount.MOUNT_ATTR_RDONLY, recursive=True)
            mount.move_mount(tree, target, on=f"read-only {readonly}")
            os.close(tree)
            os.close(target)

    def write_proc(self, name: str, value: str) -> None:
        """Write a file of /proc through the mount made here, so that nothing laid over it is met (CVE-2025-52881)."""
        proc = self.proc if self.proc >= 0 else os.open("/proc", path.O_PATH)
        try:
            file = path.open_in_root(proc, name, os.O_WRONLY, resolve=path.RESOLVE_IN_ROOT | path.RESOLVE_NO_XDEV)
        except OSError as error:
            raise OSError(error.errno, f"open /proc/{name}: {_reason(error)}") from None
        try:
            os.write(file, value.encode())
        except OSError as error:
            raise OSError(error.errno, f"write /proc/{name}: {_reason(error)}") from None
        finally:
            os.close(file)

    def pivot(self, *, readonly: bool) -> None:
        """Make the root ``/`` and let go of everything else."""
        if readonly:
            mount.set_attributes(self.descriptor, set_=mount.MOUNT_ATTR_RDONLY)
        os.fchdir(self.descriptor)
        mount.pivot_root(".", ".")
        mount.umount(".", mount.MNT_DETACH)  # the old root lies on top of the new one, pivot_root(2) "NOTES"
        os.chdir("/")


def make_nodes(dev: int) -> None:
    """Make the default devices and links in a directory that is, or will be, /dev."""
    for node in DEFAULT_NODES:
        name = node.path.removeprefix("/dev/")
        _make_node(dev, name, stat.S_IFCHR | node.mode, os.makedev(node.major, node.minor))
    for link, target in DEFAULT_LINKS:
        with contextlib.suppress(FileExistsError):
            os.symlink(target, link.removeprefix("/dev/"), dir_fd=dev)


def _is_proc(tree: int) -> bool:
    """Tell whether a detached tree is of a proc file system: one that is mounted in this namespace, too."""
    device = os.fstat(tree).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", "rb") as lines:
        return any(b" - proc " in line and line.split()[2] == number.encode() for line in lines)


def _reason(error: OSError) -> str:
    """Why a call failed, in the small letters of Go's texts, which Docker's users know."""
    return os.strerror(error.errno or 0).lower()


def open_peer(master: int) -> int:
    """Return the slave of a pseudo-terminal master without any path (TIOCGPTPEER, ioctl_tty(2))."""

    ioctl(master, 0x40045431, b"\0\0\0\0")  # TIOCSPTLCK: unlock
    return ioctl(master, 0x5441, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def _make_node(parent: int, name: str, mode: int, number: int, owner: tuple[int, int] = (0, 0)) -> None:
    try:
        os.mknod(name, mode, number, dir_fd=parent)
    except FileExistsError:
        return
    if owner != (0, 0):
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
