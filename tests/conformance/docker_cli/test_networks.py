"""Networks by the docker CLI: what flags do, seen from the container, its neighbours, the host and outside.

Each test that needs no machine outside is first proven on a Docker daemon (SAMPAN_TEST_HOST).
"""

import json
import re
from collections.abc import Iterator

import pytest

from support.engine import Answer
from support.images import BUSYBOX
from support.netlab import Netlab, Space
from support.processes import wait_for
from support.site import Site, site


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One engine in one lab for all tests here."""
    with site(mtu=1420) as one:
        yield one


@pytest.fixture
def net(shared_site: Site) -> Iterator[Site]:
    """The same; what the test made there is removed behind it."""
    yield shared_site
    shared_site.clean()


@pytest.fixture
def outside(net: Site) -> Space:
    """A neighbour of the host."""
    if net.outside is None:
        pytest.skip("this engine has no neighbour here")
    return net.outside


# --- published ports --------------------------------------------------------------------------------------------------

BOTH = "{0} -> 0.0.0.0:{1}\n{0} -> [::]:{1}"
FORMS = [
    (["-p", "28480:80"], BOTH.format("80/tcp", 28480)),
    (["-p", "28480:80/udp"], BOTH.format("80/udp", 28480)),
    (["-p", "127.0.0.1:28480:80"], "80/tcp -> 127.0.0.1:28480"),
    (["-p", "0.0.0.0:28480:80"], "80/tcp -> 0.0.0.0:28480"),
    (["-p", "[::1]:28480:80"], "80/tcp -> [::1]:28480"),
    (["-p", "[::]:28480:80"], "80/tcp -> [::]:28480"),
    (["-p", "127.0.0.1:28480-28481:80-81"], "80/tcp -> 127.0.0.1:28480\n81/tcp -> 127.0.0.1:28481"),
    (["-p", "127.0.0.1:28480:80", "-p", "127.0.0.1:28480:80/udp"],
     "80/tcp -> 127.0.0.1:28480\n80/udp -> 127.0.0.1:28480"),
    (["-p", "127.0.0.1:28480:80", "-p", "127.0.0.1:28481:80"],
     "80/tcp -> 127.0.0.1:28480\n80/tcp -> 127.0.0.1:28481"),
    (["-p", "127.0.0.1:28480-28489:80"], "80/tcp -> 127.0.0.1:2848[0-9]"),
    (["-p", "127.0.0.1::80"], "80/tcp -> 127.0.0.1:[0-9]+"),
    (["-p", "80"], "80/tcp -> 0.0.0.0:([0-9]+)\n80/tcp -> [::]:\\1"),
    (["-P", "--expose", "80", "--expose", "7/udp"],
     "7/udp -> 0.0.0.0:([0-9]+)\n7/udp -> [::]:\\1\n80/tcp -> 0.0.0.0:([0-9]+)\n80/tcp -> [::]:\\2"),
    (["-P", "--expose", "80-81"],
     "80/tcp -> 0.0.0.0:([0-9]+)\n80/tcp -> [::]:\\1\n81/tcp -> 0.0.0.0:([0-9]+)\n81/tcp -> [::]:\\2"),
    (["--publish", "published=28480,target=80,protocol=udp"], BOTH.format("80/udp", 28480)),
    (["--expose", "80"], ""),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "expected"), FORMS, ids=[" ".join(flags) for flags, _ in FORMS])
def test_forms_of_publishing(net: Site, flags: list[str], expected: str) -> None:
    name = net.sleeper("web", *flags)
    shown = net.engine.ok("port", name)
    assert re.fullmatch(expected.replace("[::", r"\[::").replace("::1]", r"::1\]").replace("::]", r"::\]"), shown), (
        shown
    )


BAD_PORTS = [
    (["-p", "99999:80"], "invalid hostPort: 99999"),
    (["-p", "80-81:80-82"], "invalid ranges specified for container and host Ports: 80-82 and 80-81"),
    (["-p", "1.2.3:80:80"], "invalid ip address: 1.2.3"),
    (["-p", "80:x"], "invalid containerPort: x"),
    (["-p", "80:80/foo"], "invalid proto: foo"),
    (["-p", "203.0.113.9:28480:80"], "cannot assign requested address"),
]


@pytest.mark.parametrize(("flags", "why"), BAD_PORTS)
def test_ports_that_can_not_be(net: Site, flags: list[str], why: str) -> None:
    answer = net.run(*flags, BUSYBOX, "true")
    assert (answer.code, why.lower() in answer.err.lower()) == (125, True), answer.err  # clients differ in case


def test_a_port_that_another_container_has(net: Site) -> None:
    net.sleeper("first", "-p", "28480:80")
    answer = net.run("-p", "28480:81", BUSYBOX, "true")
    assert answer.code == 125 and "Bind for 0.0.0.0:28480 failed: port is already allocated" in answer.err


def test_a_port_that_a_process_of_the_host_has(net: Site) -> None:
    holder = net.host.popen("busybox", "nc", "-l", "-p", "28480", "-e", "cat")
    wait_for(lambda: "28480" in net.host.run("ss", "-ltn"), "somebody listens")
    answer = net.run("-p", "28480:80", BUSYBOX, "true")
    holder.kill()
    holder.wait()
    assert answer.code == 125 and "28480" in answer.err and "address already in use" in answer.err
    assert net.engine.is_peer or f"process {holder.pid}, busybox, has it" in answer.err
    assert net.run("-p", "28480:80", BUSYBOX, "true").code == 0


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_published_port_from_everywhere(net: Site, outside: Space, kind: str) -> None:
    back = net.network("back", "--ipv6", "--subnet", "fd21:7::/64", "--subnet", "10.221.0.0/16")
    web = net.sleeper("web", "--network", back, "-p", f"28480:80/{kind}")
    neighbour = net.sleeper("neighbour", "--network", back)
    stranger = net.sleeper("stranger")
    net.serve(web)
    near, far = net.space(neighbour), net.space(stranger)
    own = net.space(web)
    for space, address, client in (
        (outside, Netlab.HOST4, Netlab.OUTSIDE4),
        (outside, Netlab.HOST6, Netlab.OUTSIDE6),
        (net.host, Netlab.HOST4, None),
        (net.host, "127.0.0.1", None),
        (net.host, Netlab.HOST6, None),
        (net.host, "::1", None),
        (near, Netlab.HOST4, None),
        (far, Netlab.HOST4, net.address(stranger)),
        (own, Netlab.HOST4, None),
        (own, "10.221.0.1", None),
    ):
        said = net.ask(space, address, 28480, kind)
        assert said.startswith(f"{web} "), f"{space.name} at {address}: {said!r}"
        assert client is None or said == f"{web} {client}"


def test_ports_on_loopback_are_for_the_host_alone(net: Site, outside: Space) -> None:
    web, other = net.sleeper("web", "-p", "127.0.0.1:28480:80", "-p", "28481:81"), net.sleeper("other")
    net.serve(web)
    assert net.ask(net.host, "127.0.0.1", 28480)
    assert net.silent(outside, Netlab.HOST4, 28480)
    assert net.silent(net.space(other), Netlab.HOST4, 28480)
    outside.batch(f"route replace {net.address(web)}/32 via {Netlab.HOST4}")
    assert net.silent(outside, net.address(web), 80)


def test_a_port_answers_only_when_the_application_does(net: Site) -> None:
    web = net.sleeper("web", "-p", "28480:80")
    assert net.silent(net.host, "127.0.0.1", 28480)
    net.serve(web)
    assert net.ask(net.host, "127.0.0.1", 28480)
    net.engine.ok("stop", web)  # the server is this test's own, and goes on
    wait_for(lambda: net.silent(net.host, "127.0.0.1", 28480), "the port is taken back")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_is_free_as_soon_as_its_container_has_ended(net: Site, address: str) -> None:
    for number in range(3):
        web = net.sleeper(f"web{number}", "-p", "28480:80")
        net.serve(web)
        assert net.ask(net.host, address, 28480).startswith(f"{web} ")
        net.engine.ok("rm", "-f", web)


# --- names ------------------------------------------------------------------------------------------------------------


def test_aliases_and_renaming(net: Site) -> None:
    one = net.network("one")
    web = net.sleeper(
        "web", "--network", one, "--network-alias", "www", "--network-alias", "shop", "--hostname", "boat"
    )
    asker, address = net.sleeper("asker", "--network", one), net.address(web, one)
    short = net.engine.look(web, "{{.Id}}")[:12]
    for name in (web, "www", "shop", short, "boat"):
        assert net.finds(asker, name) == {address}, name
    net.engine.ok("rename", web, f"{web}-2")
    assert (net.finds(asker, f"{web}-2"), net.finds(asker, "www"), net.finds(asker, web)) == (
        {address},
        {address},
        set(),
    )
    assert net.place(f"{web}-2", one)["DNSNames"] == [f"{web}-2", "www", "shop", short, "boat"]


def test_an_alias_of_several_has_all_their_addresses(net: Site) -> None:
    one = net.network("one")
    crew = [net.sleeper(f"crew{number}", "--network", one, "--network-alias", "crew") for number in range(3)]
    assert net.finds(crew[0], "crew") == {net.address(name, one) for name in crew}
    net.engine.ok("stop", crew[2])
    assert net.finds(crew[0], "crew") == {net.address(name, one) for name in crew[:2]}


def test_names_end_with_their_network(net: Site) -> None:
    one, two = net.network("one"), net.network("two")
    web, stranger = net.sleeper("web", "--network", one), net.sleeper("stranger", "--network", two)
    assert net.finds(stranger, web) == set()
    assert net.finds(stranger, stranger) == {net.address(stranger, two)}
    assert net.finds(web, f"{web}.{one}") == {net.address(web, one)}
    assert net.silent(net.space(stranger), net.address(web, one), 80)


def test_an_alias_of_200_characters(net: Site) -> None:
    """No DNS name can be that long: it is refused, when the container is made and when it is connected."""
    one, long = net.network("one"), "a" * 200
    text = "no name has a part of more than 63 characters"
    answer = net.run("--network", one, "--network-alias", long, BUSYBOX, "true")
    assert answer.code == 125 and text in answer.err
    web = net.sleeper("web", "--network", one)
    answer = net.engine.docker("network", "connect", "--alias", long, other := net.network("two"), web)
    assert answer.code == 1 and text in answer.err
    net.engine.ok("network", "connect", "--alias", "b" * 63, other, web)


def test_no_aliases_on_the_default_bridge(net: Site) -> None:
    answer = net.run("--network-alias", "x", BUSYBOX, "true")
    assert answer.code == 125 and "network-scoped alias" in answer.err  # newer clients say it themselves


# --- addresses --------------------------------------------------------------------------------------------------------


def test_addresses_as_wished(net: Site) -> None:
    one = net.network("one", "--subnet", "10.221.0.0/16", "--ipv6", "--subnet", "fd21:7::/64")
    flags = ("--ip", "10.221.3.4", "--ip6", "fd21:7::34", "--mac-address", "02:42:00:00:00:07")
    web = net.sleeper("web", "--network", one, *flags)
    link = net.inside(web, "ip address show eth0")
    for text in ("inet 10.221.3.4/16", "inet6 fd21:7::34/64", "link/ether 02:42:00:00:00:07"):
        assert text in link
    place = net.place(web, one)
    assert (place["IPAddress"], place["GlobalIPv6Address"]) == ("10.221.3.4", "fd21:7::34")
    assert (place["Gateway"], place["IPv6Gateway"]) == ("10.221.0.1", "fd21:7::1")
    assert place["IPAMConfig"] == {"IPv4Address": "10.221.3.4", "IPv6Address": "fd21:7::34"}
    routes = net.inside(web, "ip route; ip -6 route")
    assert "default via 10.221.0.1 dev eth0" in routes and "default via fd21:7::1 dev eth0" in routes
    net.engine.ok("restart", "-t", "0", web)
    assert net.address(web, one) == "10.221.3.4"


WRONG_ADDRESSES = [
    (["--ip", "10.221.3.4"], 125, "Address already in use"),
    (["--ip", "10.221.0.1"], 125, "Address already in use"),
    (["--ip", "10.222.0.1"], 125, "no configured subnet or ip-range contain the IP address 10.222.0.1"),
    (["--ip", "x"], 125, "invalid IPv4 address"),
    (["--ip6", "fd21:7::34"], 125, "user specified IP address is supported only when connecting to networks with user"),
    (["--mac-address", "x"], 125, "mac address"),
    (["--network", "nosuch"], 125, "network nosuch not found"),
]


@pytest.mark.parametrize(("flags", "code", "why"), WRONG_ADDRESSES)
def test_addresses_that_can_not_be_had(net: Site, flags: list[str], code: int, why: str) -> None:
    one = net.network("one", "--subnet", "10.221.0.0/16")
    net.sleeper("first", "--network", one, "--ip", "10.221.3.4")
    answer = net.run("--network", one, *flags, BUSYBOX, "true")
    assert (answer.code, why in answer.err) == (code, True), answer.err
    assert net.run("--network", one, BUSYBOX, "true").code == 0


def test_an_address_on_the_default_bridge_is_not_chosen(net: Site) -> None:
    answer = net.run("--ip", "10.9.9.9", BUSYBOX, "true")
    assert answer.code == 125 and "user specified IP address is supported on user defined networks only" in answer.err


# --- files ------------------------------------------------------------------------------------------------------------

DNS = ("--dns", "10.0.0.1", "--dns", "10.0.0.2", "--dns-search", "example.org", "--dns-option", "timeout:3")


def test_dns_flags_on_the_default_bridge(net: Site) -> None:
    lines = net.sh("cat /etc/resolv.conf", *DNS).splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "nameserver 10.0.0.1",
        "nameserver 10.0.0.2",
        "search example.org",
        "options timeout:3",
    ]


def test_dns_flags_on_a_network_with_names(net: Site) -> None:
    lines = net.sh("cat /etc/resolv.conf", "--network", net.network("one"), *DNS).splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "nameserver 127.0.0.11",
        "search example.org",
        "options timeout:3 ndots:0",
    ]


def test_a_dot_ends_the_search(net: Site) -> None:
    assert "search" not in net.sh("grep -v '^#' /etc/resolv.conf", "--dns-search", ".", "--dns", "10.0.0.1")


HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


@pytest.mark.parametrize("more", [(), ("--read-only",)])
def test_hosts_and_hostname(net: Site, more: tuple[str, ...]) -> None:
    flags = ("--hostname", "boat", "--domainname", "sea.org", "--add-host", "a:10.0.0.1", "--add-host", "b=fd00::1")
    script = "cat /etc/hosts /etc/hostname; hostname; ip -o -4 address show eth0 | awk '{print $4}'"
    lines = net.sh(script, *flags, *more)
    address = lines.splitlines()[-1].partition("/")[0]
    own = f"{address}\tboat.sea.org boat\n"
    assert lines.startswith(f"{HOSTS}10.0.0.1\ta\nfd00::1\tb\n{own}boat\nboat\n")


def test_the_hosts_gateway(net: Site) -> None:
    gateway = json.loads(net.engine.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", "bridge"))[0]["Gateway"]
    for flags in ((), ("--network", net.network("one"))):
        assert f"{gateway}\tharbour" in net.sh("cat /etc/hosts", "--add-host", "harbour:host-gateway", *flags)
    assert f"{gateway}\tharbour" not in net.sh("cat /etc/hosts", "--add-host", "other:host-gateway")


def test_the_hosts_gateway_leads_to_the_host(net: Site) -> None:
    net.servers.add(net.host, 28490)
    web = net.sleeper("web", "--add-host", "harbour:host-gateway")
    gateway = net.inside(web, "awk '$2 == \"harbour\" {print $1; exit}' /etc/hosts")
    assert net.ask(net.space(web), gateway, 28490) == f"host {net.address(web)}"


def test_files_of_a_read_only_container_follow_its_networks(net: Site) -> None:
    one = net.network("one")
    web = net.sleeper("web", "--read-only")
    assert "127.0.0.11" not in net.inside(web, "cat /etc/resolv.conf")
    net.engine.ok("network", "connect", one, web)
    assert "nameserver 127.0.0.11" in net.inside(web, "cat /etc/resolv.conf")
    assert net.address(web, one) in net.inside(web, "cat /etc/hosts")
    net.engine.ok("network", "disconnect", one, web)
    own = net.inside(web, "grep -F $HOSTNAME /etc/hosts; true")  # dockerd forgets both
    assert net.engine.is_peer or own == f"{net.address(web)}\t{net.engine.look(web, '{{.Config.Hostname}}')}"


# --- links ------------------------------------------------------------------------------------------------------------


def test_links_on_the_default_bridge(net: Site) -> None:
    db = net.sleeper("db", "--expose", "5432", "--expose", "53/udp", "-e", "POSTGRES_DB=x", "--hostname", "dbhost")
    web = net.sleeper("web", "--link", f"{db}:my-store", "--link", db)
    address = net.address(db)
    hosts = net.inside(web, "cat /etc/hosts")
    assert f"{address}\tmy-store dbhost {db}\n" in hosts and f"{address}\t{db} dbhost\n" in hosts
    found = dict(line.split("=", 1) for line in net.inside(web, "env").splitlines() if line.startswith("MY_STORE"))
    assert found == {
        "MY_STORE_NAME": f"/{web}/my-store",
        "MY_STORE_PORT": f"udp://{address}:53",
        "MY_STORE_PORT_53_UDP": f"udp://{address}:53",
        "MY_STORE_PORT_53_UDP_ADDR": address,
        "MY_STORE_PORT_53_UDP_PORT": "53",
        "MY_STORE_PORT_53_UDP_PROTO": "udp",
        "MY_STORE_PORT_5432_TCP": f"tcp://{address}:5432",
        "MY_STORE_PORT_5432_TCP_ADDR": address,
        "MY_STORE_PORT_5432_TCP_PORT": "5432",
        "MY_STORE_PORT_5432_TCP_PROTO": "tcp",
        "MY_STORE_ENV_POSTGRES_DB": "x",
    }
    shown = json.loads(net.engine.look(web, "{{json .HostConfig.Links}}"))
    assert sorted(shown) == sorted([f"/{db}:/{web}/my-store", f"/{db}:/{web}/{db}"])
    net.engine.ok("rename", db, f"{db}-2")
    assert f"/{db}-2:/{web}/my-store" in net.engine.look(web, "{{json .HostConfig.Links}}")


def test_links_that_can_not_be(net: Site) -> None:
    answer = net.run("--link", "nosuch", BUSYBOX, "true")
    assert answer.code == 125 and "could not get container for nosuch: No such container: nosuch" in answer.err
    net.create("--name", f"idle-{net.engine.token}", BUSYBOX)
    answer = net.run("--link", f"idle-{net.engine.token}:x", BUSYBOX, "true")
    assert answer.code == 125 and "Cannot link to a non running container: /idle" in answer.err


def test_links_on_other_networks_are_names(net: Site) -> None:
    one = net.network("one")
    db = net.sleeper("db", "--network", one)
    web, other = net.sleeper("web", "--network", one, "--link", f"{db}:store"), net.sleeper("other", "--network", one)
    assert net.finds(web, "store") == {net.address(db, one)}
    assert net.finds(other, "store") == set()
    assert net.place(web, one)["Links"] == [f"{db}:store"]


# --- a namespace of two, several networks -----------------------------------------------------------------------------


def test_the_network_of_another_container(net: Site) -> None:
    one = net.network("one")
    owner = net.sleeper("owner", "--network", one, "--hostname", "boat", "--add-host", "a:10.0.0.1")
    guest = net.sleeper("guest", "--network", f"container:{owner}")
    look = "readlink /proc/self/ns/net; hostname; cat /etc/hosts /etc/resolv.conf"
    assert net.inside(guest, look) == net.inside(owner, look)
    assert net.engine.look(guest, "{{.HostConfig.NetworkMode}}") == f"container:{net.engine.look(owner, '{{.Id}}')}"
    assert net.engine.look(guest, "{{json .NetworkSettings.Networks}}") == "{}"
    net.serve(owner)
    assert net.ask(net.space(guest), "127.0.0.1", 80)
    assert net.finds(guest, owner) == {net.address(owner, one)}
    net.engine.ok("stop", owner)
    answer = net.engine.docker("restart", "-t", "0", guest)
    assert answer.code == 1 and "cannot join network of a non running container" in answer.err


def test_several_networks_at_once(net: Site) -> None:
    one, two = net.network("one", "--subnet", "10.221.0.0/16"), net.network("two", "--subnet", "10.222.0.0/16")
    wish = f"name={two},alias=late,ip=10.222.0.9"
    web = net.sleeper("web", "--network", one, "--network", wish, "--network-alias", "early")
    links = net.inside(web, "ip -o -4 address | awk '{print $2, $4}' | sort")
    assert {line.split()[1] for line in links.splitlines()} == {"127.0.0.1/8", "10.222.0.9/16", "10.221.0.2/16"}
    routes = [line for line in net.inside(web, "ip route").splitlines() if line.startswith("default")]
    assert len(routes) == 1
    assert set(json.loads(net.engine.look(web, "{{json .NetworkSettings.Networks}}"))) == {one, two}
    near = net.sleeper("near", "--network", two)
    assert net.finds(near, "late") == {"10.222.0.9"}
    assert net.finds(near, "early") == set()
    answer = net.run("--network", one, "--network", "host", BUSYBOX, "true")
    assert answer.code == 125 and "conflicting options" in answer.err


# --- networks themselves ----------------------------------------------------------------------------------------------


def test_create_with_every_option(net: Site) -> None:
    one = net.network(
        "one", "--driver", "bridge", "--subnet", "10.221.0.0/16", "--ip-range", "10.221.5.0/24",
        "--gateway", "10.221.0.9", "--aux-address", "printer=10.221.5.0", "--aux-address", "router=10.221.5.1",
        "--ipv6", "--subnet", "fd21:7::/64", "--attachable", "--label", "crew=7",
        "-o", "com.docker.network.bridge.name=samtest0",
        "-o", "com.docker.network.driver.mtu=1400", "-o", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1",
    )  # fmt: skip
    (facts,) = json.loads(net.engine.ok("network", "inspect", one))
    assert facts["IPAM"]["Config"] == [
        {
            "Subnet": "10.221.0.0/16",
            "IPRange": "10.221.5.0/24",
            "Gateway": "10.221.0.9",
            "AuxiliaryAddresses": {"printer": "10.221.5.0", "router": "10.221.5.1"},
        },
        {"Subnet": "fd21:7::/64"},
    ]
    assert (facts["EnableIPv6"], facts["Attachable"], facts["Internal"]) == (True, True, False)
    assert facts["Labels"]["crew"] == "7" and facts["Options"]["com.docker.network.driver.mtu"] == "1400"
    (bridge,) = net.host.ip("address", "show", "dev", "samtest0")
    addresses = {one["local"] for one in bridge["addr_info"] if one["scope"] == "global"}
    assert (bridge["mtu"], addresses) == (1400, {"10.221.0.9", "fd21:7::1"})
    web = net.sleeper("web", "--network", one, "-p", "28480:80")
    assert net.address(web, one) == "10.221.5.2"
    assert "mtu 1400" in net.inside(web, "ip link show eth0")
    assert "80/tcp -> 127.0.0.1:28480" in net.engine.ok("port", web)
    (facts,) = json.loads(net.engine.ok("network", "inspect", one))
    (shown,) = facts["Containers"].values()
    assert (shown["Name"], shown["IPv4Address"], shown["IPv6Address"]) == (web, "10.221.5.2/16", "fd21:7::2/64")


def test_an_internal_network_leads_nowhere(net: Site, outside: Space) -> None:
    inner = net.network("inner", "--internal")
    web, near = net.sleeper("web", "--network", inner, "-p", "28480:80"), net.sleeper("near", "--network", inner)
    net.serve(web)
    net.servers.add(outside, 28491)
    assert "default" not in net.inside(web, "ip route")
    assert net.ask(net.space(near), net.address(web, inner), 80)
    assert net.engine.ok("port", web) == ""
    space = net.space(web)
    space.batch(f"route add default via {net.place(web, inner)['IPAddress'].rpartition('.')[0]}.1")
    assert net.silent(space, Netlab.OUTSIDE4, 28491)


def test_a_container_reaches_the_world_through_the_host(net: Site, outside: Space) -> None:
    net.servers.add(outside, 28492)
    web = net.space(net.sleeper("web"))
    assert net.ask(web, Netlab.OUTSIDE4, 28492) == f"outside {Netlab.HOST4}"


def test_two_networks_are_apart(net: Site) -> None:
    one, two = net.network("one"), net.network("two")
    web, stranger = net.sleeper("web", "--network", one), net.sleeper("stranger", "--network", two)
    plain = net.sleeper("plain")
    net.serve(web)
    for name in (stranger, plain):
        assert net.silent(net.space(name), net.address(web, one), 80), name
    net.engine.ok("network", "connect", one, stranger)
    assert net.ask(net.space(stranger), net.address(web, one), 80)


def test_no_traffic_within(net: Site) -> None:
    quiet = net.network("quiet", "-o", "com.docker.network.bridge.enable_icc=false")
    web, near = net.sleeper("web", "--network", quiet), net.sleeper("near", "--network", quiet)
    net.serve(web)
    assert net.silent(net.space(near), net.address(web, quiet), 80)


def test_connect_and_disconnect_live(net: Site) -> None:
    one = net.network("one", "--subnet", "10.221.0.0/16")
    db, web, near = net.sleeper("db", "--network", one), net.sleeper("web"), net.sleeper("near", "--network", one)
    flags = ("--alias", "www", "--alias", "shop", "--ip", "10.221.7.7", "--link", f"{db}:store")
    net.engine.ok("network", "connect", *flags, one, web)
    assert "inet 10.221.7.7/16" in net.inside(web, "ip address show eth1")
    assert (net.finds(near, "www"), net.finds(near, "shop")) == ({"10.221.7.7"}, {"10.221.7.7"})
    assert net.finds(web, "store") == {net.address(db, one)}
    assert net.place(web, one)["Aliases"] == ["www", "shop"]
    again = net.engine.docker("network", "connect", one, web)
    assert again.code == 1 and f"endpoint with name {web} already exists in network {one}" in again.err
    net.engine.ok("network", "disconnect", one, web)
    assert "eth1" not in net.inside(web, "ip link") and net.finds(near, "www") == set()
    assert "10.221." not in net.inside(web, "cat /etc/hosts")
    again = net.engine.docker("network", "disconnect", one, web)
    assert again.code == 1 and f"is not connected to network {one}" in again.err
    net.engine.ok("network", "disconnect", "bridge", web)
    assert net.inside(web, "ip -o link | grep -v ' lo:' | grep -c eth; true") == "0"


def test_ports_follow_the_default_route(net: Site) -> None:
    one = net.network("one")
    web = net.sleeper("web", "-p", "28480:80")
    net.serve(web)
    net.engine.ok("network", "connect", one, web)
    assert net.ask(net.host, "127.0.0.1", 28480)
    net.engine.ok("network", "disconnect", "bridge", web)
    assert net.engine.is_peer or net.ask(net.host, "127.0.0.1", 28480)


def test_connected_while_it_does_not_run(net: Site) -> None:
    one = net.network("one")
    name = net.create("--name", f"idle-{net.engine.token}", BUSYBOX, "sleep", "1000")
    net.engine.ok("network", "connect", "--alias", "www", one, name)
    assert net.place(name, one)["IPAddress"] == ""
    net.engine.ok("start", name)
    near = net.sleeper("near", "--network", one)
    assert net.finds(near, "www") == {net.address(name, one)}
    net.engine.ok("kill", name)


REFUSALS = [
    ("network create bridge", "operation is not permitted on predefined bridge network"),
    ("network create none", "operation is not permitted on predefined none network"),
    ("network create host", "operation is not permitted on predefined host network"),
    ("network create default", "operation is not permitted on predefined default network"),
    ("network create ONE", "network with name ONE already exists"),
    ("network create --subnet 10.221.4.0/24 x", "Pool overlaps with other one on this address space"),
    ("network create --subnet 10.222.0.0/16 --gateway 10.223.0.1 x", "gateway 10.223.0.1"),
    ("network create -d nosuch x", 'plugin "nosuch" not found'),
    ("network rm bridge", "bridge is a pre-defined network and cannot be removed"),
    ("network rm ONE", "has active endpoints"),
    ("network rm nosuch", "network nosuch not found"),
    ("network connect nosuch WEB", "network nosuch not found"),
    ("network connect ONE nosuch", "No such container: nosuch"),
    ("network connect --ip 10.9.9.9 ONE PLAIN", "no configured subnet or ip-range contain the IP address 10.9.9.9"),
    ("network connect --ip 10.221.0.2 ONE PLAIN", "Address already in use"),
    ("network connect host WEB", "container cannot be disconnected from host network or connected to host network"),
    (
        "network connect none WEB",
        "container cannot be connected to multiple networks with one of the networks in private",
    ),
    ("network inspect nosuch", "network nosuch not found"),
]


def test_refusals(net: Site) -> None:
    one = net.network("one", "--subnet", "10.221.0.0/16")
    web, plain = net.sleeper("web", "--network", one), net.sleeper("plain")
    names = {"ONE": one, "WEB": web, "PLAIN": plain}
    for line, why in REFUSALS:
        answer: Answer = net.engine.docker(*(names.get(word, word) for word in line.split()))
        assert answer.code == 1 and why.replace("ONE", one) in answer.err, (line, answer)
    shown = list(json.loads(net.engine.look(plain, "{{json .NetworkSettings.Networks}}")))
    assert net.engine.is_peer or shown == ["bridge"]  # dockerd lists one where it got no address


def test_prune_keeps_what_is_in_use(net: Site) -> None:
    used, idle = net.network("used"), net.network("idle")
    net.sleeper("web", "--network", used)
    label = f"label=sampan.test={net.engine.token}"
    said = net.engine.ok("network", "prune", "-f", "--filter", label)
    assert idle in said and used not in said
    assert net.engine.docker("network", "inspect", idle).code == 1


def test_the_networks_of_none_and_host(net: Site) -> None:
    for mode in ("none", "host"):
        name = net.sleeper(mode, "--network", mode)
        assert net.engine.look(name, "{{.HostConfig.NetworkMode}}") == mode
        place = net.place(name, mode)
        assert (place["IPAddress"], place["Gateway"], place["MacAddress"]) == ("", "", "")
        assert re.fullmatch("[0-9a-f]{64}", place["NetworkID"]) and re.fullmatch("[0-9a-f]{64}", place["EndpointID"])
        assert net.engine.look(name, "{{json .NetworkSettings.Ports}}") == "{}"
        (facts,) = json.loads(net.engine.ok("network", "inspect", mode))
        assert name in [one["Name"] for one in facts["Containers"].values()]
    assert net.inside(name, "readlink /proc/self/ns/net") == net.host.run("readlink", "/proc/self/ns/net").strip()


def test_the_default_bridge_from_inside(net: Site) -> None:
    web = net.sleeper("web")
    place, view = net.place(web), net.inside(web, "ip -4 address show eth0; ip route")
    assert f"inet {place['IPAddress']}/{place['IPPrefixLen']} brd " in view
    assert f"default via {place['Gateway']} dev eth0" in view
    assert place["MacAddress"] in net.inside(web, "cat /sys/class/net/eth0/address")
    (facts,) = json.loads(net.engine.ok("network", "inspect", "bridge"))
    assert facts["Containers"][net.engine.look(web, "{{.Id}}")]["IPv4Address"].startswith(place["IPAddress"] + "/")
    assert net.engine.look(web, "{{.NetworkSettings.IPAddress}}") == place["IPAddress"]
    mtu = int(net.inside(web, "cat /sys/class/net/eth0/mtu"))
    assert net.engine.is_peer or mtu == net.host.ip("link", "show", "eth0")[0]["mtu"] == 1420
