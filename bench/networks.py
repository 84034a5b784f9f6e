"""What networks carry: published ports and containers among themselves, on Sampan and on a current Docker, interleaved.

    PYTHONPATH=tests python bench/networks.py [--quick]

The second half of make bench; SAMPAN_PEER as there. Both engines get a neighbour on a veth; the peer's is taken away
again. dockerd has bridges show frames to rules (br_netfilter); Sampan has no need of it, so its host doesn't.

Senders and receivers are processes of this script in the namespaces of containers and neighbours, one of each at a
time: on two cores that is what the kernel (or docker-proxy) carries in between. On a machine that does something else
too, docker-proxy looks better than it is: it gets a process's share more.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import engines
import run
import work
from support.daemon import Sampand
from support.engine import LABEL, Engine
from support.images import BUSYBOX
from support.netlab import Box, Space, netlab

MB: Final = 1_000_000
PORT, PUBLISHED = 5001, 15001
LINK: Final = "sampanbench"  # the peer's end of its neighbour's veth
NEAR, FAR = "198.18.77.1", "198.18.77.2"  # RFC 2544: for benchmarks

SINK: Final = f"""
import socket, threading
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
def serve(one):
    buffer, total = memoryview(bytearray(1 << 20)), 0
    with one:
        while size := one.recv_into(buffer):
            total += size
        one.sendall(total.to_bytes(8, "big"))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

SEND: Final = """
import socket, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
data = bytes(1 << 20)
with socket.create_connection((host, port)) as one:
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        one.sendall(data)
    one.shutdown(socket.SHUT_WR)
    print(int.from_bytes(one.recv(8), "big") / 1e6 / (time.perf_counter() - start))
"""

CONNECT: Final = """
import socket, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
start, done = time.perf_counter(), 0
while time.perf_counter() - start < seconds:
    with socket.create_connection((host, port)) as one:
        one.sendall(b"x")
        one.shutdown(socket.SHUT_WR)
        one.recv(8)
    done += 1
print(done / (time.perf_counter() - start))
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One engine with a published server, another container and a neighbour."""

    engine: Engine
    host: Space
    outside: Space
    client: Space
    target: str  # the server's address
    address: str  # the host's, for the neighbour

    def sent(self, script: str, way: str, seconds: float) -> float:
        """MB/s, or connections a second."""
        space, host, port = {
            "outside": (self.outside, self.address, PUBLISHED),
            "own address": (self.host, self.address, PUBLISHED),
            "127.0.0.1": (self.host, "127.0.0.1", PUBLISHED),
            "::1": (self.host, "::1", PUBLISHED),
            "container": (self.client, self.target, PORT),
        }[way]
        return float(space.run(sys.executable, "-c", script, host, str(port), str(seconds), timeout=60 + seconds))


@contextlib.contextmanager
def side(engine: Engine, host: Space, outside: Space, address: str) -> Iterator[Side]:
    """Two containers on the default network, one of them published, with a server in it."""
    label = ("--label", f"{LABEL}={engine.token}")
    publish = ("-p", f"{PUBLISHED}:{PORT}")
    ids = [engine.ok("run", "-d", *label, *more, BUSYBOX, "sleep", "100000") for more in (publish, ())]
    boxes = [Box(one[:12], int(engine.look(one, "{{.State.Pid}}"))) for one in ids]
    try:
        server = boxes[0].popen(sys.executable, "-c", SINK, stdout=subprocess.PIPE)
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        target = engine.look(ids[0], "{{.NetworkSettings.IPAddress}}")
        yield Side(engine, host, outside, boxes[1], target, address)
    finally:
        for box in boxes:
            box.close()
        engine.clean()


@contextlib.contextmanager
def neighbour(peer: Engine) -> Iterator[tuple[Space, Space]]:
    """The peer's namespace, and a neighbour of it."""
    host, outside = Box("peer", peer.pid), Space("neighbour")
    try:
        outside.batch(f"link add eth0 type veth peer name {LINK} netns {host.path}")
        host.batch(f"address add {NEAR}/24 dev {LINK}", f"link set {LINK} up")
        outside.batch(f"address add {FAR}/24 dev eth0", "link set eth0 up")
        yield host, outside
    finally:
        with contextlib.suppress(AssertionError):  # it wasn't made
            host.batch(f"link del {LINK}")
        outside.close()
        host.close()


ROWS: Final = (
    ("published port, from outside", SEND, "outside", 1.0),
    ("published port, by the host's own address", SEND, "own address", 1.0),
    ("published port, from 127.0.0.1", SEND, "127.0.0.1", 2.0),
    ("published port, from ::1", SEND, "::1", None),
    ("container to container", SEND, "container", 1.0),
    ("connections to a published port, from outside", CONNECT, "outside", None),
    ("connections to a published port, from 127.0.0.1", CONNECT, "127.0.0.1", None),
)


def carry(mine: Side, theirs: Side | None, runs: int, seconds: float) -> None:
    """Every row of throughput."""
    for name, script, way, budget in ROWS:
        both = [one for one in (mine, theirs) if one]
        medians = run.interleaved(runs, *(partial(one.sent, script, way, seconds) for one in both))
        peer = medians[1] if theirs else None
        unit = "MB/s" if script is SEND else "1/s"
        print(run.Row(name, unit, medians[0], peer, budget, more_is_better=True).text(), flush=True)


def publishing(mine: Engine, theirs: Engine | None, turns: int) -> None:
    """What -p adds to a container's life over the API, on the default bridge: the median of what it added in each turn.

    Several lives of a kind follow one another: what the end of one costs is paid by the next.
    """
    added = [
        statistics.median(_added(*lives) for _ in range(count))
        for lives, count in ((_lives(one), turns * many) for one, many in ((mine, 5), (theirs, 1)) if one)
    ]
    peer = added[1] if theirs else None
    print(run.Row("a published port adds to a container's life", "ms", added[0], peer, limit=1).text(), flush=True)


def _added(*works: Callable[[], float]) -> float:
    plain, published = (statistics.median([work() for _ in range(6)][1:]) for work in works)
    return (published - plain) * 1000


def _lives(engine: Engine) -> list[Callable[[], float]]:
    """Create, start, wait, remove; without a published port and with one."""
    line, plain = work.connect(engine), work.request(engine)
    plain["HostConfig"] = {"NetworkMode": "bridge"}
    bound = {f"{PORT}/tcp": [{"HostPort": str(PUBLISHED + 1)}]}
    published = {
        **plain,
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "HostConfig": {"NetworkMode": "bridge", "PortBindings": bound},
    }
    return [partial(work.api_run, line, plain), partial(work.api_run, line, published)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few runs")
    runs, seconds = (3, 0.5) if parser.parse_args().quick else (11, 1.0)
    peer = engines.find_peer()
    try:
        with netlab() as lab, Sampand(space=lab.host) as sampand, contextlib.ExitStack() as stack:
            for key in ("iptables", "ip6tables"):
                with contextlib.suppress(FileNotFoundError):  # no br_netfilter
                    lab.host.sysctl(f"bridge/bridge-nf-call-{key}", "0")
            sampand.engine.load_busybox()
            print(f"{'':50} {'Sampan':>9} {'peer':>9} {'':5}{'ratio':>7}  {'budget':>11}")
            theirs = None
            if peer:
                theirs = stack.enter_context(side(peer, *stack.enter_context(neighbour(peer)), NEAR))
            with side(sampand.engine, lab.host, lab.outside, lab.HOST4) as mine:
                carry(mine, theirs, runs, seconds)
            publishing(sampand.engine, peer, runs)
    finally:
        if peer:
            peer.close()


if __name__ == "__main__":
    main()
