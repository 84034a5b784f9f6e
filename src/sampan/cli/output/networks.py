"""The fields of a network in ``network ls``. Items are ``(network, trunc)``: the API's JSON and whether to shorten."""

from __future__ import annotations

from sampan.cli.gotext import go_time
from sampan.cli.output.listing import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Item = tuple[dict[str, Any], bool]

COLUMNS = ("ID", "Name", "Driver", "Scope")


def _labels(item: Item) -> str:
    return ",".join(sorted(f"{key}={value}" for key, value in (item[0].get("Labels") or {}).items()))


def _flag(item: Item, name: str) -> str:
    return "true" if item[0].get(name) else "false"


NETWORKS = Listing(
    {
        "ID": lambda item: item[0]["Id"][:12] if item[1] else item[0]["Id"],
        "Name": lambda item: item[0]["Name"],
        "Driver": lambda item: item[0].get("Driver") or "",
        "Scope": lambda item: item[0].get("Scope") or "",
        "IPv4": lambda item: _flag(item, "EnableIPv4"),
        "IPv6": lambda item: _flag(item, "EnableIPv6"),
        "Internal": lambda item: _flag(item, "Internal"),
        "Labels": _labels,
        "CreatedAt": lambda item: go_time(item[0].get("Created") or ""),
    },
    {
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
    },
    "*network.networkContext",
    {"Label": lambda item, name: (item[0].get("Labels") or {}).get(name, "")},
)
