"""A commit that is cut off leaves nothing half-made and nobody frozen; what is read is read as it stands."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engine.conftest import Client
from support.doom import Doomed
from support.http import ask
from support.images import BUSYBOX
from support.processes import wait_for

PLACES = (
    ("sampan.runtime.freezer:Freezer.freeze", "after"),
    ("sampan.image.committing:_Taker.take", "before"),
    ("sampan.image.content:Ingest.commit", "before"),
    ("sampan.image.content:Ingest.commit", "after"),
    ("sampan.image.layers:unpack_blob", "after"),
    ("sampan.image.store:Images._sync", "before"),
    ("sampan.image.store:Images._put", "before"),
    ("sampan.image.store:Images._put", "after"),
)


@pytest.fixture
def doomed() -> Iterator[Doomed]:
    """A sampand with busybox that can be made to die."""
    with Doomed() as one:
        one.engine.load_busybox()
        yield one


def stored(root: Path) -> dict[str, list[str]]:
    places = ("content/blobs/sha256", "content/ingest", "layers")
    return {place: sorted(path.name for path in (root / place).iterdir()) for place in places}


def counted(container: str, root: Path) -> int:
    return (root / "containers" / container / "rw" / "n").stat().st_size


@pytest.mark.parametrize(("place", "moment"), PLACES)
def test_killed_in_the_middle(doomed: Doomed, place: str, moment: str) -> None:
    engine = doomed.engine
    running = engine.start(BUSYBOX, "sh", "-c", "while :; do echo x >> /n; usleep 1000; done")
    before = stored(doomed.data)
    images = engine.ok("images", "-aq", "--no-trunc")
    doomed.doomed(place, moment)
    answer = engine.docker("commit", running, "sampan-test/half:1")
    assert answer.code != 0
    doomed.wait_dead()
    seen = counted(running, doomed.data)
    wait_for(lambda: counted(running, doomed.data) > seen, "the container goes on, though sampand is dead", 10)
    doomed.start()
    if (place, moment) == PLACES[-1]:
        assert engine.look("sampan-test/half:1", "{{len .RootFS.Layers}}") == "2"
        engine.ok("rmi", "sampan-test/half:1")
    assert engine.ok("images", "-aq", "--no-trunc") == images
    assert stored(doomed.data) == before
    engine.ok("commit", running, "sampan-test/whole:1")
    assert engine.ok("run", "--rm", "--net=none", "sampan-test/whole:1", "cat", "/n")


def freezer(container: str) -> str:
    """The state of a container's freezer, on version 1 or 2 of control groups: "0", "1", or "?" without one."""
    for name in ("freezer.state", "cgroup.freeze"):
        for path in Path("/sys/fs/cgroup").glob(f"**/{container}/{name}"):
            return {"THAWED": "0", "0": "0"}.get(path.read_text().strip(), "1")
    return "?"


def test_the_container_is_frozen_while_it_is_read_and_not_longer(engine: Client) -> None:
    """Its 200 MB take a tenth of a second to be read at least."""
    container = engine.run(
        "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=200 2>/dev/null; echo up; exec sleep 1000"
    )
    wait_for(lambda: "up" in engine.daemon.engine.ok("logs", container), "the file is there", 30)
    if freezer(container) == "?":
        pytest.skip("no freezer here")
    seen: set[str] = set()
    commit = engine.daemon.engine.open("commit", container, "sampan-test/frozen:1")
    while commit.poll() is None:
        seen.add(freezer(container))
    assert commit.returncode == 0
    commit.communicate()
    assert "1" in seen and freezer(container) == "0"
    assert engine.ok("POST", f"/commit?container={container}&pause=0")["Id"]


@pytest.mark.parametrize("body", ["", "null", "{}", '{"Cmd": ["x"], "Env": ["B=1"]}'])
def test_the_body_takes_the_place_of_settings(engine: Client, body: str) -> None:
    container = engine.create("true", Env=["A=1"], Hostname="h")
    value = json.loads(body) if body else None
    made = engine.ok("POST", f"/commit?container={container}", value)["Id"]
    config = engine.ok("GET", f"/images/{made}/json")["Config"]
    assert config["Cmd"] == (["x"] if "Cmd" in body else ["true"])
    assert [entry for entry in config["Env"] if not entry.startswith("PATH=")] == (
        ["B=1", "A=1"] if "Cmd" in body else ["A=1"]
    )


def test_bad_requests(engine: Client) -> None:
    container = engine.create("true")
    for query, status, text in (
        ("container=nosuch", 404, "No such container: nosuch"),
        (f"container={container}&repo=A%20B", 400, "must be lowercase"),
        (f"container={container}&repo=a&tag=!", 400, "invalid tag format"),
        (f"container={container}&changes=FROM%20x", 400, "FROM is not a valid change command"),
        ("", 400, "cannot be empty"),
    ):
        got, answer = engine.ask("POST", f"/commit?{query}")
        assert (got, text in answer["message"]) == (status, True), answer
    assert engine.ask("POST", f"/commit?container={container}", ["no", "config"])[0] == 400
    assert ask(engine.daemon.engine.host, "GET", "/containers/nosuch/changes")[0] == 404


def test_a_client_that_stops_reading_an_export_holds_nothing_up(engine: Client) -> None:
    container = engine.run("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=50 2>/dev/null; echo up; exec sleep 1000")
    wait_for(lambda: "up" in engine.daemon.engine.ok("logs", container), "the file is there", 30)
    slow = []
    for _ in range(20):  # more than sampand has threads
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(engine.daemon.socket))
        sock.sendall(f"GET /v1.45/containers/{container}/export HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        slow.append(sock)
    assert len(engine.daemon.engine.docker("export", container).raw) > 50 << 20
    for sock in slow:
        sock.close()
    descriptors = Path(f"/proc/{engine.daemon.pid}/fd")

    def let_go() -> bool:
        return not [one for one in descriptors.iterdir() if str(engine.daemon.data / "layers") in _target(one)]

    wait_for(let_go, "sampand lets go of the layers", 10)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""
