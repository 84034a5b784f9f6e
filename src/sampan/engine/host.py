"""What the engine is told about the machine and its own places: found out once, by the daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sampan.api import schema
from sampan.distribution.config import Registries
from sampan.network.resolvconf import Overrides

SHM_SIZE: Final = 64 << 20  # bytes; Docker's


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as containers depend on it."""

    hostname: str
    boot_id: str
    kernel_release: str  # "6.12.1-amd64"
    architecture: str  # uname's word, "x86_64"
    go_architecture: str  # Docker's word, "amd64"
    operating_system: str  # "Debian GNU/Linux 13 (trixie)"
    os_version: str
    cpus: int
    cpu_list: str  # "0-1", as cpuset.cpus writes it
    memory_nodes: str  # "0"
    memory: int  # bytes
    cgroup_version: int  # 1 (and hybrid) or 2
    controllers: frozenset[str]  # "memory", "cpu", "cpuset", "pids" …
    capabilities: tuple[str, ...]  # that can be given, "CAP_CHOWN" …
    backing_filesystem: str = "extfs"
    open_files: tuple[int, int] | None = None  # RLIMIT_NOFILE (soft, hard) of containers; None: as the daemon's
    block_weight: bool = False  # whether the kernel weighs containers' use of disks


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon was started with, as far as the engine acts on it."""

    data_root: Path
    exec_root: Path
    version: str
    api_version: str = "1.51"
    minimum_api_version: str = "1.24"
    debug: bool = False
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    labels: tuple[str, ...] = ()  # of the daemon
    registries: Registries = field(default_factory=Registries)
    dns: Overrides = field(default_factory=Overrides)  # for containers that say nothing of it
    ulimits: tuple[schema.Ulimit, ...] = ()  # likewise
    shm_size: int = SHM_SIZE  # bytes, likewise
    ipc_mode: str = "private"
    cgroupns_mode: str = ""  # "": as the machine's control groups are
    no_new_privileges: bool = False
    address_pools: tuple[schema.AddressPool, ...] = ()  # that were configured
    build_time: str = ""
    commit: str = ""
