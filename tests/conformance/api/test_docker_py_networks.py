"""Networks by docker-py: what its users call, and what they are told."""

from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.models.networks import Network
from docker.types import EndpointConfig, IPAMConfig, IPAMPool

from support.engine import LABEL
from support.images import BUSYBOX

NAME = "sampan-py-net"
MINE = {LABEL: "api"}
POOL = IPAMPool(
    subnet="10.216.0.0/16", iprange="10.216.1.0/24", gateway="10.216.0.254", aux_addresses={"printer": "10.216.1.0"}
)


@pytest.fixture
def network(client: docker.DockerClient) -> Iterator[Network]:
    """A network with a pool of its own; removed with what is on it."""
    for one in client.networks.list(names=[NAME]):
        one.remove()
    ipam = IPAMConfig(pool_configs=[POOL])
    one = client.networks.create(NAME, driver="bridge", ipam=ipam, labels=MINE, check_duplicate=True)
    yield one
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}=api"}):
        container.remove(force=True)
    for left in client.networks.list(filters={"label": f"{LABEL}=api"}):
        left.remove()


def _sleeper(client: docker.DockerClient, **options: object) -> docker.models.containers.Container:
    return client.containers.run(BUSYBOX, ["sleep", "1000"], detach=True, labels=MINE, stop_signal="KILL", **options)


def test_a_network_is_what_was_asked_for(client: docker.DockerClient, network: Network) -> None:
    network.reload()
    assert (network.name, network.attrs["Driver"], network.attrs["Scope"]) == (NAME, "bridge", "local")
    (pool,) = network.attrs["IPAM"]["Config"]
    assert pool == {
        "Subnet": "10.216.0.0/16",
        "IPRange": "10.216.1.0/24",
        "Gateway": "10.216.0.254",
        "AuxiliaryAddresses": {"printer": "10.216.1.0"},
    }
    assert network.attrs["Labels"] == MINE
    assert client.networks.get(network.id[:12]) == client.networks.get(NAME) == network


def test_networks_are_listed_by_name_id_and_filter(client: docker.DockerClient, network: Network) -> None:
    builtin = {one.name for one in client.networks.list(filters={"type": "builtin"})}
    assert builtin == {"bridge", "host", "none"}
    for found in (
        client.networks.list(names=[NAME]),
        client.networks.list(ids=[network.id]),
        client.networks.list(filters={"label": f"{LABEL}=api"}),
        client.networks.list(filters={"driver": "bridge", "name": NAME}, greedy=True),
    ):
        assert found == [network]


def test_a_container_starts_on_a_network(client: docker.DockerClient, network: Network) -> None:
    wishes = {NAME: EndpointConfig(client.api._version, aliases=["www"], ipv4_address="10.216.0.7")}
    container = _sleeper(client, network=NAME, networking_config=wishes, hostname="shop")
    container.reload()
    (endpoint,) = container.attrs["NetworkSettings"]["Networks"].values()
    assert (endpoint["IPAddress"], endpoint["IPPrefixLen"], endpoint["Gateway"]) == ("10.216.0.7", 16, "10.216.0.254")
    assert endpoint["DNSNames"] == [container.name, "www", container.short_id, "shop"]
    network.reload()
    assert network.containers == [container]
    code, output = container.exec_run(["nslookup", "www"])
    assert (code, b"10.216.0.7" in output) == (0, True)


def test_a_running_container_joins_and_leaves(client: docker.DockerClient, network: Network) -> None:
    container = _sleeper(client)
    network.connect(container, aliases=["late"], ipv4_address="10.216.0.8", driver_opt={"x": "y"})
    container.reload()
    assert sorted(container.attrs["NetworkSettings"]["Networks"]) == ["bridge", NAME]
    assert b"10.216.0.8" in container.exec_run(["ip", "-o", "address"]).output
    network.disconnect(container)
    container.reload()
    assert sorted(container.attrs["NetworkSettings"]["Networks"]) == ["bridge"]
    assert b"10.216.0.8" not in container.exec_run(["ip", "-o", "address"]).output


def test_ports_are_published(client: docker.DockerClient, network: Network) -> None:
    ports = {"80/tcp": ("127.0.0.1", 28380), "81/udp": None, "82/tcp": [28382, 28383]}
    container = _sleeper(client, network=NAME, ports=ports)
    container.reload()
    assert container.ports["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "28380"}]
    assert {binding["HostPort"] for binding in container.ports["82/tcp"]} == {"28382", "28383"}
    assert int(container.ports["81/udp"][0]["HostPort"]) > 1024
    with pytest.raises(APIError, match="port is already allocated"):
        _sleeper(client, network=NAME, ports={"80/tcp": ("127.0.0.1", 28380)})


def test_refusals(client: docker.DockerClient, network: Network) -> None:
    container = _sleeper(client, network=NAME)
    with pytest.raises(APIError, match="already exists") as caught:
        client.networks.create(NAME)
    assert caught.value.status_code == 409
    with pytest.raises(APIError, match="has active endpoints") as caught:
        network.remove()
    assert caught.value.status_code == 403
    with pytest.raises(APIError, match="pre-defined network") as caught:
        client.networks.get("bridge").remove()
    with pytest.raises(NotFound, match="network nosuch not found"):
        client.networks.get("nosuch")
    with pytest.raises(APIError, match=r"no configured subnet or ip-range contain the IP address 10\.9\.9\.9"):
        network.connect(_sleeper(client), ipv4_address="10.9.9.9")
    container.remove(force=True)
    assert client.networks.prune(filters={"label": f"{LABEL}=api"})["NetworksDeleted"] == [NAME]
    with pytest.raises(NotFound):
        network.reload()
