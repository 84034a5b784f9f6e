"""The zero values of the API's objects in Go: what an absent or null field prints in a template.

Only fields that dockerd leaves out or sends as null are listed; others print as they come.
"""

from __future__ import annotations

from sampan.cli.template.values import NIL_LIST, NIL_MAP, NIL_POINTER, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _zeros(lists: str = "", maps: str = "", pointers: str = "", strings: str = "", others: str = "") -> dict[str, Any]:
    result: dict[str, Any] = dict.fromkeys(lists.split(), NIL_LIST)
    result |= dict.fromkeys(maps.split(), NIL_MAP)
    result |= dict.fromkeys(pointers.split(), NIL_POINTER)
    result |= dict.fromkeys(strings.split(), "")
    for word in others.split():
        name, _, kind = word.partition(":")
        result[name] = False if kind == "bool" else 0
    return result


_CONFIG = _zeros(
    lists="Env Cmd Entrypoint OnBuild Shell",
    maps="ExposedPorts Volumes Labels",
    pointers="Healthcheck StopTimeout",
    strings="StopSignal MacAddress Hostname Domainname User Image WorkingDir",
    others="NetworkDisabled:bool ArgsEscaped:bool",
)
_HOST_CONFIG = _zeros(
    lists="Binds VolumesFrom CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt Mounts "
    "BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps Devices "
    "DeviceCgroupRules DeviceRequests Ulimits MaskedPaths ReadonlyPaths",
    maps="PortBindings StorageOpt Tmpfs Sysctls Annotations",
    pointers="MemorySwappiness OomKillDisable PidsLimit Init",
    strings="Runtime",
    others="KernelMemory:int KernelMemoryTCP:int",
)
_NETWORK = _zeros(
    lists="SecondaryIPAddresses SecondaryIPv6Addresses",
    maps="Ports Networks",
    strings="Bridge SandboxID SandboxKey",
)
_ENDPOINT = _zeros(lists="Links Aliases DNSNames", maps="DriverOpts", pointers="IPAMConfig", others="GwPriority:int")
_CONTAINER = _zeros(
    lists="Args ExecIDs Mounts",
    pointers="Node ImageManifestDescriptor SizeRw SizeRootFs",
    strings="Name Driver Platform",
)
_IMAGE = _zeros(
    lists="RepoTags RepoDigests Manifests",
    pointers="Descriptor",
    strings="Parent Comment Created Container DockerVersion Author Variant OsVersion",
    others="VirtualSize:int",
)
_STATE = _zeros(pointers="Health")
_ID = {"ID": "Id"}
_HOST_NAMES = {f"CPU{name}": f"Cpu{name}" for name in ("Shares", "Period", "Quota", "Count", "Percent")}
_HOST_NAMES |= {f"CPURealtime{name}": f"CpuRealtime{name}" for name in ("Period", "Runtime")}
_HOST_NAMES |= {"NanoCPUs": "NanoCpus", "DNS": "Dns", "DNSOptions": "DnsOptions", "DNSSearch": "DnsSearch"}


def shaped(kind: str, value: Any) -> Any:
    """`value` (JSON of a "container" or an "image") with zero values where fields are absent; others as they are."""
    if kind == "container":
        return _container(value)
    if kind == "image":
        return Struct(value | {"Config": _struct(value.get("Config"), _CONFIG)}, _IMAGE, _ID)
    return value


def _container(value: dict[str, Any]) -> Struct:
    network = value.get("NetworkSettings")
    parts: dict[str, Any] = {
        "Config": _struct(value.get("Config"), _CONFIG),
        "HostConfig": _struct(value.get("HostConfig"), _HOST_CONFIG, _HOST_NAMES),
        "State": _struct(value.get("State"), _STATE),
    }
    if isinstance(network, dict):
        networks = network.get("Networks")
        if isinstance(networks, dict):
            network = network | {"Networks": {name: _struct(item, _ENDPOINT) for name, item in networks.items()}}
        parts["NetworkSettings"] = Struct(network, _NETWORK)
    return Struct(value | parts, _CONTAINER, _ID)


def _struct(value: Any, zeros: dict[str, Any], names: dict[str, str] | None = None) -> Any:
    return Struct(value, zeros, names) if isinstance(value, dict) else value
