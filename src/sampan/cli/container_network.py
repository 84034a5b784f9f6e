"""--network's long form, and the endpoint settings that the network flags of ``run`` and ``create`` make."""

from __future__ import annotations

from sampan.cli.kinds import integer
from sampan.cli.references import HEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments

NOT_USER_DEFINED = frozenset(("default", "bridge", "host", "none", ""))
_SINGLE = {"name": "name", "ip": "ip", "ip6": "ip6", "mac-address": "mac"}
_MAC_FORMS = ((":", 2, (6, 8, 20)), ("-", 2, (6, 8, 20)), (".", 4, (3, 4, 10)))  # mark, digits, groups (net.ParseMAC)
# (flag, key of an attachment, what the fault calls the flag's own kind)
_CONFLICTS = (
    ("network-alias", "aliases", "per-network alias"),
    ("link", "links", "per-network links"),
    ("ip", "ip", "per-network IPv4 address"),
    ("ip6", "ip6", "per-network IPv6 address"),
    ("mac-address", "mac", "per-network MAC address"),
    ("link-local-ip", "link_local", "per-network link-local IP addresses"),
)


def is_long(text: str) -> bool:
    """Whether a --network is ``key=value,…`` and not just a name: an = stands between two word characters somewhere."""
    marks = (at for at, char in enumerate(text) if char == "=")
    return any(_is_word(text[at - 1 : at]) and _is_word(text[at + 1 : at + 2]) for at in marks)


def _is_word(char: str) -> bool:
    return char == "_" or (char.isascii() and char.isalnum())


def attachment(text: str) -> dict[str, Any]:
    """``name=…,alias=…,ip=…,driver-opt=k=v`` as a dict. Raises ValueError."""
    from sampan.cli.csvtext import split_csv

    found: dict[str, Any] = {}
    for field in split_csv(text):
        key, separator, value = field.lower().partition("=")
        key, value = key.strip(), value.strip()
        if not separator or not key:
            raise ValueError(f"invalid field {field}")
        if key in _SINGLE:
            found[_SINGLE[key]] = value
        elif key in {"alias", "link-local-ip"}:
            found.setdefault("aliases" if key == "alias" else "link_local", []).append(value)
        elif key == "driver-opt":
            name, separator, setting = value.partition("=")
            if not separator or not name:
                raise ValueError("invalid key value pair format in driver options")
            found.setdefault("driver_opts", {})[name.strip()] = setting.strip()
        elif key == "gw-priority":
            found["priority"] = _priority(value)
        else:
            raise ValueError(f"invalid field key {key}")
    if not found.get("name"):
        raise ValueError("network name/id is not specified")
    return found


def _priority(value: str) -> int:
    try:
        return integer(value, "Atoi", base=10)
    except ValueError as error:
        raise ValueError(f"invalid gw-priority ({value}): {str(error).rpartition(': ')[2]}") from None


def user_defined(name: str) -> bool:
    """Whether `name` is a network that somebody made."""
    return name not in NOT_USER_DEFINED and not name.startswith("container:")


def endpoints(arguments: Arguments) -> dict[str, Any]:
    """EndpointsConfig of the create request. Raises ValueError."""
    networks: list[dict[str, Any]] = arguments["network"] or []
    if not networks:
        return {"default": _endpoint(_with_flags({"name": "default"}, arguments))}
    result: dict[str, Any] = {}
    kinds = {user_defined(network["name"]) for network in networks}
    for index, given in enumerate(networks):
        name = given["name"]
        network = _with_flags(given, arguments) if index == 0 else given
        endpoint = _endpoint(network)
        if name in result:
            raise ValueError(f'network "{name}" is specified multiple times')
        # A single network without options is left to NetworkMode, as older daemons expect.
        if len(networks) == 1 and endpoint == _endpoint({"name": name}):
            continue
        result[name] = endpoint
    if len(kinds) > 1:
        raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    return result


def _with_flags(network: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """The first network also takes --network-alias, --ip and their like."""
    merged = dict(network)
    for flag, key, what in _CONFLICTS:
        value = arguments[flag]
        if not value:
            continue
        if network.get(key):
            raise ValueError(f"conflicting options: cannot specify both --{flag} and {what}")
        if key != "links" or user_defined(network["name"]):
            merged[key] = value
    return merged


def _endpoint(network: dict[str, Any]) -> dict[str, Any]:
    if not network["name"].strip():
        raise ValueError("no name set for network")
    if not user_defined(network["name"]):
        if network.get("aliases"):
            raise ValueError("network-scoped aliases are only supported for user-defined networks")
        if network.get("links"):
            raise ValueError("links are only supported for user-defined networks")
    mac = network.get("mac", "")
    if mac:
        check_mac(mac)
    wanted = (("IPv4Address", "ip"), ("IPv6Address", "ip6"), ("LinkLocalIPs", "link_local"))
    addresses = {name: network[key] for name, key in wanted if network.get(key)}
    return endpoint_settings(
        IPAMConfig=addresses or None,
        Links=network.get("links"),
        Aliases=network.get("aliases"),
        MacAddress=mac,
        DriverOpts=network.get("driver_opts"),
        GwPriority=network.get("priority", 0),
    )


def endpoint_settings(**wishes: Any) -> dict[str, Any]:
    """The API's EndpointSettings with `wishes` in it: all of its fields, as Docker's client sends them."""
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
        **wishes,
    }


def check_mac(text: str) -> None:
    """Raises ValueError unless `text` is a MAC address."""
    bare = text.strip()
    mark, size, counts = next(((m, size, counts) for m, size, counts in _MAC_FORMS if m in bare), _MAC_FORMS[0])
    groups = bare.split(mark)
    if len(groups) not in counts or not all(len(group) == size and HEX.issuperset(group.lower()) for group in groups):
        raise ValueError(f"{text} is not a valid mac address")
