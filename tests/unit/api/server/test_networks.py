"""The routes of networks: what the engine is asked, what the client is answered, and what older versions get."""

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.api import schema
from sampan.api.schema import ContainerCreate, EndpointSettings, NetworkConnect, NetworkCreateRequest
from sampan.api.server import versions
from sampan.api.server.messages import RequestError

from .fake import Bench
from .test_http import run

VERBOSE = 'invalid value for verbose: maybe: strconv.ParseBool: parsing "maybe": invalid syntax'
NO_STRING = "invalid JSON: json: cannot unmarshal number into Go struct field {} of type string"
ON_NETWORK = EndpointSettings(aliases=["a"], ipam_config=schema.EndpointIPAMConfig(ipv4_address="10.0.0.2"))
CONNECT: dict[str, Any] = {
    "Container": "c",
    "EndpointConfig": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}},
}
CREATE: dict[str, Any] = {
    "Name": "n",
    "CheckDuplicate": True,
    "EnableIPv4": False,
    "EnableIPv6": True,
    "IPAM": {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "10.0.0.0/16", "IPRange": "10.0.1.0/24", "AuxiliaryAddresses": {"a": "10.0.0.9"}}],
    },
    "ConfigFrom": {"Network": "other"},
    "Labels": None,
}
POOL = schema.IPAMConfig(subnet="10.0.0.0/16", ip_range="10.0.1.0/24", auxiliary_addresses={"a": "10.0.0.9"})
CREATED = NetworkCreateRequest(
    name="n",
    enable_ipv4=False,
    enable_ipv6=True,
    ipam=schema.IPAM(driver="default", config=[POOL]),
    config_from=schema.ConfigReference(network="other"),
)

# method, target, body, status, answer (None: no body), what the engine was asked
ASKED: list[tuple[str, str, Any, int, Any, list[Any]]] = [
    ("POST", "/networks/create", CREATE, 201, {"Id": "n" * 64, "Warning": ""}, [("create", (CREATED,))]),
    ("POST", "/networks/create", {"Name": 5}, 400, NO_STRING.format("NetworkCreateRequest.Name"), []),
    ("POST", "/networks/n/connect", {"Container": 5}, 400, NO_STRING.format("NetworkConnect.Container"), []),
    (
        "POST",
        "/networks/n/connect",
        CONNECT,
        200,
        None,
        [
            (
                "connect",
                (
                    "n",
                    NetworkConnect(container="c", endpoint_config=ON_NETWORK),
                ),
            )
        ],
    ),
    ("POST", "/networks/n/connect", None, 200, None, [("connect", ("n", NetworkConnect()))]),
    (
        "POST",
        "/networks/n/disconnect",
        {"Container": "c", "Force": True},
        200,
        None,
        [("disconnect", ("n", schema.NetworkDisconnect(container="c", force=True)))],
    ),
    ("DELETE", "/networks/n", None, 204, None, [("remove", ("n", "DELETE /networks/n"))]),
    (
        "POST",
        '/networks/prune?filters={"until":["1h"]}',
        None,
        200,
        {"NetworksDeleted": None},
        [("prune", ({"until": ["1h"]},))],
    ),
    ("GET", "/networks/n?verbose=maybe", None, 400, VERBOSE, []),
    ("GET", "/networks?filters=x", None, 400, "invalid filter", []),
    (
        "GET",
        "/sampan/v1/containers/c/ports",
        None,
        200,
        [{"Port": "80/tcp", "Published": "0.0.0.0:8080", "Who": "anybody", "Verdict": "yes", "Rule": "x"}],
        [("explain_ports", ("c",))],
    ),
]


@pytest.mark.parametrize(("method", "target", "body", "status", "answer", "calls"), ASKED)
def test_asked(tmp_path: Path, method: str, target: str, body: Any, status: int, answer: Any, calls: list[Any]) -> None:
    async def play() -> None:
        async with Bench(tmp_path) as bench:
            raw_body = None if body is None else json.dumps(body).encode()
            got, raw = await bench.ask(method, target.replace('"', "%22"), raw_body)
            assert got == status, raw
            expected = {"message": answer} if isinstance(answer, str) else answer
            assert (json.loads(raw) if raw else None) == expected
            assert bench.engine.calls == calls

    run(play())


RESOURCE = {
    "Name": "n",
    "Id": "",
    "Created": "0001-01-01T00:00:00Z",
    "Scope": "local",
    "Driver": "",
    "EnableIPv4": True,
    "EnableIPv6": False,
    "IPAM": {"Driver": "", "Options": None, "Config": None},
    "Internal": False,
    "Attachable": False,
    "Ingress": False,
    "ConfigFrom": {"Network": ""},
    "ConfigOnly": False,
    "Containers": {"c": {"Name": "web", "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""}},
    "Options": {},
    "Labels": {},
}
OLD = {name: value for name, value in RESOURCE.items() if name != "EnableIPv4"}


@pytest.mark.parametrize(("version", "expected"), [("/v1.48", RESOURCE), ("/v1.47", OLD), ("", RESOURCE)])
def test_inspect(tmp_path: Path, version: str, expected: Any) -> None:
    async def play() -> None:
        async with Bench(tmp_path) as bench:
            _, raw = await bench.ask("GET", f"{version}/networks/n?verbose=true&scope=local")
            assert list(json.loads(raw).items()) == list(expected.items())
            assert bench.engine.calls == [("inspect", ("n", True, "local"))]

    run(play())


def test_list_has_containers_for_old_clients_only(tmp_path: Path) -> None:
    async def play() -> None:
        async with Bench(tmp_path) as bench:
            for version, expected in (("1.28", [{}, {}]), ("1.27", [OLD["Containers"]])):  # "gone" went in between
                _, raw = await bench.ask("GET", f"/v{version}/networks")
                assert [network["Containers"] for network in json.loads(raw)] == expected

    run(play())


MAC, OTHER = "02:00:00:00:00:09", "02:00:00:00:00:08"
WHERE = (
    "if a container-wide MAC address is supplied, HostConfig.NetworkMode must match the identity of a network in "
    "NetworkSettings.Networks"
)
TWICE = (
    "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty"
)
WITHOUT = "conflicting options: mac-address and the network mode"
MANY = "Container cannot be created with multiple network endpoints: a, b"
NOTICE = "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."

# As dockerd 26.1 does: API version, the container's MAC, NetworkMode, MACs of endpoints → MACs, warnings | an error
MACS: list[tuple[tuple[int, int], str, str, dict[str, str], Any]] = [
    ((1, 45), MAC, "", {}, ({"default": MAC}, [NOTICE])),
    ((1, 45), MAC, "default", {"default": ""}, ({"default": MAC}, [NOTICE])),
    ((1, 45), MAC, "default", {"bridge": ""}, ({"bridge": MAC}, [NOTICE])),
    ((1, 45), MAC, "bridge", {"default": ""}, WHERE),
    ((1, 45), MAC, "a", {"b": ""}, WHERE),
    ((1, 45), MAC, "a", {"a": OTHER}, TWICE),
    ((1, 45), MAC, "a", {"a": MAC, "b": ""}, ({"a": MAC, "b": ""}, [NOTICE])),
    ((1, 45), MAC, "none", {}, ({}, [NOTICE])),
    ((1, 45), "", "a", {"a": OTHER}, ({"a": OTHER}, [])),
    ((1, 43), MAC, "", {}, ({"default": MAC}, [])),
    ((1, 43), MAC, "a", {"a": OTHER}, ({"a": MAC}, [])),
    ((1, 43), MAC, "a", {"b": ""}, ({"b": MAC}, [])),
    ((1, 43), "", "a", {"a": OTHER}, ({"a": ""}, [])),
    ((1, 43), MAC, "none", {}, WITHOUT),
    ((1, 43), MAC, "container:x", {}, WITHOUT),
    ((1, 43), "", "a", {"a": "", "b": ""}, MANY),
]


@pytest.mark.parametrize(("version", "mac", "mode", "endpoints", "expected"), MACS)
def test_a_container_wide_mac_address(
    version: tuple[int, int], mac: str, mode: str, endpoints: dict[str, str], expected: Any
) -> None:
    config = {name: EndpointSettings(mac_address=its) for name, its in endpoints.items()}
    body = ContainerCreate(
        mac_address=mac,
        host_config=schema.HostConfig(network_mode=mode),
        networking_config=schema.NetworkingConfig(endpoints_config=config),
    )
    if isinstance(expected, str):
        with pytest.raises(RequestError) as caught:
            versions.container_create(body, version)
        assert str(caught.value) == expected
        return
    warnings = versions.container_create(body, version)
    found = body.networking_config.endpoints_config or {}
    assert ({name: endpoint.mac_address for name, endpoint in found.items()}, warnings) == expected
    assert body.mac_address == ""


def test_enable_ipv4_is_not_known_before_1_48() -> None:
    assert versions.network_create(NetworkCreateRequest(enable_ipv4=False), (1, 47)).enable_ipv4 is None
    assert versions.network_create(NetworkCreateRequest(enable_ipv4=False), (1, 48)).enable_ipv4 is False
