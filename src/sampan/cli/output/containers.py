"""The fields of a container in ``ps``. Items are ``(summary, trunc)``: the API's JSON and whether to shorten."""

from __future__ import annotations

import time

from sampan.cli.gotext import ellipsis, human_duration, human_size, local_time, quote
from sampan.cli.output.listing import Listing
from sampan.cli.references import familiar_name, short_id, take_apart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Item = tuple[dict[str, Any], bool]

COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def _id(item: Item) -> str:
    return short_id(item[0]["Id"]) if item[1] else str(item[0]["Id"])


def _names(item: Item) -> str:
    names = [name[1:] for name in item[0].get("Names") or ()]
    if item[1]:
        # Links add names with a slash in them; the container's own has none.
        names = next(([name] for name in names if "/" not in name), names)
    return ",".join(names)


def _image(item: Item) -> str:
    image = item[0].get("Image") or ""
    if not image:
        return "<no image>"
    if not item[1]:
        return str(image)
    short = short_id(item[0].get("ImageID") or "")
    if short and short == short_id(image):
        return short
    name, tag, digest = take_apart(image)
    if not digest and not tag and image.startswith("sha256:"):
        return str(image)
    return f"{familiar_name(name)}:{tag}" if tag else familiar_name(name)


def _command(item: Item) -> str:
    command = item[0].get("Command") or ""
    return quote(ellipsis(command, 20) if item[1] else command)


def _size(item: Item) -> str:
    written, whole = item[0].get("SizeRw") or 0, item[0].get("SizeRootFs") or 0
    text = human_size(written, 3)
    return f"{text} (virtual {human_size(whole, 3)})" if whole > 0 else text


def _mounts(item: Item) -> str:
    names = [mount.get("Name") or mount.get("Source") or "" for mount in item[0].get("Mounts") or ()]
    return ",".join(ellipsis(name, 15) if item[1] else name for name in names)


def _labels(item: Item) -> str:
    return ",".join(sorted(f"{key}={value}" for key, value in (item[0].get("Labels") or {}).items()))


def _networks(item: Item) -> str:
    return ",".join((item[0].get("NetworkSettings") or {}).get("Networks") or ())


def show_ports(ports: list[dict[str, Any]]) -> str:
    """``0.0.0.0:8080->80/tcp, 443/tcp``; neighbours with equal ends on the host come together as ranges."""
    groups: dict[str, list[int]] = {}
    ended: list[str] = []
    mapped: list[str] = []
    for port in sorted(ports, key=_port_order):
        private, public, kind = port["PrivatePort"], port.get("PublicPort") or 0, port.get("Type") or ""
        key = kind
        if port.get("IP"):
            if public != private:
                mapped.append(f"{_host(port['IP'])}:{public}->{private}/{kind}")
                continue
            key = f"{port['IP']}/{kind}"
        span = groups.get(key)
        if span is not None and private == span[1] + 1:
            span[1] = private
            continue
        if span is not None:
            ended.append(_span(key, span))
            groups[key] = [private, private]
        else:
            groups[key] = [private, private]
    return ", ".join([*ended, *(_span(key, span) for key, span in groups.items()), *mapped])


def _port_order(port: dict[str, Any]) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP") or "", port.get("PublicPort") or 0, port.get("Type") or ""


def _span(key: str, span: list[int]) -> str:
    address, _, kind = key.rpartition("/")
    text = str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
    if address:
        text = f"{_host(address)}:{text}->{text}"
    return f"{text}/{kind}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


CONTAINERS = Listing(
    {
        "ID": _id,
        "Names": _names,
        "Image": _image,
        "Command": _command,
        "CreatedAt": lambda item: local_time(item[0].get("Created") or 0),
        "RunningFor": lambda item: human_duration(time.time() - (item[0].get("Created") or 0)) + " ago",
        "Ports": lambda item: show_ports(item[0].get("Ports") or []),
        "State": lambda item: item[0].get("State") or "",
        "Status": lambda item: item[0].get("Status") or "",
        "Size": _size,
        "Labels": _labels,
        "Mounts": _mounts,
        "LocalVolumes": lambda item: str(sum(m.get("Driver") == "local" for m in item[0].get("Mounts") or ())),
        "Networks": _networks,
        "Platform": lambda item: (item[0].get("ImageManifestDescriptor") or {}).get("platform"),
    },
    {
        "ID": "CONTAINER ID",
        "Names": "NAMES",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED",
        "Ports": "PORTS",
        "State": "STATE",
        "Status": "STATUS",
        "Size": "SIZE",
        "Labels": "LABELS",
        "Mounts": "MOUNTS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Networks": "NETWORKS",
        "Platform": "PLATFORM",
    },
    "*formatter.ContainerContext",
    {"Label": lambda item, name: (item[0].get("Labels") or {}).get(name, "")},
)
