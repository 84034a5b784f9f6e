"""From a stored container to the OCI runtime specification (1.2) that starts it.

Pure but for device nodes, which are looked up on the host. The shape is that of dockerd 26.1's bundles, read there.
``process.user.username`` is Sampan's own: the runtime resolves it with the container's /etc/passwd.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sampan.engine import merge, mounts, resources
from sampan.engine.errors import Internal
from sampan.runtime import capabilities, seccomp_profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sampan.api import schema
    from sampan.engine.container import Container, Stored
    from sampan.engine.host import Host

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUP_PARENT: Final = "/sampan"
FILES: Final = {"resolv.conf": "/etc/resolv.conf", "hostname": "/etc/hostname", "hosts": "/etc/hosts"}

MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_NETWORK_SYSCTLS: Final = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}

Oci = dict[str, Any]


def build(container: Container, files: Path, host: Host, cgroup_parent: str = "") -> Oci:
    """Return the specification; ``files`` is the directory with the container's hosts, hostname and resolv.conf.

    Raises Internal, CapabilityError, SeccompError, DeviceRuleError: something of it can't be had on this host.
    """
    stored = container.stored
    own = resources.given_devices(stored.host)
    spec: Oci = {
        "ociVersion": "1.2.0",
        "process": process(stored, host),
        "root": {"path": "rootfs", "readonly": stored.host.readonly_rootfs},
        "mounts": mounts.combine(
            mounts.default_mounts(stored.host), mounts.user_mounts(stored.host), _file_mounts(stored, files)
        ),
        "linux": _linux(container, host, own, cgroup_parent),
    }
    if stored.host.uts_mode != "host":
        spec["hostname"] = stored.config.hostname
        if stored.config.domainname:
            spec["domainname"] = stored.config.domainname
    if stored.host.annotations:
        spec["annotations"] = stored.host.annotations
    return spec


def _file_mounts(stored: Stored, files: Path) -> list[Oci]:
    readonly = stored.host.readonly_rootfs
    return [mounts.file_mount(str(files / name), place, readonly=readonly) for name, place in FILES.items()]


def process(stored: Stored, host: Host) -> Oci:
    """Return ``process``."""
    config = stored.config
    result: Oci = {
        "terminal": config.tty,
        "user": user(config.user, stored.host.group_add),
        "args": [stored.path, *stored.args],
        "env": environment(config),
        "cwd": config.working_dir or "/",
        "capabilities": capability_sets(granted(stored.host, host)),
        "oomScoreAdj": stored.host.oom_score_adj,
        "noNewPrivileges": security(stored.host).no_new_privileges,
    }
    limits = resources.rlimits(stored.host, host.open_files)
    if limits:
        result["rlimits"] = limits
    return result


def user(name: str, groups: list[str] | None = None) -> Oci:
    """Return ``process.user`` for a --user in any form; names are looked up in the container."""
    result: Oci = {"uid": 0, "gid": 0}
    if name:
        result["username"] = name
    if groups:
        result["additionalGids"] = groups
    return result


def environment(config: schema.ContainerConfig, linked: Sequence[str] = (), *, tty: bool | None = None) -> list[str]:
    """Return the environment, in dockerd's order: PATH, HOSTNAME, TERM with a terminal, links, what was asked for.

    ``tty`` None: as the container has it.
    """
    defaults = [f"PATH={PATH}", f"HOSTNAME={config.hostname}"]
    if config.tty if tty is None else tty:
        defaults.append("TERM=xterm")
    return merge.override_environment([*defaults, *linked], config.env or [])


def granted(host_config: schema.HostConfig, host: Host) -> list[str]:
    """Return the capabilities that the container gets. Raises CapabilityError."""
    if host_config.privileged:
        return list(host.capabilities)
    return capabilities.tweak(host_config.cap_add or [], host_config.cap_drop or [], host.capabilities)


def capability_sets(names: list[str]) -> Oci:
    """Return ``process.capabilities``: no inheritable and no ambient ones, as dockerd."""
    return {kind: list(names) for kind in ("bounding", "effective", "permitted")}


class Security:
    """What --security-opt asks for; ``seccomp`` is "default", "unconfined" or a profile's JSON."""

    def __init__(self) -> None:
        self.no_new_privileges = False
        self.seccomp = "default"


def security(host: schema.HostConfig) -> Security:
    """Read --security-opt. Raises Internal, as dockerd's 500."""
    result = Security()
    for option in host.security_opt or []:
        if option == "no-new-privileges":
            result.no_new_privileges = True
            continue
        key, separator, value = _split(option)
        if not separator:
            raise Internal(f'invalid --security-opt 1: "{option}"')  # the number is dockerd's, of the place in its code
        bad = Internal(f'invalid --security-opt 2: "{option}"')
        if key == "seccomp":
            result.seccomp = value if value not in ("builtin", "") else "default"
        elif key == "no-new-privileges":
            if value.lower() not in ("true", "false", "1", "0", "t", "f"):
                raise bad
            result.no_new_privileges = value.lower() in ("true", "1", "t")
        elif key not in ("label", "apparmor"):
            raise bad
    return result


def _split(option: str) -> tuple[str, str, str]:
    """Split an option at ``=``, or at ``:`` as old clients write it."""
    parts = option.partition("=")
    return parts if parts[1] else option.partition(":")


def _linux(container: Container, host: Host, own: list[Any], cgroup_parent: str) -> Oci:
    host_config = container.stored.host
    parent = host_config.cgroup_parent or cgroup_parent or CGROUP_PARENT
    result: Oci = {
        "resources": resources.resources(host_config, own),
        "cgroupsPath": f"/{parent.strip('/')}/{container.id}",
        "namespaces": _namespaces(host_config),
        "devices": resources.oci_devices(own),
        "sysctl": _sysctls(host_config),
        "maskedPaths": host_config.masked_paths or [],
        "readonlyPaths": host_config.readonly_paths or [],
    }
    filter_ = seccomp(host_config, host)
    if filter_ is not None:
        result["seccomp"] = filter_
    return result


def _namespaces(host: schema.HostConfig) -> list[Oci]:
    kinds = ["mount"]
    kinds += ["network"] if host.network_mode != "host" else []
    kinds += ["uts"] if host.uts_mode != "host" else []
    kinds += ["pid"] if host.pid_mode != "host" else []
    kinds += ["ipc"] if host.ipc_mode != "host" else []
    kinds += ["cgroup"] if host.cgroupns_mode == "private" else []
    return [{"type": kind} for kind in kinds]


def join_network(document: Oci, path: str) -> None:
    """Have the container use the network namespace at ``path``, whose settings are another's."""
    linux = document["linux"]
    linux["namespaces"] = [
        {"type": "network", "path": path} if entry["type"] == "network" else entry for entry in linux["namespaces"]
    ]
    linux["sysctl"] = {name: value for name, value in linux["sysctl"].items() if not name.startswith("net.")}


def _sysctls(host: schema.HostConfig) -> dict[str, str]:
    defaults = {} if host.network_mode == "host" or host.privileged else _NETWORK_SYSCTLS
    return {**defaults, **host.sysctls}


def seccomp(host_config: schema.HostConfig, host: Host) -> Oci | None:
    """Return ``linux.seccomp``, None where nothing is filtered. Raises SeccompError for a profile that is none."""
    wanted = security(host_config).seccomp
    if wanted == "unconfined" or (host_config.privileged and wanted == "default"):
        return None
    names = granted(host_config, host)
    kernel = _kernel(host.kernel_release)
    if wanted == "default":
        return _default_profile(tuple(names), host.architecture, kernel)
    return seccomp_profile.load_profile(wanted, names, host.architecture, kernel)


@lru_cache(maxsize=16)
def _default_profile(names: tuple[str, ...], architecture: str, kernel: tuple[int, int]) -> Oci:
    """Docker's profile for these capabilities, shared by the containers that have them: not to be changed."""
    return seccomp_profile.default_profile(names, architecture, kernel)


def _kernel(release: str) -> tuple[int, int]:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return int(major), int(minor or 0)
