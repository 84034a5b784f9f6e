"""Answers as older API versions have them.

Everything is made for the newest version, and reshaped here for a client that speaks an older one, where the difference
is known to be noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sampan.api import schema

Version = tuple[int, ...]

_GW_PRIORITY: Final = (1, 48)
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
