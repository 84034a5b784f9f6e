"""What `docker create` refuses, with its words, and what it fills in: the container as it will be kept.

Source. Each text and each default was seen on dockerd 26.1 (tests/unit/engine/test_validate.py).
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.engine import logoptions, mounts, resources, signals, spec, sysctls
from sampan.engine.errors import BadParameter, Internal, Unsupported
from sampan.network.files import HOST_GATEWAY

if TYPE_CHECKING:
    from sampan.engine.host import Host, Settings

MIN_MEMORY: Final = 6 << 20  # bytes; Docker's, below it no program starts
RUNTIME: Final = "sampan"
_RUNTIMES: Final = frozenset({"", RUNTIME, "runc", "io.containerd.runc.v2"})
_MIN_HEALTH_NS: Final = 1_000_000
MAX_SET_NUMBER: Final = 8192  # of a CPU or memory node, Docker's

_NO_OOM_KILLER: Final = (
    "OOM killer is disabled for the container, but no memory limit is set, "
    "this can result in the system running out of resources."
)
_NO_WEIGHT: Final = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
_NO_WEIGHT_DEVICE: Final = (
    "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded."
)


def check_config(config: schema.ContainerConfig) -> None:
    """Check the portable half. Raises BadParameter."""
    if config.working_dir and not config.working_dir.startswith("/"):
        raise BadParameter(f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path")
    for entry in config.env or []:
        if not entry.partition("=")[0]:
            raise BadParameter(f"invalid environment variable: {entry}")
    if config.stop_signal:
        signals.parse(config.stop_signal)
    if config.healthcheck is not None:
        _check_health(config.healthcheck)


def _check_health(health: schema.HealthConfig) -> None:
    for name, value in (
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ):
        if value and value < _MIN_HEALTH_NS:
            raise BadParameter(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise BadParameter("Retries in Healthcheck cannot be negative")


def settle(config: schema.ContainerConfig, host: schema.HostConfig, machine: Host, settings: Settings) -> list[str]:
    """Check HostConfig and fill in Docker's defaults, in place; return warnings.

    Raises:
        BadParameter: a wrong value. Unsupported: what this version does not have.
    """
    _settle_defaults(host, settings)
    _settle_modes(host, machine)
    _check_annotations(host)
    _check_policy(host)
    _settle_logs(host, settings)
    warnings = _check_memory(host)
    _check_cpu(host, machine)
    _check_security(host, machine)
    sysctls.check(host)
    _settle_paths(host)
    resources.rlimits(host)
    for text in host.device_cgroup_rules or []:
        resources.check_rule(text)
    _check_extra_hosts(host)
    _check_annexes(host)
    for mount in mounts.user_mounts(host):
        mount.check_source()
    if host.blkio_weight and not machine.block_weight:
        host.blkio_weight = 0
        warnings.append(_NO_WEIGHT)
    if host.blkio_weight_device:
        warnings.append(_NO_WEIGHT_DEVICE)
    if host.network_mode == "host" and host.port_bindings:
        warnings.append("Published ports are discarded when using host network mode")
    if config.volumes:
        warnings.append(_volumes_warning(config.volumes))
    return warnings


def check_asked_volumes(config: schema.ContainerConfig) -> None:
    """Refuse ``-v /path``: an anonymous volume. (An image's own VOLUME only earns a warning.)"""
    for destination in config.volumes or {}:
        mounts.parse_bind(destination)


def _volumes_warning(volumes: dict[str, dict[str, object]]) -> str:
    places = ", ".join(sorted(volumes))
    return f"The image declares volumes ({places}): without volumes of its own yet, Sampan keeps them in the container"


def _settle_defaults(host: schema.HostConfig, settings: Settings) -> None:
    """Fill in what daemon.json says of containers that say nothing."""
    host.ipc_mode = host.ipc_mode or settings.ipc_mode
    host.shm_size = host.shm_size or settings.shm_size
    if settings.cgroupns_mode and not host.privileged:
        host.cgroupns_mode = host.cgroupns_mode or settings.cgroupns_mode
    named = any(one.startswith("no-new-privileges") for one in host.security_opt or [])
    if settings.no_new_privileges and not named:
        host.security_opt = [*(host.security_opt or []), "no-new-privileges"]
    given = {limit.name for limit in host.ulimits or []}
    more = [limit for limit in settings.ulimits if limit.name not in given]
    if more:
        host.ulimits = [*(host.ulimits or []), *more]


def _settle_modes(host: schema.HostConfig, machine: Host) -> None:
    if host.ipc_mode not in ("none", "host", "private", "shareable"):
        _refuse_mode("IPC", host.ipc_mode)
    if host.pid_mode not in ("", "host"):
        _refuse_mode("PID", host.pid_mode)
    if host.uts_mode not in ("", "host"):
        raise BadParameter(f"invalid UTS mode: {host.uts_mode}")
    if host.userns_mode not in ("", "host"):
        raise BadParameter(f"invalid user namespace mode: {host.userns_mode}")
    if not host.cgroupns_mode:
        host.cgroupns_mode = "private" if machine.cgroup_version == 2 and not host.privileged else "host"
    if host.cgroupns_mode not in ("host", "private"):
        raise BadParameter(f"invalid cgroup namespace mode: {host.cgroupns_mode}")


def check_lines(config: schema.ContainerConfig, host: schema.HostConfig) -> None:
    """Refuse what would be more than one line of /etc/hosts, /etc/hostname or /etc/resolv.conf. Raises BadParameter."""
    texts = {
        "hostname": [config.hostname],
        "domainname": [config.domainname],
        "add-host": host.extra_hosts,
        "link": host.links,
        "dns": host.dns,
        "dns-search": host.dns_search,
        "dns-option": host.dns_options,
    }
    for name, values in texts.items():
        for value in values or []:
            if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
                raise BadParameter(f"invalid {name} {value!r}: it has a control character")


def check_shared_network(config: schema.ContainerConfig, host: schema.HostConfig) -> None:
    """Refuse what belongs to the network of the container that is joined, or to the host's. Raises BadParameter.

    ``config`` is as it was asked for: what its image exposes is no wish.
    """
    mode = host.network_mode
    joined = mode.startswith("container:")
    links = "type network can't be used with links. This would result in undefined behavior"
    conflicts = (
        (joined and config.hostname, "hostname and the network mode"),
        (mode == "host" and host.links, links.replace("network", "networking", 1).replace("type", "host type", 1)),
        (joined and host.links, f"container {links}"),
        (joined and host.dns, "dns and the network mode"),
        (joined and host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (joined and config.mac_address, "mac-address and the network mode"),
        (
            joined and (host.port_bindings or host.publish_all_ports),
            "port publishing and the container type network mode",
        ),
        (joined and config.exposed_ports, "port exposing and the container type network mode"),
    )
    for found, what in conflicts:
        if found:
            raise BadParameter(f"conflicting options: {what}")


def _refuse_mode(kind: str, mode: str) -> None:
    if mode.startswith("container:"):
        raise Unsupported(
            f"{kind} mode {mode} is not there yet: containers of this version of Sampan share no namespaces"
        )
    raise BadParameter(f"invalid {kind} mode: {mode}")


def _check_annotations(host: schema.HostConfig) -> None:
    if "" in (host.annotations or {}):
        raise BadParameter("invalid Annotations: the empty string is not permitted as an annotation key")


def _check_policy(host: schema.HostConfig) -> None:
    policy = host.restart_policy
    if policy.name not in ("", "no", "always", "unless-stopped", "on-failure"):
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise BadParameter(f"invalid restart policy: unknown policy '{policy.name}'; {known}")
    if policy.name in ("", "no"):
        if policy.maximum_retry_count:
            raise BadParameter("invalid restart policy: maximum retry count can only be used with 'on-failure'")
        host.restart_policy = schema.RestartPolicy(name="no")
        return
    if policy.name != "on-failure" and policy.maximum_retry_count:
        raise BadParameter("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if policy.maximum_retry_count < 0:
        raise BadParameter("invalid restart policy: maximum retry count cannot be negative")
    if host.auto_remove:
        raise BadParameter("can't create 'AutoRemove' container with restart policy")
    raise Unsupported(
        f'restart policy "{policy.name}" is not there yet: this version of Sampan starts no container by itself'
    )


def _settle_logs(host: schema.HostConfig, settings: Settings) -> None:
    log = host.log_config
    if not log.type:
        log.type = settings.log_driver
        log.config = {**settings.log_opts, **(log.config or {})} if log.type == settings.log_driver else log.config
    elif log.type == settings.log_driver and not log.config:
        log.config = dict(settings.log_opts)
    log.config = log.config or {}
    logoptions.check(log.type, log.config)


def _check_memory(host: schema.HostConfig) -> list[str]:
    if host.memory and host.memory < MIN_MEMORY:
        raise BadParameter("Minimum memory limit allowed is 6MB")
    if host.memory > 0 and 0 < host.memory_swap < host.memory:
        raise BadParameter("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.memory == 0 and host.memory_swap > 0:
        raise BadParameter("You should always set the Memory limit when using Memoryswap limit, see usage")
    if host.memory_swappiness is not None and not -1 <= host.memory_swappiness <= 100:
        raise BadParameter(f"Invalid value: {host.memory_swappiness}, valid memory swappiness range is 0-100")
    if host.memory_reservation and host.memory_reservation < MIN_MEMORY:
        raise BadParameter("Minimum memory reservation allowed is 6MB")
    if 0 < host.memory < host.memory_reservation:
        raise BadParameter("Minimum memory limit can not be less than memory reservation limit, see usage")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise BadParameter(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if host.shm_size < 0:
        raise BadParameter("SHM size can not be less than 0")
    return _settle_memory(host)


def _settle_memory(host: schema.HostConfig) -> list[str]:
    if host.memory > 0 and host.memory_swap == 0:
        host.memory_swap = host.memory * 2
    if host.memory_swappiness == -1:
        host.memory_swappiness = None
    if host.pids_limit is not None and host.pids_limit <= 0:
        host.pids_limit = None
    host.oom_kill_disable = bool(host.oom_kill_disable)
    if host.oom_kill_disable and not host.memory:
        return [_NO_OOM_KILLER]
    return []


def _check_cpu(host: schema.HostConfig, machine: Host) -> None:
    if host.nano_cpus and (host.cpu_period or host.cpu_quota):
        other = "Period" if host.cpu_period else "Quota"
        raise BadParameter(f"Conflicting options: Nano CPUs and CPU {other} cannot both be set")
    if host.nano_cpus < 0 or host.nano_cpus > machine.cpus * 1_000_000_000:
        available = f"as there are only {machine.cpus} CPUs available"
        raise BadParameter(f"Range of CPUs is from 0.01 to {machine.cpus}.00, {available}")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise BadParameter("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < 1000:
        raise BadParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.blkio_weight and machine.block_weight and not 10 <= host.blkio_weight <= 1000:
        raise BadParameter("Range of blkio weight is from 10 to 1000")
    _check_set(host.cpuset_cpus, machine.cpu_list, "CPUs", "cpus")
    _check_set(host.cpuset_mems, machine.memory_nodes, "memory nodes", "mems")


def _check_set(asked: str, available: str, things: str, option: str) -> None:
    if not asked:
        return
    try:
        wanted = parse_set(asked)
    except ValueError as error:
        raise BadParameter(f"Invalid value {asked} for cpuset {option}: {error}") from None
    if not wanted <= parse_set(available):
        raise BadParameter(f"Requested {things} are not available - requested {asked}, available: {available}")


def parse_set(text: str) -> set[int]:
    """Return the numbers of a list in the kernel's format, ``0-2,5`` (cpuset(7)). Raises ValueError."""
    result: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"invalid format: {text}")
        low, high = int(first), int(last or first)
        if high > MAX_SET_NUMBER:
            raise ValueError(f"value of out range, maximum is {MAX_SET_NUMBER}")
        if high < low:
            raise ValueError(f"invalid format: {text}")
        result.update(range(low, high + 1))
    return result


def _check_security(host: schema.HostConfig, machine: Host) -> None:
    spec.security(host)
    spec.granted(host, machine)
    if host.runtime not in _RUNTIMES:
        raise BadParameter(f"unknown or invalid runtime name: {host.runtime}")
    host.runtime = RUNTIME
    if host.init:
        raise Unsupported("--init is not there yet: this version of Sampan adds no init to a container")
    if ".." in host.cgroup_parent.split("/"):
        raise BadParameter(f"invalid CgroupParent: {host.cgroup_parent}: it may not lead out of where it is by ..")
    if host.isolation not in ("", "default"):
        raise Internal(f"Invalid isolation: \"{host.isolation}\" - linux only supports 'default'")


def _settle_paths(host: schema.HostConfig) -> None:
    if host.privileged:
        return
    if host.masked_paths is None:
        host.masked_paths = list(spec.MASKED_PATHS)
    if host.readonly_paths is None:
        host.readonly_paths = list(spec.READONLY_PATHS)


_EXTRA_HOST: Final = re.compile(r"[^:=]+[:=].+")


def _check_extra_hosts(host: schema.HostConfig) -> None:
    for text in host.extra_hosts or []:
        if not _EXTRA_HOST.fullmatch(text):
            raise BadParameter(f'bad format for add-host: "{text}"')
        address = re.split("[:=]", text, maxsplit=1)[1]
        if address != HOST_GATEWAY and not _is_address(address.strip("[]")):
            raise BadParameter(f'invalid IP address in add-host: "{address}"')


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _check_annexes(host: schema.HostConfig) -> None:
    """Refuse what would silently do nothing."""
    if host.volumes_from:
        raise Unsupported("--volumes-from is not there yet: this version of Sampan has no volumes")
    if host.storage_opt:
        raise Internal("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    throttles = (host.blkio_device_read_bps, host.blkio_device_write_bps, host.blkio_device_read_iops)
    if any((*throttles, host.blkio_device_write_iops)):
        raise Unsupported("limits of single disks (--device-read-bps and its like) are not there yet")
    if host.device_requests:
        raise Unsupported("could not select device driver: this version of Sampan has no GPU support")
