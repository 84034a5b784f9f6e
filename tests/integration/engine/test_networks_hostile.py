"""Requests and containers that mean networks ill: refused in one sentence, and nothing is left of them."""

from typing import Any

import pytest

from support.images import BUSYBOX

SLEEP = ("sleep", "100000")
BRIDGE = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"

REFUSED_NETWORKS: list[tuple[dict[str, Any], str]] = [
    ({"Options": {BRIDGE: "%d"}}, 'invalid bridge name "%d"'),
    ({"Options": {BRIDGE: ".."}}, 'invalid bridge name ".."'),
    ({"Options": {BRIDGE: "a/b"}}, 'invalid bridge name "a/b"'),
    ({"Options": {BRIDGE: "a" * 16}}, f'invalid bridge name "{"a" * 16}"'),
    ({"Options": {MTU: "10"}}, "invalid MTU number: 10"),
    ({"IPAM": {"Config": [{"Subnet": "224.0.0.0/8"}]}}, "no container can have an address of 224.0.0.0/8"),
    ({"IPAM": {"Config": [{"Subnet": "127.0.0.0/8"}]}}, "no container can have an address of 127.0.0.0/8"),
    ({"IPAM": {"Config": [{"Subnet": f"10.{n // 250}.{n % 250}.0/24"} for n in range(5000)]}}, "at most 64 subnets"),
]

LINES: list[tuple[dict[str, Any], str]] = [
    ({"Hostname": "x\n6.6.6.6 evil"}, "invalid hostname"),
    ({"Domainname": "x\n6.6.6.6 evil"}, "invalid domainname"),
    ({"HostConfig": {"ExtraHosts": ["a\n6.6.6.6 x:1.1.1.1"]}}, "invalid add-host"),
    ({"HostConfig": {"DnsSearch": ["a\nnameserver 6.6.6.6"]}}, "invalid dns-search"),
]


@pytest.mark.parametrize(("body", "text"), REFUSED_NETWORKS)
def test_a_network_that_no_kernel_has(engine: Any, body: dict[str, Any], text: str) -> None:
    status, answer = engine.ask("POST", "/networks/create", {"Name": "ill", **body})
    assert (status, text in answer["message"]) == (400, True), answer
    assert engine.ask("GET", "/networks/ill")[0] == 404


@pytest.mark.parametrize(("body", "text"), LINES)
def test_a_text_of_several_lines(engine: Any, body: dict[str, Any], text: str) -> None:
    status, answer = engine.ask("POST", "/containers/create", {"Image": BUSYBOX, "Cmd": ["true"], **body})
    assert (status, text in answer["message"]) == (400, True), answer


def test_a_container_that_deleted_its_interface_is_connected_and_taken_off_again(engine: Any) -> None:
    for name in ("first", "second"):
        engine.ok("POST", "/networks/create", {"Name": name})
    host = {"NetworkMode": "first", "CapAdd": ["NET_ADMIN"]}
    one = engine.run("sh", "-c", "ip link del eth0; exec sleep 100000", host=host)
    engine.ok("POST", "/networks/second/connect", {"Container": one})
    mine = engine.ok("GET", f"/containers/{one}/json")["NetworkSettings"]["Networks"]["second"]["IPAddress"]
    other = engine.run(*SLEEP, host={"NetworkMode": "second"})
    theirs = engine.ok("GET", f"/containers/{other}/json")["NetworkSettings"]["Networks"]["second"]["IPAddress"]
    assert mine != theirs
    engine.ok("POST", "/networks/second/disconnect", {"Container": one})
    assert list(engine.ok("GET", "/networks/second")["Containers"]) == [other]
