"""Many containers: at once, and one after another, without a leak of memory, descriptors, mounts, cgroups or processes.

SAMPAN_MANY scales the numbers (1: 100 at once and 200 in a row; 5 and more: 300 and 1,000).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.daemon import Sampand
from support.http import UnixConnection, load
from support.images import BUSYBOX, busybox_archive
from support.processes import wait_for

SCALE = int(os.environ.get("SAMPAN_MANY", "1"))
AT_ONCE = min(100 * SCALE, 300)
IN_A_ROW = min(200 * SCALE, 1000)
LANES = 10


def body(*command: str) -> dict[str, object]:
    """A request to create a container that removes itself."""
    return {"Image": BUSYBOX, "Cmd": list(command), "HostConfig": {"NetworkMode": "none", "AutoRemove": True}}


def connect(sampand: Sampand) -> UnixConnection:
    """A connection of its own for one lane."""
    return UnixConnection(str(sampand.socket))


def live(connection: UnixConnection) -> None:
    """One container from create to the end, on an open connection."""
    status, made = connection.ask("POST", "/containers/create", body("true"))
    assert status == 201, made
    assert connection.ask("POST", f"/containers/{made['Id']}/start")[0] == 204
    status, ended = connection.ask("POST", f"/containers/{made['Id']}/wait?condition=removed")
    assert (status, ended["StatusCode"]) in ((200, 0), (404, None)) if status == 200 else status == 404, ended


def lane(sampand: Sampand, count: int) -> None:
    """Containers one after another."""
    connection = connect(sampand)
    for _ in range(count):
        live(connection)
    connection.close()


def row(sampand: Sampand, count: int) -> None:
    """``count`` containers, LANES at a time."""
    with ThreadPoolExecutor(LANES) as pool:
        for done in [pool.submit(lane, sampand, count // LANES) for _ in range(LANES)]:
            done.result()


def usage(sampand: Sampand) -> tuple[int, int, int]:
    """Descriptors and memory (KiB) of the daemon and its zygote, and how many processes there are."""
    own = sampand.own()
    descriptors = sum(len(os.listdir(f"/proc/{p.pid}/fd")) for p in own)
    rollup = [Path(f"/proc/{p.pid}/smaps_rollup").read_text() for p in own]
    memory = sum(int(text.split("Private_Dirty:")[1].split()[0]) for text in rollup)
    return descriptors, memory, len(own)


def at_rest(sampand: Sampand) -> bool:
    """Only the daemon, its zygote and the monitor that waits (with its init, called as it is) are there."""
    names = sorted(p.comm for p in sampand.own() if p.comm.startswith("sampan-"))
    return set(names) <= {"sampan-spare", "sampan-zygote"} and len(names) <= 3


@pytest.mark.timeout(600)
def test_a_thousand_lives_leak_nothing(sampand: Sampand) -> None:
    load(sampand.engine.host, busybox_archive())
    row(sampand, 5 * LANES)  # warm: threads, caches, the database's pages
    wait_for(lambda: at_rest(sampand), "no monitor with a container is left")
    descriptors, memory, _ = usage(sampand)
    row(sampand, IN_A_ROW)
    wait_for(lambda: at_rest(sampand), f"no monitor with a container is left: {sampand.own()}")
    wait_for(lambda: usage(sampand)[0] <= descriptors, f"descriptors: {descriptors} before, {usage(sampand)[0]} after")
    grown = usage(sampand)[1] - memory
    assert grown < max(4096, 4 * IN_A_ROW), f"{grown} KiB more after {IN_A_ROW} containers"


@pytest.mark.timeout(600)
def test_hundreds_at_once(sampand: Sampand) -> None:
    load(sampand.engine.host, busybox_archive())
    connection = connect(sampand)
    names = [f"many-{number}" for number in range(AT_ONCE)]
    request = {"Image": BUSYBOX, "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": "none"}}

    def begin(name: str) -> None:
        mine = connect(sampand)
        assert mine.ask("POST", f"/containers/create?name={name}", request)[0] == 201
        status, said = mine.ask("POST", f"/containers/{name}/start")
        mine.close()
        assert status == 204, said

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(begin, names))
    status, rows = connection.ask("GET", "/containers/json")
    assert status == 200 and {r["Names"][0][1:] for r in rows} == set(names)
    assert len(sampand.monitors()) == AT_ONCE
    sampand.restart()
    status, rows = connect(sampand).ask("GET", "/containers/json")
    assert len(rows) == AT_ONCE and {r["State"] for r in rows} == {"running"}
