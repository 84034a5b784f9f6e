"""Published ports while a container's networks change: what is relayed from IPv6, what is left open, what dies."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Iterator

import pytest

from support.daemon import Sampand
from support.engine import Engine
from support.images import BUSYBOX
from support.netlab import Box, Netlab, Space, netlab
from support.processes import wait_for

HOST4, HOST6 = Netlab.HOST4, Netlab.HOST6
HTTPD = ("sh", "-c", "busybox httpd -p [::]:80 -h /etc; sleep 1000")
SAY = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(100)
    server.sendto(sys.argv[3].encode(), client)
"""


@pytest.fixture
def lab() -> Iterator[Netlab]:
    """A host whose bridges show no frames to rules: a relay serves only what the kernel can't translate."""
    with netlab() as one:
        for key in ("iptables", "ip6tables"):
            with contextlib.suppress(FileNotFoundError):  # no br_netfilter
                one.host.sysctl(f"bridge/bridge-nf-call-{key}", "0")
        yield one


@pytest.fixture
def sampand(lab: Netlab) -> Iterator[Sampand]:
    with Sampand(space=lab.host) as one:
        one.engine.load_busybox()
        yield one


def run(engine: Engine, name: str, *arguments: str, command: tuple[str, ...] = HTTPD) -> None:
    engine.ok("run", "-d", "--name", name, *arguments, BUSYBOX, *command)


def fetch(space: Space, host: str, port: int) -> str:
    """What a web server there answers, or how it doesn't."""
    script = f"""
import socket
try:
    with socket.create_connection(({host!r}, {port}), 3) as one:
        one.sendall(b"GET /hostname HTTP/1.0\\r\\n\\r\\n")
        print((one.makefile("rb").read().decode().splitlines() or ["nothing"])[0])
except OSError as error:
    print(type(error).__name__)
"""
    return space.run(sys.executable, "-c", script).strip()


class Client:
    """A client of a UDP port that keeps its socket."""

    def __init__(self, space: Space, host: str, port: int) -> None:
        self.socket = space.call(socket.socket, socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0.5)
        self.place = host, port

    def ask(self) -> str:
        """The answer; "" when there is none."""
        self.socket.sendto(b"?", self.place)
        try:
            return self.socket.recv(100).decode()
        except OSError:
            return ""


def test_a_container_without_networks_leads_nobody_to_the_host(lab: Netlab, sampand: Sampand) -> None:
    engine = sampand.engine
    for address in ("127.0.0.1", "::1"):
        server = lab.host.popen(sys.executable, "-c", SAY, address, "5353", "the host", stdout=-1)
        assert server.stdout is not None and server.stdout.readline()
    run(engine, "web", "-p", "8090:5353/udp", "-p", "8091:80")
    assert fetch(lab.outside, HOST6, 8091).endswith("200 OK")
    client = Client(lab.outside, HOST6, 8090)
    engine.ok("network", "disconnect", "bridge", "web")
    assert [client.ask(), Client(lab.outside, HOST6, 8090).ask(), Client(lab.host, "::1", 8090).ask()] == ["", "", ""]
    assert fetch(lab.outside, HOST6, 8091) == "ConnectionRefusedError"
    engine.ok("network", "create", "--internal", "inner")
    engine.ok("network", "connect", "inner", "web")
    assert [client.ask(), Client(lab.outside, HOST6, 8090).ask()] == ["", ""]


def test_whoever_gets_the_address_next_is_not_relayed_to(lab: Netlab, sampand: Sampand) -> None:
    engine = sampand.engine
    for number in (5, 6):
        engine.ok("network", "create", "--subnet", f"10.{number}.0.0/24", f"n{number}")
    boxes = []

    def answering(name: str, *arguments: str) -> None:
        run(engine, name, "--network", "n5", "--ip", "10.5.0.9", *arguments, command=("sleep", "1000"))
        boxes.append(Box(name, int(engine.look(name, "{{.State.Pid}}"))))
        server = boxes[-1].popen(sys.executable, "-c", SAY, "0.0.0.0", "53", name, stdout=-1)
        assert server.stdout is not None and server.stdout.readline()

    answering("old", "-p", "8090:53/udp")
    client = Client(lab.outside, HOST6, 8090)
    assert client.ask() == "old"
    engine.ok("network", "connect", "n6", "old")
    engine.ok("network", "disconnect", "n5", "old")
    answering("new")
    assert not {client.ask() for _ in range(8)} & {"new"}
    assert Client(lab.outside, HOST6, 8090).ask() == "old"
    for one in boxes:
        one.close()


def test_ipv6_goes_on_by_the_relay_where_the_container_loses_it(lab: Netlab, sampand: Sampand) -> None:
    engine = sampand.engine
    engine.ok("network", "create", "--ipv6", "--subnet", "fd00:6::/64", "both")
    engine.ok("network", "create", "four")
    run(engine, "web", "--network", "both", "-p", "8081:80")
    everywhere = [(lab.outside, HOST6), (lab.outside, HOST4), (lab.host, "::1"), (lab.host, "127.0.0.1")]
    for step in ((), ("connect", "four"), ("disconnect", "both"), ("connect", "both"), ("disconnect", "four")):
        if step:
            engine.ok("network", *step, "web")
        assert [fetch(space, host, 8081)[-6:] for space, host in everywhere] == ["200 OK"] * 4, step


def test_a_port_without_a_place_accepts_nobody_after_a_death_either(lab: Netlab, sampand: Sampand) -> None:
    engine = sampand.engine
    engine.ok("network", "create", "four")
    run(engine, "web", "--network", "four", "-p", "8100:80")
    engine.ok("network", "disconnect", "four", "web")
    assert fetch(lab.outside, HOST6, 8100) == "ConnectionRefusedError"
    sampand.kill()
    sampand.start()
    assert fetch(lab.outside, HOST6, 8100) == "ConnectionRefusedError"
    engine.ok("network", "connect", "four", "web")
    assert fetch(lab.outside, HOST6, 8100).endswith("200 OK")
    sampand.kill()  # its listener lives on in the monitor's socket
    sampand.start()
    assert fetch(lab.outside, HOST6, 8100).endswith("200 OK")


def test_without_a_network(sampand: Sampand) -> None:
    engine = sampand.engine
    engine.ok("network", "create", "four")
    engine.ok("create", "--name", "web", "--network", "four", "-p", "8077:80", BUSYBOX, "sleep", "1000")
    engine.ok("network", "disconnect", "four", "web")
    engine.ok("start", "web")
    run(engine, "none", "--network", "none", command=("sleep", "1000"))
    engine.ok("network", "disconnect", "none", "none")
    assert engine.ok("ps", "-q", "--filter", "name=none") and engine.look("none", "{{.State.Running}}") == "true"
    engine.ok("restart", "-t", "0", "web")


def test_a_flush_is_mended_by_whoever_meets_it_first(lab: Netlab, sampand: Sampand) -> None:
    engine = sampand.engine
    run(engine, "first", "-p", "8300:80")
    for number in range(1, 5):
        lab.host.run("nft", "flush", "ruleset")
        run(engine, f"web{number}", "-p", f"{8300 + number}:80")
        lab.host.run("nft", "flush", "ruleset")
        engine.ok("network", "create", f"n{number}")
        lab.host.run("nft", "flush", "ruleset")
        engine.ok("network", "rm", f"n{number}")
    for number in range(5):
        assert fetch(lab.outside, HOST4, 8300 + number).endswith("200 OK")
    lab.host.run("nft", "flush", "ruleset")
    engine.ok("rm", "-f", "web1")
    wait_for(lambda: "8302" in lab.host.run("nft", "list", "ruleset"), "the table is there")
    assert "8301" not in lab.host.run("nft", "list", "ruleset")
    assert "ERROR" not in sampand.log.read_text()


def test_a_network_that_changes_nothing_takes_no_port_back(lab: Netlab, sampand: Sampand) -> None:
    engine = sampand.engine
    engine.ok("network", "create", "--internal", "inner")
    run(engine, "web", "-p", "8085:80")
    lab.host.run("nft", "reset", "counters")

    def element() -> str:
        listed = json.loads(lab.host.run("nft", "-j", "list", "map", "inet", "sampan", "ports4"))["nftables"]
        return json.dumps(next(one["map"]["elem"] for one in listed if "map" in one))

    fetch(lab.outside, HOST4, 8085)
    before = element()
    engine.ok("network", "connect", "inner", "web")
    engine.ok("network", "disconnect", "inner", "web")
    assert element() == before  # with what it has counted: a new one would begin at nothing
    assert '"packets": 0' not in before
