"""Control groups: one group for each container, on version 1, version 2 or the two together.

Words.  *layout*: which hierarchies this machine has and where they are mounted.  *group*: one container's directories,
        one in each hierarchy; their paths are stored and never derived again.
Life.   plan → create (`sampan.runtime.limits`) → (enter | descriptor for CLONE_INTO_CGROUP) → kill → remove.  remove
        waits for nothing: it fails while a process is left.
Cost.   On version 1 the first write to cgroup.procs waits 5-16 ms for an RCU grace period unless a hierarchy is mounted
        with ``favordynmods`` (see `favor_dynmods` and docs/decisions/0001-cgroup-attach.md).
Source. Documentation/admin-guide/cgroup-v1, cgroup-v2.rst; OCI runtime specification, config-linux, "Control groups".
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import Any, Final

from sampan.linux import mount

_KILL_WAIT_S: Final = 10.0  # a process in an uninterruptible system call can take this long to die


class Layout:
    """Where the hierarchies are mounted.

    Attributes:
        v1: controller → mount point; controllers that are mounted together share one.
        v2: mount point of the version 2 tree, or None.
        unified: whether the controllers are on version 2.
    """

    def __init__(self, v1: dict[str, str], v2: str | None) -> None:
        self.v1 = v1
        self.v2 = v2
        self.unified = v2 is not None and "memory" not in v1 and "pids" not in v1

    @property
    def mounts(self) -> list[str]:
        """Every hierarchy's mount point, each once."""
        points = list(dict.fromkeys(self.v1.values()))
        return [*points, self.v2] if self.v2 is not None else points

    def own_directories(self, group: Group) -> dict[str, str]:
        """Return hierarchy → the group's directory in it, for those of version 1 by the names of their mount points."""
        points = dict.fromkeys(self.v1.values())
        return {point.rpartition("/")[2]: path for point, path in zip(points, group.paths, strict=False)}


def probe(mountinfo: str = "/proc/self/mountinfo") -> Layout:
    """Read the layout from a mountinfo file (proc_pid_mountinfo(5))."""
    v1: dict[str, str] = {}
    v2: str | None = None
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            kind, _source, options = after.split(" ", 2)
            point = before.split(" ")[4]
            if kind == "cgroup2":
                v2 = v2 or point
            elif kind == "cgroup":
                for name in _controllers(options.strip()):
                    v1.setdefault(name, point)
    return Layout(v1, v2)


def _controllers(options: str) -> list[str]:
    generic = {"rw", "ro", "clone_children", "noprefix", "xattr", "cpuset_v2_mode", "favordynmods"}
    return [o for o in options.split(",") if o not in generic and not o.startswith("release_agent=")]


def favor_dynmods() -> int:
    """Make attaching quick on this machine as long as the returned descriptor is open.

    A hierarchy of our own without controllers, mounted nowhere, carries the option; the lock that it concerns is one
    for all hierarchies (Linux 6.0 and later).

    Raises:
        OSError: the kernel is older or does not let us.
    """
    return mount.new_filesystem("cgroup", [("none", None), ("name", f"sampan-{os.getpid()}"), ("favordynmods", None)])


class Group:
    """One container's control group; ``paths`` are its directories, ``v2`` the one in the version 2 tree, if any."""

    def __init__(self, paths: list[str], v2: str | None) -> None:
        self.paths = paths
        self.v2 = v2

    def record(self) -> dict[str, Any]:
        """Return what `from_record` needs."""
        return {"paths": self.paths, "v2": self.v2}

    def enter(self) -> None:
        """Move this process into the group, in every hierarchy. Raises OSError, naming the file."""
        for path in self.paths:
            write(f"{path}/cgroup.procs", "0")

    def descriptor(self) -> int:
        """Return a descriptor of the version 2 directory, for CLONE_INTO_CGROUP."""
        if self.v2 is None:
            raise OSError(errno.ENOENT, "there is no cgroup v2 tree")
        return os.open(self.v2, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def pids(self) -> list[int]:
        """Return the processes in the group and below it, by the pids of the caller's pid namespace."""
        found: set[int] = set()
        for path in {self.paths[0], self.paths[-1]}:  # one whose attaching was cut off is in the first only
            for directory, _below, _files in os.walk(path):
                found.update(_procs(directory))
        return sorted(found)

    def kill(self) -> None:
        """Kill every process in the group, whoever they run as, and wait until they are gone.

        Raises:
            TimeoutError: some process did not die.
        """
        deadline = time.monotonic() + _KILL_WAIT_S
        while self.pids():
            self._kill_once()
            if not self.pids():
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {self.pids()} do not die")
            time.sleep(0.002)

    def _kill_once(self) -> None:
        if self.v2 is not None:
            try:
                write(f"{self.v2}/cgroup.kill", "1")
            except FileNotFoundError:  # before Linux 5.14
                pass
            else:
                for pid in _procs(self.paths[0]) if self.paths[0] != self.v2 else ():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return
        self._freeze(frozen=True)  # a fork bomb must not outrun the loop
        try:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            self._freeze(frozen=False)

    def _freeze(self, *, frozen: bool) -> None:
        """Ask for it: version 1 by freezer.state (if that hierarchy is mounted), version 2 by cgroup.freeze."""
        for path in self.paths:
            if os.path.exists(f"{path}/freezer.state"):
                write(f"{path}/freezer.state", "FROZEN" if frozen else "THAWED")
                return
        if self.v2 is not None:
            with contextlib.suppress(FileNotFoundError):
                write(f"{self.v2}/cgroup.freeze", "1" if frozen else "0")

    def freeze(self, *, frozen: bool) -> None:
        """Stop all processes of the group where they are, or let them go on; `is_frozen` tells when they stand.

        Raises OSError ENOENT: the group is gone.
        """
        self._freeze(frozen=frozen)

    def is_frozen(self) -> bool:
        """Whether all stand still; also where nothing here can freeze them."""
        for path in self.paths:
            if os.path.exists(f"{path}/freezer.state"):
                return read(f"{path}/freezer.state").strip() == "FROZEN"
        frozen = _field(f"{self.v2}/cgroup.events", "frozen") if self.v2 is not None else None
        return frozen is None or frozen == 1

    def oom_kills(self) -> int:
        """Return how many of the group's processes the kernel has killed for want of memory."""
        for path in self.paths:
            for name in ("memory.oom_control", "memory.events"):
                count = _field(f"{path}/{name}", "oom_kill")
                if count is not None:
                    return count
        return 0

    def remove(self) -> None:
        """Remove the directories, nested ones too. Raises OSError EBUSY while a process is left."""
        for path in self.paths:
            remove_tree(path)


def from_record(record: dict[str, Any]) -> Group:
    """Return the group that `Group.record` described."""
    return Group(list(record["paths"]), record["v2"])


def plan(layout: Layout, path: str) -> Group:
    """Return the group ``path`` (such as ``/sampan/<id>``) without making anything. Raises OSError for a bad path."""
    relative = path.strip("/")
    if not relative or ".." in relative.split("/"):
        raise OSError(errno.EINVAL, f"cgroupsPath {path!r} is none of a group below the root")
    paths = [f"{point}/{relative}" for point in layout.mounts]
    return Group(paths, paths[-1] if layout.v2 is not None else None)


def _procs(directory: str) -> list[int]:
    try:
        return [int(line) for line in read(f"{directory}/cgroup.procs").split()]
    except (FileNotFoundError, OSError) as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):  # gone meanwhile, or a threaded group
            return []
        raise


def _field(path: str, name: str) -> int | None:
    try:
        for line in read(path).splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None


def remove_tree(path: str) -> None:
    """Remove a control group with those below it. Raises OSError EBUSY while a process is left."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        children = [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
        if not children:
            raise
        for child in children:
            remove_tree(child)
        os.rmdir(path)


def read(path: str) -> str:
    """Return the content of a control file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
        return b"".join(pieces).decode()
    finally:
        os.close(descriptor)


def write(path: str, value: str) -> None:
    """Write one value into a control file. Raises OSError, naming both."""
    write_lines(path, [value])


def write_lines(path: str, values: list[str]) -> None:
    """Write each of the values with a write(2) of its own, as the kernel takes them."""
    value = ""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for value in values:
                os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise type(error)(error.errno, f"write({path}, {value}): {os.strerror(error.errno or 0)}") from None
