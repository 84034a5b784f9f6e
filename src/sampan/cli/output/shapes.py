"""The zero values of the API's objects in Go: what an absent or null field prints in a template.

Only fields that dockerd leaves out or sends as null are listed; others print as they come.
"""

from __future__ import annotations

from sampan.cli.template.values import NIL_LIST, NIL_MAP, NIL_POINTER, Moment, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
_ENDPOINT_ORDER = (
    *("IPAMConfig", "Links", "Aliases", "MacAddress", "DriverOpts", "GwPriority", "NetworkID", "EndpointID", "Gateway"),
    *("IPAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames"),
)
_ENDPOINT_IPAM = _zeros(lists="LinkLocalIPs", strings="IPv4Address IPv6Address")
_BINDING = ("HostIp", "HostPort")
_BINDING_NAMES = {"HostIP": "HostIp"}
_POOL = _zeros(maps="AuxiliaryAddresses", strings="Subnet IPRange Gateway")
_POOL_ORDER = ("Subnet", "IPRange", "Gateway", "AuxiliaryAddresses")
_POOL_NAMES = {"AuxAddress": "AuxiliaryAddresses"}
_IPAM = _zeros(lists="Config", maps="Options", strings="Driver")
_NETWORK_ORDER = (
    *("Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "IPAM", "Internal", "Attachable"),
    *("Ingress", "ConfigFrom", "ConfigOnly", "Containers", "Options", "Labels", "Peers", "Services"),
)
_NETWORK_RESOURCE = _zeros(
    lists="Peers",
    maps="Containers Options Labels Services",
    strings="Name Id Created Scope Driver",
    others="EnableIPv4:bool EnableIPv6:bool Internal:bool Attachable:bool Ingress:bool ConfigOnly:bool",
)
_NETWORK_CONTAINER = ("Name", "EndpointID", "MacAddress", "IPv4Address", "IPv6Address")
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
    """`value` (JSON of a container, image or network) with zero values where fields are absent; others as they are."""
    if kind == "container":
        return _container(value)
    if kind == "network":
        return _network(value)
    if kind == "image":
        return Struct(value | {"Config": _config(value.get("Config"))}, _IMAGE, _ID)
    return value


def _container(value: dict[str, Any]) -> Struct:
    network = value.get("NetworkSettings")
    parts: dict[str, Any] = {
        "Config": _config(value.get("Config")),
        "HostConfig": _host_config(value.get("HostConfig")),
        "State": _struct(value.get("State"), _STATE),
    }
    if isinstance(network, dict):
        shapes = {"Networks": _endpoint, "Ports": _bindings}
        parts["NetworkSettings"] = Struct(_shape_each(network, shapes), _NETWORK)
    return Struct(value | parts, _CONTAINER, _ID)


def _config(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return Struct(_shape_each(value, {"ExposedPorts": _nothing, "Volumes": _nothing}), _CONFIG)


def _nothing(value: Any) -> Any:
    """Go's struct{}: the values of its sets."""
    return Struct(value or {}, {}, {}, ())


def _host_config(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return Struct(_shape_each(value, {"PortBindings": _bindings}), _HOST_CONFIG, _HOST_NAMES)


def _shape_each(value: dict[str, Any], shapes: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """`value` with each entry of some of its maps shaped."""
    maps = {key: value[key] for key in shapes if isinstance(value.get(key), dict)}
    return value | {key: {name: shapes[key](item) for name, item in entries.items()} for key, entries in maps.items()}


def _endpoint(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ipam = _struct(value.get("IPAMConfig"), _ENDPOINT_IPAM)
    return Struct(_in_order({"GwPriority": 0} | value | {"IPAMConfig": ipam}, _ENDPOINT_ORDER), _ENDPOINT)


def _in_order(value: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """`value` as Go writes it again: an older daemon's JSON has another order, and lacks what it did not know."""
    return {name: value[name] for name in order if name in value} | value


def _bindings(value: Any) -> Any:
    """What of the host leads to one port; nothing, if it is exposed only."""
    return NIL_LIST if value is None else [Struct(item, {}, _BINDING_NAMES, _BINDING) for item in value]


def _network(value: dict[str, Any]) -> Struct:
    ipam = value.get("IPAM") or {}
    config = ipam.get("Config")
    if config is not None:
        ipam = ipam | {"Config": [Struct(pool, _POOL, _POOL_NAMES, _POOL_ORDER) for pool in config]}
    parts = {
        "Created": Moment(value.get("Created") or ""),
        "EnableIPv4": bool(value.get("EnableIPv4")),  # older daemons don't tell
        "IPAM": Struct(ipam, _IPAM, {}, ("Driver", "Options", "Config")),
        "ConfigFrom": Struct(value.get("ConfigFrom") or {}, {"Network": ""}, {}, ("Network",)),
    }
    whole = _shape_each(value, {"Containers": lambda item: Struct(item, {}, {}, _NETWORK_CONTAINER)}) | parts
    return Struct(_in_order(whole, _NETWORK_ORDER), _NETWORK_RESOURCE, _ID, _NETWORK_ORDER)


def _struct(value: Any, zeros: dict[str, Any], names: dict[str, str] | None = None) -> Any:
    return Struct(value, zeros, names) if isinstance(value, dict) else value
