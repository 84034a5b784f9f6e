"""Networks of many: 300 containers on a bridge, more than a bridge takes, and 200 lives in a row that leak nothing."""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sampan.linux import rtnetlink
from sampan.network.bridge import PORTS
from support.doom import Doomed
from support.http import UnixConnection
from support.netlab import netlab
from support.processes import wait_for
from support.seas import Sea, settled

AT_ONCE = 300
IN_A_ROW = 200
LANES = 4
PS_S = 0.5  # for `ps` of 1,000 containers, says the design; here of 300


@pytest.fixture
def sea() -> Iterator[Sea]:
    """A daemon in a lab."""
    with netlab() as lab, Doomed(space=lab.host) as daemon:
        daemon.engine.load_busybox()
        one = Sea(daemon, lab)
        yield one
        settled(one)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_hundred_on_a_bridge(sea: Sea) -> None:
    """All up, found by name, each with an address of its own; also after a crash; then gone."""
    sea.network("back", "10.9.0.0/16")

    def start(number: int) -> str:
        return sea.run("sleep", "1000", name=f"n{number}", network="back", ports={"80/tcp": ""})

    began = time.monotonic()
    with ThreadPoolExecutor(LANES) as pool:
        them = list(pool.map(start, range(AT_ONCE)))
    started = time.monotonic() - began
    listed = timed(sea)
    addresses = {sea.address(one) for one in them}
    assert len(addresses) == AT_ONCE
    assert sea.names(them[0], "n299") == [sea.address(them[-1])]
    sea.daemon.kill()
    began = time.monotonic()
    sea.daemon.start()
    restarted = time.monotonic() - began
    assert {sea.address(one) for one in them} == addresses
    assert sea.names(them[0], "n299") == [sea.address(them[-1])]
    settled(sea)
    began = time.monotonic()
    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(lambda one: sea.ok("DELETE", f"/containers/{one}?force=1"), them))
    removed = time.monotonic() - began
    print(f"\n{AT_ONCE}: started in {started:.1f} s, ps {listed * 1000:.0f} ms, restarted in {restarted:.1f} s, "
          f"removed in {removed:.1f} s")  # fmt: skip
    settled(sea)
    assert listed < PS_S
    sea.ok("DELETE", "/networks/back")


def timed(sea: Sea) -> float:
    """The seconds that `ps` takes."""
    began = time.monotonic()
    assert len(sea.ok("GET", "/containers/json")) == AT_ONCE
    return time.monotonic() - began


@pytest.mark.slow
def test_more_than_a_bridge_takes(sea: Sea) -> None:
    """The last gets a clear error, at once; nothing is left of it; there is room again when one goes."""
    network = sea.network("back", "10.9.0.0/16")
    first = sea.run("sleep", "1000", network="back")
    fill(sea, f"br-{network[:12]}", PORTS - 1)
    with pytest.raises(AssertionError, match=f"is full: the kernel lets {PORTS} containers be connected to one bridge"):
        sea.run("sleep", "1000", name="late", network="back", ports={"80/tcp": "8080"})
    other = sea.run("sleep", "1000", ports={"80/tcp": "8080"})
    status, answered = sea.ask("POST", "/networks/back/connect", {"Container": other})
    assert (status, "is full" in answered["message"]) == (500, True)
    assert set(sea.places(other)) == {"bridge"}
    sea.ok("DELETE", f"/containers/{first}?force=1")
    wait_for(lambda: sea.ask("POST", "/containers/late/start")[0] == 500, "the port is taken, the bridge is not full")
    sea.ok("DELETE", f"/containers/{other}?force=1")
    sea.ok("POST", "/containers/late/start")
    with sea.lab.host.inside(), rtnetlink.Rtnetlink() as links:
        links.delete_links([link.name for link in links.links(kind="veth") if link.name.startswith("fill")])


def fill(sea: Sea, bridge: str, count: int) -> None:
    """Give a bridge so many ports more."""
    with sea.lab.host.inside(), rtnetlink.Rtnetlink() as links:
        found = links.link(bridge)
        assert found is not None
        for number in range(count):
            name = f"fill{number}"
            links.apply([rtnetlink.new_veth(name, f"end{number}", netns=sea.lab.outside.fd, master=found.index)], name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_lives_leak_nothing(sea: Sea) -> None:
    """Of descriptors, links, rows and ports nothing; of memory hardly anything; the limits of programs are as ever."""
    sea.network("back", "10.9.0.0/24")
    shown = (sea.run("sh", "-c", "ulimit -Sn; ulimit -Hn", name="limits"), sea.daemon.engine.docker("logs", "limits"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wait_for(lambda: sea.daemon.engine.docker("logs", "limits").out == f"{soft}\n{hard}\n", f"limits: {shown}")
    own = Path(f"/proc/{sea.daemon.pid}/limits").read_text()
    assert [line.split()[3:5] for line in own.splitlines() if line.startswith("Max open files")] == [[str(hard)] * 2]
    lives(sea, 40)  # warm
    rests(sea)
    descriptors, memory = usage(sea)
    lives(sea, IN_A_ROW)
    rests(sea)
    wait_for(lambda: usage(sea)[0] <= descriptors, f"descriptors {descriptors}, now {usage(sea)[0]}: {opened(sea)}")
    after = usage(sea)[1]
    print(f"\nresident {memory >> 10} MiB before, {after >> 10} MiB after {IN_A_ROW} lives, {descriptors} descriptors")
    assert after < memory + (6 << 10)
    assert after < 64 << 10


def lives(sea: Sea, count: int) -> None:
    """So many containers from creation to end, half on a network with names, all with ports."""
    connection = UnixConnection(str(sea.daemon.socket))
    for number in range(count):
        network = "back" if number % 2 else "bridge"
        body = sea.body("true", network=network, ports={"80/tcp": "8080", "53/udp": ""}, host={"AutoRemove": True})
        status, made = connection.ask("POST", "/containers/create", body)
        assert status == 201, made
        status, answer = connection.ask("POST", f"/containers/{made['Id']}/start")
        assert status == 204, answer
        connection.ask("POST", f"/containers/{made['Id']}/wait?condition=removed")
    connection.close()


def rests(sea: Sea) -> None:
    """Wait until nothing goes on any more."""
    settled(sea)
    wait_for(lambda: not sea.daemon.monitors(), "every monitor has ended")


def usage(sea: Sea) -> tuple[int, int]:
    """The daemon's descriptors and resident memory (KiB)."""
    status = Path(f"/proc/{sea.daemon.pid}/status").read_text()
    return len(os.listdir(f"/proc/{sea.daemon.pid}/fd")), int(status.split("VmRSS:")[1].split()[0])


def opened(sea: Sea) -> list[str]:
    """What the daemon's descriptors are."""
    base = f"/proc/{sea.daemon.pid}/fd"
    return sorted(os.readlink(f"{base}/{number}") for number in os.listdir(base))
