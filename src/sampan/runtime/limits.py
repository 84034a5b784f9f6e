"""The limits of a control group: from the bundle's ``linux.resources`` to files, on version 1 and on version 2.

Whoever makes a group, init or sampand (see `sampan.runtime.berth`), sets its limits before a program runs in it.

Source. Documentation/admin-guide/cgroup-v1, cgroup-v2.rst; OCI runtime specification, config-linux, "Control groups".
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from sampan.runtime import devices
from sampan.runtime.cgroups import Group, Layout, read, write, write_lines

Resources = dict[str, Any]


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
            write(file if file.startswith("/") else f"{group.v2}/{file}", value)
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
        if point == layout.v1.get("cpuset"):
            write(f"{path}/cgroup.clone_children", "1")  # what is made below it later is filled by the kernel


def _prepare(layout: Layout, point: str, path: str) -> None:
    if point == layout.v1.get("cpuset"):
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group, which then takes no process
            _inherit(path, name)


def _inherit(path: str, name: str) -> str:
    """Return a cpuset's value; an empty one is filled from above.

    A parent may be empty for a moment: whoever made it has not come to write it yet, or died before that.
    """
    value = read(f"{path}/{name}").strip()
    if not value:
        value = _inherit(os.path.dirname(path), name)
        write(f"{path}/{name}", value)
    return value


def _delegate(path: str) -> None:
    """Hand every controller of a version 2 directory on to its children."""
    has = set(read(f"{path}/cgroup.subtree_control").split())
    for controller in read(f"{path}/cgroup.controllers").split():
        if controller not in has:
            with contextlib.suppress(
                OSError
            ):  # cpu with real-time processes, say: a limit that needs it will fail by name
                write(f"{path}/cgroup.subtree_control", f"+{controller}")


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
            write_lines(f"{layout.v1['devices']}/{relative}/{name}", [line for own, line in lines if own == name])
        return
    from sampan.linux import (
        bpf,  # only sampand comes here, see `sampan.runtime.berth`; the zygote is smaller without it
    )

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
