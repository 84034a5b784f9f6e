"""The Engine API's networks field by field: a scenario to play on a Docker daemon and on sampand.

What differs from run to run or from machine to machine is replaced by a mark (see `api_cases`); the rest must be equal.
"""

import re
from collections.abc import Iterator
from typing import Any

from peer.api_cases import Ask, normalised
from support.images import BUSYBOX

NET, OTHER, CONFIG = "sampan-record-net", "sampan-record-net-other", "sampan-record-net-config"
BAD = "sampan-record-net-bad"
WEB, DB = "sampan-record-net-web", "sampan-record-net-db"
MAC = "02:42:ac:11:00:99"

POOLS: list[dict[str, Any]] = [
    {
        "Subnet": "10.213.0.0/16",
        "IPRange": "10.213.1.0/24",
        "Gateway": "10.213.0.1",
        "AuxiliaryAddresses": {"a": "10.213.1.0"},
    },
    {"Subnet": "fd21:3::/64"},
]
CREATE = {
    "Name": NET,
    "EnableIPv6": True,
    "Attachable": True,
    "IPAM": {"Config": POOLS},
    "Options": {"com.docker.network.bridge.name": "sampanrec0"},
    "Labels": {"a": "b", "empty": ""},
}


def _container(mode: str, endpoints: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    host = {"NetworkMode": mode, **more.pop("HostConfig", {})}
    config = {"EndpointsConfig": endpoints or {}}
    return {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "StopSignal": "KILL", **more} | {
        "HostConfig": host,
        "NetworkingConfig": config,
    }


PUBLISHED = {
    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "28180"}, {"HostPort": "28181"}],
    "81/udp": [{"HostIp": "", "HostPort": ""}],
    "82/tcp": [{"HostIp": "", "HostPort": "28182-28190"}],
}
WEB_BODY = _container(
    NET,
    {
        NET: {
            "Aliases": ["www"],
            "MacAddress": MAC,
            "IPAMConfig": {"IPv4Address": "10.213.0.77"},
            "DriverOpts": {"x": "y"},
        }
    },
    Hostname="shop",
    ExposedPorts={port: {} for port in ("9/tcp", "80/tcp", "81/udp", "82/tcp")},
    HostConfig={"PortBindings": {**PUBLISHED, "99/tcp": [{"HostPort": "28199"}]}},  # 99 is not exposed: not published
)
DB_BODY = _container("bridge", Domainname="example.org")

BAD_CREATES: list[dict[str, Any]] = [
    {},
    {"Name": f"{BAD} b"},
    {"Name": " "},
    {"Name": "bridge"},
    {"Name": "host"},
    {"Name": "none"},
    {"Name": "default"},
    {"Name": NET},
    {"Name": BAD, "Driver": "nosuch"},
    {"Name": BAD, "Driver": "host"},
    {"Name": BAD, "Driver": "null"},
    {"Name": BAD, "Driver": "overlay"},
    {"Name": BAD, "Scope": "swarm"},
    {"Name": BAD, "Ingress": True},
    {"Name": BAD, "ConfigFrom": {"Network": "nosuch"}},
    {"Name": BAD, "ConfigFrom": {"Network": NET}},
    {"Name": BAD, "ConfigOnly": True, "ConfigFrom": {"Network": CONFIG}},
    {"Name": BAD, "IPAM": {"Driver": "nosuch"}},
    {"Name": BAD, "Options": {"com.docker.network.bridge.name": "sampanrec0"}},
    {"Name": BAD, "Options": {"com.docker.network.bridge.enable_icc": "maybe"}},
    {"Name": BAD, "Options": {"com.docker.network.driver.mtu": "x"}},
    {"Name": BAD, "Options": {"com.docker.network.driver.mtu": "-1"}},
    {"Name": BAD, "Options": {"com.docker.network.bridge.host_binding_ipv4": "x"}},
    {"Name": BAD, "EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "10.214.0.0/16"}]}},
    *(
        {"Name": BAD, "IPAM": {"Config": [pool]}}
        for pool in (
            {"Subnet": "x"},
            {"Subnet": "10.213.4.0/24"},
            {"Subnet": "10.214.0.1/16"},
            {"Subnet": "10.214.0.0/33"},
            {"Subnet": "10.214.0.0/32"},
            {"Subnet": "10.214.0.0/16", "Gateway": "x"},
            {"Subnet": "10.214.0.0/16", "Gateway": "10.215.0.1"},
            {"Subnet": "10.214.0.0/16", "Gateway": "10.214.0.1/16"},
            {"Subnet": "10.214.0.0/16", "Gateway": "10.214.255.255"},
            {"Subnet": "10.214.0.0/16", "Gateway": "fd00::1"},
            {"Subnet": "10.214.0.0/16", "IPRange": "x"},
            {"Subnet": "10.214.0.0/16", "IPRange": "10.215.0.0/24"},
            {"Subnet": "10.214.0.0/16", "IPRange": "10.214.1.1/24"},
            {"Subnet": "10.214.0.0/16", "IPRange": "10.0.0.0/8"},
            {"Subnet": "10.214.0.0/16", "AuxiliaryAddresses": {"a": "x"}},
            {"Subnet": "10.214.0.0/16", "AuxiliaryAddresses": {"a": "10.215.0.1"}},
            {"Subnet": "10.214.0.0/16", "Gateway": "10.214.0.1", "AuxiliaryAddresses": {"a": "10.214.0.1"}},
            {"Gateway": "10.214.0.1"},
        )
    ),
    {"Name": BAD, "IPAM": {"Config": [{"Subnet": "10.214.0.0/16"}, {"Subnet": "10.214.1.0/24"}]}},
    {"Name": BAD, "Name2": "x", "Labels": {"": "x"}, "IPAM": {"Config": [{"Subnet": "999.0.0.0/8"}]}},
]

JOIN = f"/networks/{NET}/connect"


def _at(address: str) -> dict[str, Any]:
    return {"IPAMConfig": {"IPv4Address": address}}


ERRORS: list[tuple[str, str, Any]] = [
    ("GET", "/networks/nosuch", None),
    ("GET", f"/networks/{NET}?scope=swarm", None),
    ("GET", f"/networks/{NET}?scope=nosuch", None),
    ("GET", f"/networks/{NET}?verbose=maybe", None),
    ("GET", '/networks?filters={"nosuch":["a"]}', None),
    ("GET", '/networks?filters={"type":["a"]}', None),
    ("GET", '/networks?filters={"dangling":["a"]}', None),
    ("GET", '/networks?filters={"scope":["a"]}', None),
    ("GET", "/networks?filters=x", None),
    ("POST", '/networks/prune?filters={"nosuch":["a"]}', None),
    ("POST", '/networks/prune?filters={"until":["a"]}', None),
    ("POST", '/networks/prune?filters={"until":["1","2"]}', None),
    ("DELETE", "/networks/nosuch", None),
    ("DELETE", "/networks/bridge", None),
    ("DELETE", f"/networks/{NET}", None),
    ("POST", "/networks/nosuch/connect", {"Container": WEB}),
    ("POST", f"/networks/{NET}/connect", {"Container": "nosuch"}),
    ("POST", f"/networks/{NET}/connect", {}),
    ("POST", f"/networks/{NET}/connect", {"Container": WEB}),
    ("POST", "/networks/host/connect", {"Container": WEB}),
    ("POST", "/networks/none/connect", {"Container": WEB}),
    ("POST", "/networks/bridge/connect", {"Container": DB}),
    ("POST", "/networks/bridge/connect", {"Container": WEB, "EndpointConfig": {"Aliases": ["x"]}}),
    (
        "POST",
        "/networks/bridge/connect",
        {"Container": WEB, "EndpointConfig": _at("10.0.0.1")},
    ),
    ("POST", JOIN, {"Container": DB, "EndpointConfig": _at("x")}),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": {"IPAMConfig": {"IPv6Address": "10.0.0.1"}}},
    ),
    ("POST", JOIN, {"Container": DB, "EndpointConfig": {"IPAMConfig": {"LinkLocalIPs": ["x"]}}}),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": _at("10.1.0.1")},
    ),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": _at("10.213.0.77")},
    ),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": _at("10.213.0.1")},
    ),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": _at("10.213.1.0")},
    ),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": _at("10.213.0.0")},
    ),
    (
        "POST",
        f"/networks/{NET}/connect",
        {"Container": DB, "EndpointConfig": _at("10.213.255.255")},
    ),
    ("POST", JOIN, {"Container": DB, "EndpointConfig": {"MacAddress": "x"}}),
    ("POST", f"/networks/{OTHER}/disconnect", {"Container": WEB}),
    ("POST", "/networks/nosuch/disconnect", {"Container": WEB}),
    ("POST", f"/networks/{NET}/disconnect", {"Container": "nosuch"}),
    ("POST", f"/networks/{NET}/disconnect", {"Container": "nosuch", "Force": True}),
    ("POST", "/networks/bridge/disconnect", {"Container": WEB}),
    *(
        ("POST", f"/containers/create?name={BAD}", body)
        for body in (
            _container(NET, {NET: {"IPAMConfig": {"IPv4Address": "x"}}}),
            _container(NET, {NET: {"IPAMConfig": {"IPv4Address": "10.1.0.1"}}}),
            _container(NET, {NET: {"MacAddress": "x"}}),
            _container("bridge", {"bridge": {"Aliases": ["x"]}}),
            _container("bridge", {"bridge": {"IPAMConfig": {"IPv4Address": "10.0.0.1"}}}),
            _container("host", {"host": {"IPAMConfig": {"IPv4Address": "10.0.0.1"}}}),
            _container(NET, {NET: {}, "host": {}}),
            _container(f"container:{WEB}", HostConfig={"PortBindings": PUBLISHED}),
            _container(f"container:{WEB}", ExposedPorts={"80/tcp": {}}),
            _container(f"container:{WEB}", Hostname="x"),
            _container(f"container:{WEB}", HostConfig={"Dns": ["10.0.0.1"]}),
            _container(f"container:{WEB}", HostConfig={"ExtraHosts": ["a:10.0.0.1"]}),
            _container(f"container:{WEB}", HostConfig={"Links": [WEB]}),
            _container("container:nosuch"),
            _container("container:"),
            _container("bridge", HostConfig={"PortBindings": {"80/foo": [{"HostPort": "1"}]}}),
            _container("bridge", HostConfig={"PortBindings": {"x/tcp": [{"HostPort": "1"}]}}),
            _container("bridge", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}),
            _container("bridge", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}}),
            _container("bridge", HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "x", "HostPort": "1"}]}}),
            _container("bridge", ExposedPorts={"x": {}}),
            _container("bridge", HostConfig={"Dns": ["x"]}),
            _container("bridge", HostConfig={"ExtraHosts": ["x"]}),
            _container("bridge", HostConfig={"ExtraHosts": ["a:x"]}),
            _container("bridge", HostConfig={"ExtraHosts": ["a:host-gateway"], "Links": ["nosuch"]}),
            _container("host", HostConfig={"Links": [WEB]}),
            _container("bridge", Hostname="x" * 65),
        )
    ),
]


def answers(ask: Ask) -> Iterator[tuple[str, Any]]:
    """Play the scenario: (name of the case, normalised answer). Needs the image BUSYBOX; removes what it makes."""
    _clear(ask)
    try:
        yield from _play(ask)
    finally:
        _clear(ask)


def _clear(ask: Ask) -> None:
    for name in (WEB, DB, BAD):
        ask("DELETE", f"/containers/{name}?force=1")
    for name in (NET, OTHER, CONFIG, BAD):
        ask("DELETE", f"/networks/{name}")


def _play(ask: Ask) -> Iterator[tuple[str, Any]]:
    def case(name: str, method: str, path: str, body: object = None) -> tuple[str, Any]:
        status, value = ask(method, path, body)
        return name, {"request": f"{method} {path}", "status": status, "body": _plain(value)}

    name, builtin = case("builtin", "GET", '/networks?filters={"type":["builtin"]}')
    yield name, builtin | {"body": sorted(builtin["body"], key=lambda one: str(one["Name"]))}  # dockerd: in any order
    yield case("bridge", "GET", "/networks/bridge")
    yield case("create", "POST", "/networks/create", CREATE)
    yield case("create-other", "POST", "/networks/create", {"Name": OTHER, "Internal": True})
    yield case("create-config", "POST", "/networks/create", {"Name": CONFIG, "ConfigOnly": True, "Labels": {"a": "c"}})
    yield case("inspect-config", "GET", f"/networks/{CONFIG}")
    yield case("inspect-empty", "GET", f"/networks/{NET}?verbose=true&scope=local")
    for name, filters in FILTERS.items():
        _, found = ask("GET", f"/networks?filters={filters}")
        yield f"list-{name}", sorted(n["Name"] for n in found if n["Name"].startswith(NET) or n["Name"] == "bridge")
    yield from _with_containers(ask, case)
    yield case("remove", "DELETE", f"/networks/{NET}")
    yield case("prune", "POST", '/networks/prune?filters={"label":["a=c"]}')


FILTERS = {
    "name": f'{{"name":["{NET}"]}}',
    "exact-name": f'{{"name":["^{NET}$"]}}',
    "two-names": '{"name":["net-other","net-config"]}',
    "driver": '{"driver":["bridge"]}',
    "null": '{"driver":["null"]}',
    "label": '{"label":["a"]}',
    "label-value": '{"label":["a=b"]}',
    "labels": '{"label":["a=b","empty"]}',
    "custom": '{"type":["custom"]}',
    "local": '{"scope":["local"]}',
    "swarm": '{"scope":["swarm"]}',
    "dangling": '{"dangling":["true"]}',
    "map": '{"label":{"a=b":true}}',
}


def _with_containers(ask: Ask, case: Any) -> Iterator[tuple[str, Any]]:
    yield case("run-web", "POST", f"/containers/create?name={WEB}", WEB_BODY)
    yield case("web-created", "GET", f"/containers/{WEB}/json")
    yield case("start-web", "POST", f"/containers/{WEB}/start")
    yield case("run-db", "POST", f"/containers/create?name={DB}", DB_BODY)
    yield case("start-db", "POST", f"/containers/{DB}/start")
    yield case("web", "GET", f"/containers/{WEB}/json")
    yield case("db", "GET", f"/containers/{DB}/json")
    yield case("list", "GET", f'/containers/json?filters={{"name":["^/{WEB}$"]}}')
    yield case("inspect", "GET", f"/networks/{NET}")
    yield "errors", list(_errors(ask))
    yield "bad-creates", list(_bad_creates(ask))
    join = {"Container": DB, "EndpointConfig": {"Aliases": ["store"], "Links": [f"{WEB}:front"], "GwPriority": 1}}
    yield case("connect", "POST", f"/networks/{NET}/connect", join)
    yield case("db-on-two", "GET", f"/containers/{DB}/json")
    yield case("rename", "POST", f"/containers/{DB}/rename?name={DB}-2")
    yield case("db-renamed", "GET", f"/containers/{DB}-2/json")
    ask("POST", f"/containers/{DB}-2/rename?name={DB}")
    yield case("disconnect", "POST", f"/networks/{NET}/disconnect", {"Container": DB})
    yield case("db-on-one", "GET", f"/containers/{DB}/json")
    ask("POST", f"/containers/{WEB}/stop?t=1")
    yield case("web-stopped", "GET", f"/containers/{WEB}/json")
    yield case("inspect-stopped", "GET", f"/networks/{NET}")
    for name in (WEB, DB):
        ask("DELETE", f"/containers/{name}?force=1")


def _errors(ask: Ask) -> Iterator[list[Any]]:
    for method, path, body in ERRORS:
        yield [method, path, body, *_told(ask(method, path, body))]
        ask("DELETE", f"/containers/{BAD}?force=1")


def _bad_creates(ask: Ask) -> Iterator[list[Any]]:
    for body in BAD_CREATES:
        yield [body, *_told(ask("POST", "/networks/create", body))]
        for name in (BAD, f"{BAD}%20b"):
            ask("DELETE", f"/networks/{name}")


_NETWORK_PARTS = frozenset(("Config", "HostConfig", "NetworkSettings"))
_HOST_KEYS = frozenset(
    ("NetworkMode", "PortBindings", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "Links", "PublishAllPorts")
)
_CONFIG_KEYS = frozenset(("Hostname", "Domainname", "ExposedPorts", "MacAddress"))
_ID = re.compile(r"[0-9a-f]{64}")
_MARKS = [
    (_ID, "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r"\(docker0\)"), "(<bridge>)"),
    (re.compile(r"br-<short id>"), "<bridge>"),
]


def _plain(value: Any) -> Any:
    """A normalised answer; of a container only what belongs to its networks."""
    if isinstance(value, dict) and "NetworkSettings" in value and "Config" in value:
        value = {name: part for name, part in value.items() if name in _NETWORK_PARTS}
        host = value["HostConfig"]
        keys = (
            "NetworkMode",
            "PortBindings",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "Links",
            "PublishAllPorts",
        )
        value["HostConfig"] = {key: host[key] for key in keys}
        keys = ("Hostname", "Domainname", "ExposedPorts", "MacAddress")
        value["Config"] = {key: part for key, part in value["Config"].items() if key in keys}
    return normalised(_marked(value))


def _marked(value: Any, key: str = "") -> Any:
    """Random ports, and addresses of the machine's own bridge, as marks."""
    if isinstance(value, dict):
        return {_ID.sub("<id>", name): _marked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [_marked(item, key) for item in value]
        return sorted(items, key=repr) if key == "Ports" else items  # dockerd lists them in any order
    if key in {"HostPort", "PublicPort"}:
        return _port(value)
    if isinstance(value, str) and value.startswith("172."):
        return re.sub(r"172\.\d+\.0\.", "172.<n>.0.", value)
    if isinstance(value, str) and value.startswith("02:42:ac:") and value != MAC:
        return "<mac>"
    return value


def _port(value: Any) -> Any:
    """A port of the host, where the daemon has a choice as a mark."""
    number = int(value) if str(value).isdigit() else 0
    if number in range(28182, 28191):
        return "<one of 28182-28190>"
    return "<port>" if number >= 32768 else value


def _told(answer: tuple[int, Any]) -> tuple[int, str]:
    status, value = answer
    text = value["message"] if isinstance(value, dict) and "message" in value else value
    text = text if isinstance(text, str) else repr(normalised(text))
    for pattern, mark in _MARKS:
        text = pattern.sub(mark, text)
    return status, text
