"""Limits and devices of a container, from HostConfig to the runtime specification's ``linux.resources``.

Units.  Memory in bytes, CPU times in microseconds, ``nano_cpus`` in 10⁻⁹ of a CPU.
Source. OCI runtime-spec, config-linux.md "Control groups"; dockerd 26.1's bundles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sampan.api import schema
from sampan.engine.errors import INIT_FAILED, BadParameter, Internal
from sampan.linux import devnodes
from sampan.runtime import devices

if TYPE_CHECKING:
    from sampan.linux.devnodes import DeviceNode

MIN_SHARES: Final = 2  # of cpu.shares; the kernel's MIN_SHARES and MAX_SHARES, kernel/sched/sched.h
MAX_SHARES: Final = 262144
CPU_PERIOD: Final = 100_000  # microseconds; the period that --cpus is a share of
RLIMITS: Final = frozenset(
    """core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack""".split()  # noqa: SIM905
)

# What every container may use, in dockerd's order: zero, null, urandom, random, tty, console.
_ALLOWED: Final = ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
_FUSE: Final = (10, 229)

Oci = dict[str, Any]


def resources(host: schema.HostConfig, given: list[DeviceNode]) -> Oci:
    """Return ``linux.resources``; ``given`` are the nodes of --device."""
    result: Oci = {"devices": _device_rules(host, given)}
    for name, value in (("memory", _memory(host)), ("cpu", _cpu(host)), ("blockIO", _block(host))):
        if value:
            result[name] = value
    if host.pids_limit:
        result["pids"] = {"limit": host.pids_limit}
    return result


def _memory(host: schema.HostConfig) -> Oci:
    memory: Oci = {}
    if host.memory > 0:
        memory["limit"] = host.memory
    if host.memory_reservation > 0:
        memory["reservation"] = host.memory_reservation
    if host.memory_swap:
        memory["swap"] = host.memory_swap
    if host.memory_swappiness is not None and host.memory_swappiness >= 0:
        memory["swappiness"] = host.memory_swappiness
    if host.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(host: schema.HostConfig) -> Oci:
    cpu: Oci = {}
    if host.cpu_shares:
        cpu["shares"] = _shares(host.cpu_shares)
    if host.nano_cpus > 0:
        cpu["period"] = CPU_PERIOD
        cpu["quota"] = host.nano_cpus * CPU_PERIOD // 1_000_000_000
    if host.cpu_period:
        cpu["period"] = host.cpu_period
    if host.cpu_quota:
        cpu["quota"] = host.cpu_quota
    if host.cpuset_cpus:
        cpu["cpus"] = host.cpuset_cpus
    if host.cpuset_mems:
        cpu["mems"] = host.cpuset_mems
    return cpu


def _shares(shares: int) -> int:
    """Check --cpu-shares, which dockerd leaves to its runtime. Raises Internal."""
    if shares < 0:
        raise Internal("shares: invalid argument")
    for wrong, limit in ((shares < MIN_SHARES, f"minimum allowed cpu-shares is {MIN_SHARES}"),
                         (shares > MAX_SHARES, f"maximum allowed cpu-shares is {MAX_SHARES}")):  # fmt: skip
        if wrong:
            raise Internal(f"{INIT_FAILED}error setting cgroup config for procHooks process: the {limit}: unknown")
    return shares


def _block(host: schema.HostConfig) -> Oci:
    return {"weight": host.blkio_weight} if host.blkio_weight else {}


def _device_rules(host: schema.HostConfig, given: list[DeviceNode]) -> list[Oci]:
    if host.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[Oci] = [{"allow": False, "access": "rwm"}]
    rules += [_rule("c", major, minor) for major, minor in _ALLOWED]
    rules.append(_rule("c", *_FUSE) | {"allow": False})
    accesses = _accesses(host)
    rules += [_rule(node.type, node.major, node.minor, accesses.get(node.path, "rwm")) for node in given]
    return rules + [_parsed_rule(text) for text in host.device_cgroup_rules or []]


def _rule(kind: str, major: int, minor: int, access: str = "rwm") -> Oci:
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


def _accesses(host: schema.HostConfig) -> dict[str, str]:
    return {_inside(device): device.cgroup_permissions or "rwm" for device in host.devices or []}


def _parsed_rule(text: str) -> Oci:
    """Return the rule of one --device-cgroup-rule. Raises DeviceRuleError (400)."""
    rule = devices.parse_rule(text)
    result: Oci = {"allow": rule.allow, "type": rule.type, "access": rule.access}
    for name, number in (("major", rule.major), ("minor", rule.minor)):
        if number != devices.ANY:
            result[name] = number
    return result


def check_rule(text: str) -> None:
    """Check one --device-cgroup-rule. Raises DeviceRuleError (400)."""
    devices.parse_rule(text)


def given_devices(host: schema.HostConfig) -> list[DeviceNode]:
    """Return the nodes of --device by their paths inside, and of --privileged, all of the host's.

    Raises Internal, as dockerd's 500: there is no such device on the host.
    """
    nodes = list(devnodes.nodes_below("/dev")) if host.privileged else []
    for device in host.devices or []:
        nodes += _device(device)
    return nodes


def _inside(device: schema.DeviceMapping) -> str:
    return device.path_in_container or device.path_on_host


def _device(device: schema.DeviceMapping) -> list[DeviceNode]:
    text = f'error gathering device information while adding custom device "{device.path_on_host}"'
    try:
        node = devnodes.node_at(device.path_on_host)
        if node is not None:
            return [node._replace(path=_inside(device))]
        found = list(devnodes.nodes_below(device.path_on_host))
    except FileNotFoundError:
        raise Internal(f"{text}: no such file or directory") from None
    except NotADirectoryError:
        raise Internal(f"{text}: not a device node") from None
    prefix, inside = device.path_on_host.rstrip("/"), _inside(device).rstrip("/")
    return [one._replace(path=inside + one.path.removeprefix(prefix)) for one in found]


def oci_devices(nodes: list[DeviceNode]) -> list[Oci]:
    """Return ``linux.devices``."""
    return [
        {
            "path": node.path,
            "type": node.type,
            "major": node.major,
            "minor": node.minor,
            "fileMode": node.mode,
            "uid": node.uid,
            "gid": node.gid,
        }
        for node in nodes
    ]


def rlimits(host: schema.HostConfig, open_files: tuple[int, int] | None = None) -> list[Oci]:
    """Return ``process.rlimits``; ``open_files`` is the limit (soft, hard) of a container that doesn't name one.

    Raises BadParameter for an unknown name or a soft limit above the hard one.
    """
    result = []
    if open_files is not None and not any(limit.name == "nofile" for limit in host.ulimits or []):
        result.append({"type": "RLIMIT_NOFILE", "soft": open_files[0], "hard": open_files[1]})
    for limit in host.ulimits or []:
        if limit.name not in RLIMITS:
            raise BadParameter(f"invalid ulimit type: {limit.name}")
        if limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            raise BadParameter(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
            )
        result.append(
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": _unsigned(limit.soft), "hard": _unsigned(limit.hard)}
        )
    return result


def _unsigned(limit: int) -> int:
    """-1, "unlimited", as the runtime specification's uint64."""
    return limit & ((1 << 64) - 1)
