"""Networks and ports: `sampan` prints what `docker` prints on the same daemon: stdout, stderr and exit code."""

import re
import shlex
from collections.abc import Iterator

import pytest

from .conftest import IMAGE, Clients

SUBNETS = ("--subnet", "10.211.0.0/16", "--ip-range", "10.211.1.0/24", "--gateway", "10.211.0.1")
SUBNETS += ("--aux-address", "a=10.211.0.9", "--ipv6", "--subnet", "fd21:1::/64")
WEB = "--expose 9000-9003 --expose 7/udp -p 28080-28083:80-83 -p 127.0.0.1:28090:90 -p 28091:91/udp"
WEB += " -p 28100:28100 -p 28101:28101 -p 28103:28103 -p [::1]:28104:104 -p 92"
SLEEPERS = {
    "clitest-web": f"--network clitest-a --network-alias al --ip 10.211.0.5 {WEB}",
    "clitest-host": "--network host",
    "clitest-joined": "--network container:clitest-web",
    "clitest-two": "--network clitest-9 --network clitest-10 --hostname h --dns 10.0.0.1 --add-host a:10.0.0.2",
}
NETWORKS = ("clitest-a", "clitest-9", "clitest-10")


@pytest.fixture(scope="module")
def town(clients: Clients) -> Iterator[Clients]:
    """The clients, with three networks and a container for each way to be on one."""
    _tear_down(clients)
    name = ("-o", "com.docker.network.bridge.name=clitest0")
    clients.docker("network", "create", *SUBNETS, *name, "--label", "a.b-c=d", "clitest-a")
    clients.docker("network", "create", "--internal", "clitest-10")
    clients.docker("network", "create", "clitest-9")
    try:
        for container, flags in SLEEPERS.items():
            argv = ["run", "-d", "--name", container, *shlex.split(flags), IMAGE, "sleep", "10000"]
            assert not (done := clients.docker(*argv)).code, done
        yield clients
    finally:
        _tear_down(clients)


def _tear_down(clients: Clients) -> None:
    clients.docker("rm", "-f", *SLEEPERS)
    clients.docker("network", "rm", *NETWORKS)


LOOKS = """
network ls
network ls -q
network ls --no-trunc
network ls --format json
network ls --format raw
network ls -q --format raw
network ls -q --format '{{.Name}}'
network ls --format 'table {{.ID}}\\t{{.Name}}\\t{{.IPv6}}\\t{{.Internal}}\\t{{.CreatedAt}}\\t{{.Label "a.b-c"}}'
network ls -f driver=bridge -f name=clitest
network ls -f label=a.b-c=d
network ls -f type=builtin --format '{{.Name}} {{.Scope}} {{.Driver}}'
network ls -f dangling=true -f name=clitest
network list -f scope=local
network inspect clitest-a
network inspect -v clitest-9 clitest-10
network inspect -f '{{.IPAM.Config}} {{.IPAM.Driver}} {{.IPAM.Options}} {{.Labels}}' clitest-a clitest-10 none
network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{.IPRange}} {{.AuxAddress}} {{end}}' clitest-a none
network inspect -f '{{(index .IPAM.Config 0).Subnet}}' clitest-a
network inspect -f '{{(index .IPAM.Config 0).Subnet}}' none
network inspect -f '{{.IPAM}} {{.ConfigFrom}} {{.Peers}} {{.Services}} {{.EnableIPv4}}' clitest-a none
network inspect -f '{{.ID}} {{.Created}} {{.Scope}} {{.Internal}}' clitest-10
network inspect -f '{{.Id}}' clitest-10
network inspect -f '{{json .}}' clitest-a
network inspect -f '{{.}}' clitest-10
network inspect -f '{{range $k, $v := .Containers}}{{$v.Name}} {{$v.IPv4Address}} {{.MacAddress}}{{end}}' clitest-a
network inspect --format '{{.Containers}}' clitest-a
network inspect -f json clitest-a
inspect clitest-a
inspect --type network clitest-a
inspect -f '{{.Name}} {{.Driver}}' clitest-a clitest-web
inspect -s clitest-a
inspect clitest-web
inspect clitest-two
inspect -f '{{.NetworkSettings.Ports}} {{.HostConfig.PortBindings}}' clitest-web clitest-host clitest-joined
inspect -f '{{.Config.ExposedPorts}} {{.Config.Volumes}} {{json .Config.ExposedPorts}}' clitest-web
inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' clitest-web
inspect -f '{{range $p, $c := .NetworkSettings.Ports}}{{range $c}}{{$p}} {{.HostIP}} {{end}}{{end}}' clitest-web
inspect -f '{{range $p, $c := .NetworkSettings.Ports}}{{range $c}}{{$p}} {{.HostIp}} {{end}}{{end}}' clitest-web
inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}} {{.MacAddress}} {{.IPAMConfig}}{{end}}' clitest-host
inspect -f '{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}} {{.DNSNames}}{{end}}' clitest-web
inspect -f '{{json .NetworkSettings.Ports}} {{json .NetworkSettings.Networks}}' clitest-web
inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.DNS}} {{.HostConfig.ExtraHosts}} {{.Config.Hostname}}' clitest-two
ps -f name=clitest
ps --no-trunc -f name=clitest
ps -f network=clitest-a
ps -f publish=28080 --format '{{.Names}}'
ps -f expose=9000-9003/tcp --format '{{.Names}}'
ps -a --format '{{.Names}} {{.Ports}}' -f name=clitest
port clitest-web
port clitest-web 80
port clitest-web 80/tcp
port clitest-web 91/udp
port clitest-web 92
port clitest-host
port clitest-joined
container port clitest-web
"""

FAULTS = """
network foo
network create
network create a b
network create ''
network create bridge
network create clitest-a
network create -d foo clitest-x
network create --subnet x clitest-x
network create --subnet 10.211.0.0/24 clitest-x
network create --subnet 10.212.0.1/16 clitest-x
network create --subnet 10.212.0.0/16 --gateway 10.212.0.1/16 clitest-x
network create --subnet 10.212.0.0/16 --aux-address a=10.212.0.3/16 clitest-x
network create --subnet 10.212.0.0/16 --ip-range ::ffff:10.212.1.0/120 clitest-x
network create --subnet 'a"b' clitest-x
network create --gateway 10.1.1.1 clitest-x
network create --scope swarm clitest-x
network create --ingress clitest-x
network create --config-from nosuch clitest-x
network create --label =x clitest-x
network create --label 'a b=x' clitest-x
network create --ipv6=x clitest-x
network ls -f foo=x
network ls -f foo
network ls -f dangling=x
network ls --format '{{.Foo}}'
network ls --format '{{.Foo'
network ls x
network inspect
network inspect ''
network inspect nosuch clitest-a
network inspect -f '{{.Foo}}' clitest-a
network inspect -f '{{.Foo' clitest-a
network inspect -f '{{.Name}}' bridge nosuch host
inspect --type network clitest-web
inspect --type network ''
inspect ''
network connect
network connect a
network connect '' ''
network connect clitest-9 ''
network connect nosuch nosuch
network connect nosuch clitest-web
network connect host clitest-web
network connect none clitest-web
network connect clitest-a clitest-web
network connect clitest-10 clitest-host
network connect clitest-9 clitest-joined
network connect --ip 1.2.3.4 clitest-9 clitest-web
network connect --ip foo clitest-9 clitest-web
network connect --alias x bridge clitest-web
network connect --driver-opt a clitest-9 clitest-web
network connect --link a:b:c clitest-9 clitest-web
network connect --gw-priority x clitest-9 clitest-web
network disconnect
network disconnect nosuch nosuch
network disconnect clitest-9 clitest-web
network disconnect nosuch clitest-web
network disconnect host clitest-host
network disconnect -f bridge nosuch
network rm
network rm ''
network rm clitest-a nosuch
network rm host none bridge
network rm -f nosuch
network rm -f bridge
network prune x
network prune --filter foo
network prune -f --filter foo=x
network prune -f --filter until=x
network prune -f --filter label=clitest-nothing
network prune --filter label=clitest-nothing
port
port a b c
port ''
port clitest-web ''
port clitest-web /tcp
port clitest-web 80/TCP
port clitest-web 91
port clitest-web 99
port clitest-web 99999
port clitest-web 9000
run --rm --network nosuch clitest/busybox:1 true
run --rm --network clitest-9 --ip 1.2.3.4 clitest/busybox:1 true
run --rm --network clitest-9 --ip foo clitest/busybox:1 true
run --rm --network clitest-9 --ip6 fd00::1 clitest/busybox:1 true
run --rm --network bridge --ip 1.2.3.4 clitest/busybox:1 true
run --rm --network clitest-a --ip 10.211.0.5 clitest/busybox:1 true
run --rm --network container:nosuch clitest/busybox:1 true
run --rm --network container:clitest-web -p 80:80 clitest/busybox:1 true
run --rm --network container:clitest-web --expose 80 clitest/busybox:1 true
run --rm --network container:clitest-web --hostname x clitest/busybox:1 true
run --rm --network container:clitest-web --dns 1.1.1.1 clitest/busybox:1 true
run --rm --network container:clitest-web --add-host a:1.2.3.4 clitest/busybox:1 true
run --rm --network container:clitest-web --mac-address 02:00:00:00:00:01 clitest/busybox:1 true
run --rm --network host --link clitest-web clitest/busybox:1 true
run --rm --network host -p 80:80 clitest/busybox:1 true
run --rm --network host --mac-address 02:00:00:00:00:01 clitest/busybox:1 true
run --rm --link nosuch clitest/busybox:1 true
run --rm --network clitest-9 --network host clitest/busybox:1 true
run --rm --network name=clitest-9,foo=bar clitest/busybox:1 true
run --rm --dns 127.0.0.1 --network clitest-9 clitest/busybox:1 true
run --rm --add-host a:1.2.3.4 --add-host b=::1 clitest/busybox:1 tail -n 2 /etc/hosts
run --rm --dns 1.1.1.1 --dns-search foo.bar --dns-opt ndots:3 clitest/busybox:1 grep -v '^#' /etc/resolv.conf
run --rm --hostname a --domainname b.c clitest/busybox:1 hostname
"""
HELP = ("create", "ls", "inspect", "connect", "disconnect", "rm", "prune")


@pytest.mark.parametrize("line", [*LOOKS.strip().splitlines(), *FAULTS.strip().splitlines()])
def test_looks_and_faults(town: Clients, line: str) -> None:
    argv = shlex.split(line)
    (town.alike if argv[0] == "run" else town.same)(*argv)


@pytest.mark.parametrize("name", ["", *HELP])
def test_help(clients: Clients, name: str) -> None:
    clients.same("network", *filter(None, [name]), "--help")


def test_help_of_port(clients: Clients) -> None:
    """Docker's, and a flag of our own."""
    expected, got = clients.docker("port", "--help").out, clients.sampan("port", "--help").out
    assert got.startswith(expected.rstrip("\n"))
    assert re.search(r"^      --explain   ", got, re.MULTILINE)


def test_a_life(town: Clients) -> None:
    """Each client leads a network of its own through the same life, and says the same of it."""
    steps = """
        network create --label NAME NAME
        network connect --alias x --ip6 fd00::7 NAME clitest-web
        network connect --alias x --link clitest-two:two NAME clitest-web
        inspect -f '{{with .NetworkSettings.Networks}}{{len .}}{{end}}' clitest-web
        network rm NAME
        network disconnect NAME clitest-web
        network disconnect NAME clitest-web
        create --network NAME --name NAME-c clitest/busybox:1
        inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}|{{.Links}}{{end}}' NAME-c
        network prune -f --filter label=NAME
        rm NAME-c
        network create --label NAME NAME-2
        network prune --filter label=NAME
        network rm NAME-2 NAME-2
    """
    said: dict[str, list[str]] = {"docker": [], "sampan": []}
    for client, run in (("docker", town.docker), ("sampan", town.sampan)):
        name = f"clitest-life-{client[0]}"
        town.docker("rm", "-f", f"{name}-c")
        town.docker("network", "rm", name, f"{name}-2")
        for step in steps.strip().splitlines():
            result = repr(run(*shlex.split(step.replace("NAME", name)), stdin=b"n\n"))
            said[client].append(re.sub("[0-9a-f]{64}", "<id>", result.replace(name, "NAME")))
    assert said["sampan"] == said["docker"]


def test_explain_needs_a_daemon_that_can(town: Clients) -> None:
    """Rows of five columns from sampand; a sentence that says why from any other daemon."""
    result = town.sampan("port", "--explain", "clitest-web")
    if result.code:
        assert "is not a sampand that can" in result.err
    else:
        assert result.out.split("\n")[0].split() == ["PORT", "PUBLISHED", "WHO", "VERDICT", "RULE"]
