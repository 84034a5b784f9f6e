"""Control groups: one group for each container, on version 1, version 2 or the two together.

Words.  *layout*: which hierarchies this machine has and where they are mounted.  *group*: one container's directories,
        one in each hierarchy; their paths are stored and never derived again.
Life.   plan → create → (attach | descriptor for CLONE_INTO_CGROUP) → kill → remove.  remove waits for nothing: it fails
        while a process is left.
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

from sampan.linux import bpf, mount
from sampan.runtime import devices

_KILL_WAIT_S: Final = 10.0  # a process in an uninterruptible system call can take this long to die
Resources = dict[str, Any]


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

    def attach(self, pid: int) -> None:
        """Move the process into the group, in every hierarchy."""
        for path in self.paths:
            _write(f"{path}/cgroup.procs", str(pid))

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
                _write(f"{self.v2}/cgroup.kill", "1")
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
        for path in self.paths:
            if os.path.exists(f"{path}/freezer.state"):
                _write(f"{path}/freezer.state", "FROZEN" if frozen else "THAWED")
                return
        if self.v2 is not None:
            with contextlib.suppress(FileNotFoundError):
                _write(f"{self.v2}/cgroup.freeze", "1" if frozen else "0")

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


def create(layout: Layout, group: Group, path: str, resources: Resources) -> None:
    """Make the planned group in every hierarchy and set its limits.

    Args:
        resources: the bundle's ``linux.resources``.

    Raises:
        OSError: naming the file that could not be written; nothing is left.
    """
    relative = path.strip("/")
    try:
        for point in layout.mounts:
            _make(layout, point, relative)
        limits = _limits_v2(resources) if layout.unified else _limits_v1(layout, relative, resources)
        for file, value in limits:
            _write(file if file.startswith("/") else f"{group.v2}/{file}", value)
        _limit_devices(layout, group, relative, resources.get("devices") or [])
    except OSError:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            group.remove()
        raise


def _make(layout: Layout, point: str, relative: str) -> None:
    path = f"{point}/{relative}"
    try:
        if not (layout.unified and point == layout.v2):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o755)
            _prepare(layout, point, path)
            return
    except FileNotFoundError:
        pass  # the parents first
    path = point
    for part in relative.split("/"):
        if layout.unified and point == layout.v2:
            _delegate(path)
        path = f"{path}/{part}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
        _prepare(layout, point, path)


def _prepare(layout: Layout, point: str, path: str) -> None:
    if point == layout.v1.get("cpuset"):
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group, which then takes no process
            _inherit(path, name)


def _inherit(path: str, name: str) -> str:
    """Return a cpuset's value; an empty one is filled from above.

    A parent may be empty for a moment: whoever made it has not come to write it yet, or died before that.
    """
    value = _read(f"{path}/{name}").strip()
    if not value:
        value = _inherit(os.path.dirname(path), name)
        _write(f"{path}/{name}", value)
    return value


def _delegate(path: str) -> None:
    """Hand every controller of a version 2 directory on to its children."""
    has = set(_read(f"{path}/cgroup.subtree_control").split())
    for controller in _read(f"{path}/cgroup.controllers").split():
        if controller not in has:
            with contextlib.suppress(
                OSError
            ):  # cpu with real-time processes, say: a limit that needs it will fail by name
                _write(f"{path}/cgroup.subtree_control", f"+{controller}")


def _limits_v1(layout: Layout, relative: str, resources: Resources) -> list[tuple[str, str]]:
    """Return (file, value) in the order in which the kernel takes them."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    pids, block = resources.get("pids") or {}, resources.get("blockIO") or {}
    wanted: list[tuple[str, str, Any]] = [
        ("memory", "memory.limit_in_bytes", memory.get("limit")),
        ("memory", "memory.memsw.limit_in_bytes", memory.get("swap")),
        ("memory", "memory.soft_limit_in_bytes", memory.get("reservation")),
        ("memory", "memory.swappiness", memory.get("swappiness")),
        ("memory", "memory.oom_control", 1 if memory.get("disableOOMKiller") else None),
        ("cpu", "cpu.shares", cpu.get("shares")),
        ("cpu", "cpu.cfs_period_us", cpu.get("period")),
        ("cpu", "cpu.cfs_quota_us", cpu.get("quota")),
        ("cpuset", "cpuset.cpus", cpu.get("cpus")),
        ("cpuset", "cpuset.mems", cpu.get("mems")),
        ("pids", "pids.max", _maximum(pids.get("limit"))),
        ("blkio", "blkio.bfq.weight", block.get("weight")),
    ]
    files = []
    for controller, name, value in wanted:
        if value in (None, "", 0):
            continue
        file = f"{layout.v1.get(controller)}/{relative}/{name}"
        if controller in layout.v1 and not (name.startswith("memory.memsw") and not os.path.exists(file)):
            files.append((file, str(value)))
    return files


def _limits_v2(resources: Resources) -> list[tuple[str, str]]:
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    pids = resources.get("pids") or {}
    limit, swap = memory.get("limit"), memory.get("swap")
    wanted: list[tuple[str, Any]] = [
        ("memory.max", _maximum(limit)),
        ("memory.swap.max", _maximum(swap - limit if swap and swap > 0 and limit else swap)),
        ("memory.low", memory.get("reservation")),
        ("cpu.weight", _weight(cpu.get("shares"))),
        ("cpu.max", _bandwidth(cpu)),
        ("cpuset.cpus", cpu.get("cpus")),
        ("cpuset.mems", cpu.get("mems")),
        ("pids.max", _maximum(pids.get("limit"))),
    ]
    files = [(name, str(value)) for name, value in wanted if value not in (None, "")]
    return files + list((resources.get("unified") or {}).items())


def _limit_devices(layout: Layout, group: Group, relative: str, rules: list[dict[str, Any]]) -> None:
    """Let the group use these devices only; by the devices controller, or by a program on version 2."""
    if not rules:
        return
    policy = devices.policy([*devices.spec_rules(rules), *devices.RUNTIME_RULES])
    if "devices" in layout.v1:
        lines = devices.v1_lines(policy)
        for name in dict.fromkeys(name for name, _ in lines):  # deny all first, then what is allowed; or the reverse
            _write_lines(f"{layout.v1['devices']}/{relative}/{name}", [line for own, line in lines if own == name])
        return
    program = bpf.load(bpf.device_program(devices.v2_matches(policy), allow_by_default=policy.allow_by_default))
    directory = group.descriptor()
    try:
        bpf.attach(directory, program)
    finally:
        os.close(directory)
        os.close(program)


def _maximum(value: int | None) -> str | None:
    if not value:
        return None
    return "max" if value < 0 else str(value)


def _weight(shares: int | None) -> int | None:
    """Map version 1 shares (2 … 262144) to version 2 weight (1 … 10000), as runc 1.1 and crun do."""
    return 1 + ((shares - 2) * 9999) // 262142 if shares else None


def _bandwidth(cpu: dict[str, Any]) -> str | None:
    quota, period = cpu.get("quota"), cpu.get("period")
    if not quota and not period:
        return None
    return f"{quota if quota and quota > 0 else 'max'} {period or 100000}"


def _procs(directory: str) -> list[int]:
    try:
        return [int(line) for line in _read(f"{directory}/cgroup.procs").split()]
    except (FileNotFoundError, OSError) as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):  # gone meanwhile, or a threaded group
            return []
        raise


def _field(path: str, name: str) -> int | None:
    try:
        for line in _read(path).splitlines():
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


def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
        return b"".join(pieces).decode()
    finally:
        os.close(descriptor)


def _write(path: str, value: str) -> None:
    _write_lines(path, [value])


def _write_lines(path: str, values: list[str]) -> None:
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
