"""What the engine says about itself and the machine: /version and /info."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.distribution import config
from sampan.engine.inspection import driver_name
from sampan.engine.units import nine_digits
from sampan.engine.validate import RUNTIME
from sampan.linux import hostfiles

if TYPE_CHECKING:
    from sampan.distribution.config import Registries
    from sampan.engine.core import Core

_INDEX: Final = "https://index.docker.io/v1/"


class System:
    """The daemon and the machine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def version(self) -> schema.Version:
        """Return the engine's version and its parts."""
        settings, host = self._core.settings, self._core.host
        details = {
            "ApiVersion": settings.api_version,
            "Arch": host.go_architecture,
            "BuildTime": settings.build_time,
            "Experimental": "false",
            "GitCommit": settings.commit,
            "GoVersion": "",
            "KernelVersion": host.kernel_release,
            "MinAPIVersion": settings.minimum_api_version,
            "Os": "linux",
        }
        return schema.Version(
            platform=schema.VersionPlatform(name="Sampan"),
            components=[schema.VersionComponent(name="Engine", version=settings.version, details=details)],
            version=settings.version,
            api_version=settings.api_version,
            min_api_version=settings.minimum_api_version,
            git_commit=settings.commit,
            arch=host.go_architecture,
            kernel_version=host.kernel_release,
            build_time=settings.build_time,
        )

    async def info(self) -> schema.Info:
        """Return what there is and what is possible."""
        core, host, settings = self._core, self._core.host, self._core.settings
        running = sum(one.running for one in core.catalog)
        has = host.controllers.__contains__
        info = schema.Info(
            id=core.engine_id,
            containers=len(core.catalog),
            containers_running=running,
            containers_stopped=len(core.catalog) - running,
            images=len(core.images.list()),
            driver=driver_name(core.snapshots.name),
            driver_status=self._driver_status(),
            memory_limit=has("memory"),
            swap_limit=has("memory"),
            cpu_cfs_period=has("cpu"),
            cpu_cfs_quota=has("cpu"),
            cpu_shares=has("cpu"),
            cpu_set=has("cpuset"),
            pids_limit=has("pids"),
            oom_kill_disable=has("memory") and host.cgroup_version == 1,
            cgroup_driver="cgroupfs",
            cgroup_version=str(host.cgroup_version),
        )
        info.warnings = self._warnings() or None
        self._add_machine(info)
        self._add_daemon(info, debug=settings.debug)
        return info

    def _driver_status(self) -> list[list[str]]:
        """Docker's lines, and why the driver is the one it is."""
        host, core = self._core.host, self._core
        lines = [["Backing Filesystem", host.backing_filesystem]]
        if core.snapshots.name == "overlay":
            lines += [["Supports d_type", "true"], ["Using metacopy", "false"], ["Native Overlay Diff", "true"]]
        if core.driver_reason:
            lines.append(["Chosen", core.driver_reason])
        return lines

    def _warnings(self) -> list[str]:
        missing = {
            "memory": "No memory limit support",
            "cpu": "No cpu cfs quota support",
            "cpuset": "No cpuset support",
            "pids": "No pids limit support",
        }
        return [f"WARNING: {text}" for name, text in missing.items() if name not in self._core.host.controllers]

    def _add_machine(self, info: schema.Info) -> None:
        host = self._core.host
        info.kernel_version = host.kernel_release
        info.operating_system = host.operating_system
        info.os_version = host.os_version
        info.architecture = host.architecture
        info.n_cpu = host.cpus
        info.mem_total = host.memory
        info.name = host.hostname
        info.ipv4_forwarding = hostfiles.read("/proc/sys/net/ipv4/ip_forward").strip() == b"1"
        info.security_options = ["name=seccomp,profile=builtin"]
        if host.cgroup_version == 2:
            info.security_options.append("name=cgroupns")
        info.system_time = nine_digits(time.time_ns())

    def _add_daemon(self, info: schema.Info, *, debug: bool) -> None:
        settings = self._core.settings
        info.debug = debug
        info.n_fd = hostfiles.count("/proc/self/fd")
        info.n_goroutines = len(asyncio.all_tasks())
        info.n_events_listener = self._core.events.listeners
        info.logging_driver = settings.log_driver
        info.index_server_address = _INDEX
        info.registry_config = _registries(settings.registries)
        info.labels = list(settings.labels)
        info.default_address_pools = list(settings.address_pools)
        info.docker_root_dir = str(settings.data_root)
        info.server_version = settings.version
        info.plugins = schema.Plugins(
            volume=[], network=["bridge", "host", "ipvlan", "macvlan", "null"], log=["json-file", "none"]
        )
        info.runtimes = {RUNTIME: schema.Runtime(path="")}
        info.default_runtime = RUNTIME
        info.live_restore_enabled = True
        info.containerd_commit = info.runc_commit = info.init_commit = schema.Commit(id="N/A", expected="N/A")


def _registries(known: Registries) -> schema.RegistryConfig:
    """Docker's view of what was configured: mirrors are Docker Hub's; a network is insecure as a whole."""
    networks = [one for one in known.insecure if config.network(one) is not None]
    hosts = [one for one in known.insecure if one not in networks]
    mirrors = list(known.mirrors.get(config.HUB, ()))
    hub = schema.RegistryIndex(name=config.HUB, mirrors=mirrors, secure=True, official=True)
    return schema.RegistryConfig(
        insecure_registry_cidrs=[*networks, *(one for one in config.LOOPBACK if one not in networks)],
        index_configs={host: schema.RegistryIndex(name=host) for host in hosts if host != config.HUB}
        | {config.HUB: hub},
        mirrors=mirrors or None,
    )
