"""Facts about the machine, found out once at start."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING, Final

from sampan.engine.host import Host
from sampan.linux import process
from sampan.runtime import capabilities, cgroups

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.runtime.cgroups import Layout

_GO_ARCHITECTURES: Final = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "ppc64le": "ppc64le", "riscv64": "riscv64",
    "s390x": "s390x",
}  # fmt: skip
_DOCKER_NAMES: Final = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs"}  # one magic number, so one name
_OS_RELEASE: Final = ("/etc/os-release", "/usr/lib/os-release")


def look(data_root: Path) -> Host:
    """Return the facts."""
    system = os.uname()
    layout = cgroups.probe()
    release = os_release()
    return Host(
        hostname=system.nodename,
        boot_id=process.boot_id(),
        kernel_release=system.release,
        architecture=system.machine,
        go_architecture=_GO_ARCHITECTURES.get(system.machine, system.machine),
        operating_system=release.get("PRETTY_NAME", "Linux"),
        os_version=release.get("VERSION_ID", ""),
        cpus=len(os.sched_getaffinity(0)),
        cpu_list=_first_line("/sys/devices/system/cpu/online") or f"0-{(os.cpu_count() or 1) - 1}",
        memory_nodes=_first_line("/sys/devices/system/node/online") or "0",
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cgroup_version=2 if layout.unified else 1,
        controllers=controllers(layout),
        capabilities=capabilities.usable(),
        backing_filesystem=filesystem(data_root),
        block_weight=weighs_disks(layout),
    )


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except OSError:
        return ""


def os_release() -> dict[str, str]:
    """Return os-release(5)."""
    for path in _OS_RELEASE:
        try:
            with open(path, encoding="utf-8") as file:
                pairs = [line.strip().partition("=") for line in file if "=" in line and not line.startswith("#")]
        except OSError:
            continue
        return {key: re.sub(r"\\(.)", r"\1", value.strip("\"'")) for key, _, value in pairs}
    return {}


def controllers(layout: Layout) -> frozenset[str]:
    """Return the controllers that containers can be limited with."""
    if not layout.unified:
        return frozenset(name for key in layout.v1 for name in key.split(","))
    return frozenset(_first_line(f"{layout.v2}/cgroup.controllers").split())


def weighs_disks(layout: Layout) -> bool:
    """Tell whether groups have a file for their weight at disks: a matter of the kernel's schedulers (BFQ, io.cost)."""
    names = ("io.bfq.weight", "io.weight") if layout.unified else ("blkio.bfq.weight",)
    top = layout.v2 if layout.unified else layout.v1.get("blkio")
    return top is not None and any(glob.glob(f"{glob.escape(top)}/*/{name}") for name in names)


def filesystem(path: Path) -> str:
    """Return the type of the file system that holds ``path``, by Docker's name."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            point = before.split(" ")[4]
            if _holds(point, str(path)) and len(point) >= len(best):
                best, kind = point, after.split(" ")[0]
    return _DOCKER_NAMES.get(kind, kind)


def _holds(point: str, path: str) -> bool:
    return point in ("/", path) or path.startswith(point + "/")
