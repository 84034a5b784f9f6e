"""Answers as older API versions have them.

Everything is made for the newest version, and reshaped here for a client that speaks an older one, where the difference
is known to be noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sampan.api import schema
from sampan.api.server.messages import RequestError

Version = tuple[int, ...]

_GW_PRIORITY: Final = (1, 48)
_ENABLE_IPV4: Final = (1, 48)
_ENDPOINT_MAC: Final = (1, 44)
_IMAGE_CONFIG: Final = (1, 50)
_CONTAINER_CONFIG: Final = (1, 45)
_NO_VIRTUAL_SIZE: Final = (1, 44)
_FIREWALL: Final = (1, 49)
_NO_EXPECTED: Final = (1, 49)
_NO_BRIDGE_NF: Final = (1, 50)

_LEGACY_IMAGE_CONFIG: Final[dict[str, Any]] = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
}


def container_json(container: schema.ContainerInspect, version: Version) -> Any:
    """GET /containers/{id}/json."""
    if version >= _GW_PRIORITY:
        return container
    value = schema.to_json(container)
    _old_endpoints(value["NetworkSettings"]["Networks"], value["Id"], version)
    return value


def summary_json(containers: Sequence[schema.ContainerSummary], version: Version) -> Any:
    """GET /containers/json."""
    if version >= _GW_PRIORITY:
        return containers
    values = schema.to_json(containers)
    for value in values:
        _old_endpoints(value["NetworkSettings"]["Networks"], value["Id"], version)
    return values


def _old_endpoints(networks: dict[str, Any] | None, container_id: str, version: Version) -> None:
    for name, endpoint in (networks or {}).items():
        endpoint.pop("GwPriority", None)
        if version < _CONTAINER_CONFIG and name not in ("none", "host", "bridge"):
            endpoint["Aliases"] = [*(endpoint["Aliases"] or ()), container_id[:12]]


def network_json(network: schema.NetworkResource, version: Version) -> Any:
    """GET /networks/{name}."""
    return networks_json([network], version)[0]


def networks_json(networks: Sequence[schema.NetworkResource], version: Version) -> Any:
    """GET /networks."""
    if version >= _ENABLE_IPV4:
        return networks
    values = schema.to_json(networks)
    for value in values:
        del value["EnableIPv4"]
    return values


def network_create(body: schema.NetworkCreateRequest, version: Version) -> schema.NetworkCreateRequest:
    """POST /networks/create, without what the client's version does not know."""
    if version < _ENABLE_IPV4:
        body.enable_ipv4 = None
    return body


_MAC_NOTICE: Final = (
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
)
_MAC_WHERE: Final = (
    "if a container-wide MAC address is supplied, HostConfig.NetworkMode must match the identity of a network in "
    "NetworkSettings.Networks"
)
_MAC_TWICE: Final = (
    "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty"
)


def container_create(body: schema.ContainerCreate, version: Version) -> list[str]:
    """POST /containers/create: move a container-wide MAC address to the main network, in place; returns warnings.

    Raises RequestError.
    """
    if version < _ENDPOINT_MAC:
        _old_create(body)
        return []
    if not body.mac_address:
        return []
    mode, config = body.host_config.network_mode or "default", body.networking_config
    if _has_mac(mode):
        config.endpoints_config = config.endpoints_config or {}
        _main_endpoint(config.endpoints_config, mode, body.mac_address).mac_address = body.mac_address
    body.mac_address = ""
    return [_MAC_NOTICE]


def _old_create(body: schema.ContainerCreate) -> None:
    """Before API 1.44 there was one network at most, and the MAC address was the container's."""
    endpoints, mode = body.networking_config.endpoints_config or {}, body.host_config.network_mode or "default"
    if len(endpoints) > 1:
        raise RequestError(f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}")
    if body.mac_address and not _has_mac(mode):
        raise RequestError("conflicting options: mac-address and the network mode")
    if body.mac_address and not endpoints:
        endpoints[mode] = schema.EndpointSettings()
    for endpoint in endpoints.values():
        endpoint.mac_address = body.mac_address
    body.networking_config.endpoints_config, body.mac_address = endpoints, ""


def _has_mac(mode: str) -> bool:
    return mode not in ("none", "host") and not mode.startswith("container:")


def _main_endpoint(endpoints: dict[str, schema.EndpointSettings], mode: str, mac: str) -> schema.EndpointSettings:
    """The endpoint on the network of NetworkMode, made where there are none at all; "default" is "bridge"."""
    names = [mode, "bridge"] if mode == "default" else [mode]
    found = next((endpoints[name] for name in names if name in endpoints), None)
    if found is None:
        if endpoints:
            raise RequestError(_MAC_WHERE)
        found = endpoints.setdefault(mode, schema.EndpointSettings())
    if found.mac_address not in ("", mac):
        raise RequestError(_MAC_TWICE)
    return found


def image_json(image: schema.ImageInspect, version: Version) -> Any:
    """GET /images/{name}/json."""
    if version >= _IMAGE_CONFIG:
        return image
    value = schema.to_json(image)
    if value["Config"] is not None:
        value["Config"] = _LEGACY_IMAGE_CONFIG | value["Config"]
    if version < _CONTAINER_CONFIG:
        empty = _LEGACY_IMAGE_CONFIG | schema.to_json(schema.ImageConfig())
        value |= {"Container": "", "ContainerConfig": empty}
    if version < _NO_VIRTUAL_SIZE:
        value["VirtualSize"] = value["Size"]
    return value


def image_summary_json(images: Sequence[schema.ImageSummary], version: Version) -> Any:
    """GET /images/json."""
    if version >= _NO_VIRTUAL_SIZE:
        return images
    return [value | {"VirtualSize": value["Size"]} for value in schema.to_json(images)]


def disk_usage_json(usage: schema.DiskUsage, version: Version) -> Any:
    """GET /system/df, whose images have null for no names, unlike GET /images/json."""
    if usage.images is None:
        return usage
    images = schema.to_json(image_summary_json(usage.images, version))
    for image in images:
        image |= {key: image[key] or None for key in ("RepoTags", "RepoDigests")}
    return schema.to_json(usage) | {"Images": images}


def info_json(info: schema.Info, version: Version) -> Any:
    """GET /info."""
    value = schema.to_json(info)
    if version >= _NO_BRIDGE_NF:
        _drop(value, ("BridgeNfIptables", "BridgeNfIp6tables"))
    if version < _FIREWALL:
        _drop(value, ("FirewallBackend",))
        nothing = {"AllowNondistributableArtifactsCIDRs": None, "AllowNondistributableArtifactsHostnames": None}
        value["RegistryConfig"] = nothing | value["RegistryConfig"]
    for commit in ("ContainerdCommit", "RuncCommit", "InitCommit"):
        if version < _NO_EXPECTED:
            value[commit]["Expected"] = value[commit]["ID"]
    return value


def _drop(value: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        value.pop(name, None)
