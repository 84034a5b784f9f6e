"""Clean-up in a whole daemon: races of clients, deaths, what is kept for a day, and what is said about the disk."""

import contextlib
import hashlib
import http.client
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.image.suite import archive, docker_files, layer
from support.daemon import Sampand
from support.doom import Doomed
from support.http import ask
from support.images import BUSYBOX
from support.privileges import root_or_skip
from support.processes import wait_for

from .conftest import Client

PARTIAL = "sha256-" + "1" * 64 + ".partial"
DAY_S = 24 * 3600


def layers(daemon: Sampand) -> set[str]:
    """The names in the directory of layers."""
    return set(os.listdir(daemon.data / "layers"))


def blobs(daemon: Sampand) -> set[str]:
    """The names of all blobs."""
    return set(os.listdir(daemon.data / "content/blobs/sha256"))


def load(client: Client, tag: str, *contents: bytes) -> str:
    """Load an image of a layer for each content; return its ID."""
    files = docker_files([layer((f"f{number}", one)) for number, one in enumerate(contents)], [tag])
    client.daemon.engine.ok("load", "-q", stdin=archive(files))
    return client.daemon.engine.ok("image", "inspect", "-f", "{{.Id}}", tag)


# --- what holds layers


@pytest.mark.parametrize("started", [False, True])
def test_an_image_whose_container_was_removed_goes_whole(engine: Any, started: bool) -> None:
    one = engine.run("true") if started else engine.create("true")
    if started:
        engine.ok("POST", f"/containers/{one}/wait")
    engine.ok("DELETE", f"/containers/{one}")
    gone = engine.ok("DELETE", f"/images/{BUSYBOX}")
    wait_for(lambda: not layers(engine.daemon), "the layers go away")
    assert blobs(engine.daemon) == set()
    assert started or len(gone) == 3  # untagged, the image, its layer


def test_layers_of_a_removed_image_go_with_its_last_container(engine: Any) -> None:
    one, two = engine.run("sleep", "1000"), engine.create("true")
    assert engine.ask("DELETE", f"/images/{BUSYBOX}?force=1")[0] == 200
    assert engine.ok("GET", "/images/json") != []  # a running one keeps the image, nameless
    engine.ok("POST", f"/containers/{one}/stop?t=0")
    image = engine.ok("GET", "/images/json")[0]["Id"]
    engine.ok("DELETE", f"/images/{image}?force=1")
    assert len(layers(engine.daemon)) == 1
    engine.ok("DELETE", f"/containers/{one}")
    assert len(layers(engine.daemon)) == 1
    engine.ok("DELETE", f"/containers/{two}")
    wait_for(lambda: not layers(engine.daemon), "the layers go away")


def test_rm_by_itself_frees_too(engine: Any) -> None:
    one = engine.run("sh", "-c", "echo x > /f", host={"AutoRemove": True})
    wait_for(lambda: engine.ask("GET", f"/containers/{one}/json")[0] == 404, "it is gone")
    engine.ok("DELETE", f"/images/{BUSYBOX}")
    wait_for(lambda: not layers(engine.daemon), "the layers go away")


# --- prune


def test_prune_leaves_what_runs_and_tells_what_it_gave_back(engine: Any) -> None:
    running = engine.run("sleep", "1000", Labels={"a": "1"})
    ended = engine.run("sh", "-c", "head -c 5000 /dev/zero > /f", Labels={"a": "1"})
    engine.ok("POST", f"/containers/{ended}/wait")
    other = engine.create("true", Labels={"a": "2"})
    fresh = engine.create("true", Labels={"a": "1", "b": ""})
    filters = '{"label":["a=1"],"label!":["b"]}'
    pruned = engine.ok("POST", f"/containers/prune?filters={filters}")
    assert pruned == {"ContainersDeleted": [ended], "SpaceReclaimed": 5000}
    assert engine.ok("POST", '/containers/prune?filters={"until":["1h"]}')["ContainersDeleted"] is None
    pruned = engine.ok("POST", "/containers/prune")
    assert sorted(pruned["ContainersDeleted"]) == sorted([other, fresh])
    assert [one["Id"] for one in engine.ok("GET", "/containers/json?all=1")] == [running]
    assert engine.ok("POST", '/images/prune?filters={"dangling":["false"]}')["ImagesDeleted"] is None


def test_prune_is_told_as_an_event(engine: Any) -> None:
    engine.create("true")
    engine.ok("POST", "/containers/prune")
    engine.ok("POST", "/images/prune")
    words = ("events", "--since", "1m", "--until", f"{time.time() + 0.5:.3f}", "--filter", "event=prune")
    assert engine.daemon.engine.ok(*words, "--format", "{{.Type}} {{json .Actor}}").splitlines() == [
        'container {"ID":"","Attributes":{"reclaimed":"0"}}',
        'image {"ID":"","Attributes":{"reclaimed":"0"}}',
    ]


def test_two_prunes_at_once_do_no_harm(engine: Any) -> None:
    made = {engine.create("true") for _ in range(20)}
    answers: list[tuple[int, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(engine.ask("POST", "/containers/prune"))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    removed = [one for status, answer in answers if status == 200 for one in answer["ContainersDeleted"] or ()]
    assert sorted(removed) == sorted(made)
    refused = [answer for status, answer in answers if status != 200]
    assert all(answer == {"message": "a prune operation is already running"} for answer in refused)


# --- what is on the disk, and why


def du(root: Path) -> int:
    """What du says, in bytes."""
    done = subprocess.run(["du", "-s", "--block-size=1", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def test_everything_has_a_row_with_its_holders_and_the_rows_add_up(engine: Any) -> None:
    base, own = os.urandom(50_000), os.urandom(70_000)
    load(engine, "one:1", base)
    image = load(engine, "two:1", base, own)
    engine.daemon.engine.ok("tag", "two:1", "three:1")
    used = engine.create("true", name="user", Image="two:1")
    running = engine.run("sh", "-c", "head -c 300000 /dev/zero > /f; sleep 1000", name="web")
    wait_for(lambda: engine.ok("GET", f"/containers/{running}/json?size=1")["SizeRw"] == 300_000, "it has written")
    ingest = engine.daemon.data / "content/ingest"
    (ingest / PARTIAL).write_bytes(b"x" * 10_000)
    (engine.daemon.data / "layers" / ("f" * 64)).mkdir()
    found = engine.ok("GET", "/sampan/v1/system/disk")
    assert found["Size"] == sum(one["Size"] for one in found["Holdings"])
    # the database may grow by a few pages of 4 KiB between the two looks, nothing else moves
    assert abs(du(engine.daemon.data) - found["Size"]) <= 16 * 4096
    rows = {(one["Kind"], one["Name"]): one for one in found["Holdings"]}
    assert len(rows) == len(found["Holdings"])
    chain = "sha256:" + hashlib.sha256(layer(("f0", base))).hexdigest()
    assert rows["layer", chain]["HeldBy"] == ["image one:1", "image three:1, two:1", "container user"]
    assert rows["blob", image]["HeldBy"] == ["image three:1, two:1"]
    assert rows["container", used]["HeldBy"] == ["container user"]
    assert rows["container", running]["HeldBy"] == ["container web"]
    assert rows["container", running]["Size"] >= 300_000
    assert rows["layer", "sha256:" + "f" * 64]["HeldBy"] == []
    (until,) = rows["partial download", "sha256:" + "1" * 64]["HeldBy"]
    assert until.startswith("cache until ")
    assert {"database", "directories"} <= {kind for kind, _ in rows}
    stored = len(blobs(engine.daemon)) + len(layers(engine.daemon))
    assert stored == sum(kind in ("blob", "layer") for kind, _ in rows)


def test_nothing_without_a_holder_is_left_by_a_clean_up(engine: Any) -> None:
    (engine.daemon.data / "layers" / ("f" * 64)).mkdir()
    (engine.daemon.data / "content/blobs/sha256" / ("e" * 64)).write_bytes(b"x")
    assert _unheld(engine) == {"ff", "ee"}
    engine.daemon.restart()
    assert _unheld(engine) == set()
    (engine.daemon.data / "layers" / ("f" * 64)).mkdir()
    engine.ok("POST", "/images/prune")
    assert _unheld(engine) == set()


def _unheld(engine: Any) -> set[str]:
    rows = engine.ok("GET", "/sampan/v1/system/disk")["Holdings"]
    return {one["Name"][7:9] for one in rows if not one["HeldBy"]}


def test_sizes_by_the_api(engine: Any) -> None:
    engine.create("true", name="user")
    usage = engine.ok("GET", "/system/df")
    assert [one["Containers"] for one in usage["Images"]] == [1]
    assert usage["LayersSize"] == usage["Images"][0]["Size"]
    assert [one["Names"] for one in usage["Containers"]] == [["/user"]]
    assert (usage["Volumes"], usage["BuildCache"]) == ([], [])
    only = engine.ok("GET", "/system/df?type=container&type=volume")
    assert only["Containers"] and (only["Images"], only["LayersSize"], only["Volumes"]) == (None, 0, [])
    assert engine.ask("GET", "/system/df?type=foo") == (400, {"message": "unknown object type: foo"})


# --- deaths


@pytest.fixture
def doomed() -> Iterator[Client]:
    """A daemon that can be made to die somewhere, with busybox."""
    root_or_skip()
    with Doomed() as one:
        one.engine.load_busybox()
        yield Client(one)


DEATHS = {
    "create, snapshot there": ("sampan.storage.driver:Driver.prepare", "after", "create"),
    "create, row there": ("sampan.state.containers:SqlContainerRows.insert", "after", "create"),
    "remove, row gone": ("sampan.storage.containers:ContainerDirectories.set_aside", "before", "remove"),
    "remove, set aside": ("sampan.storage.containers:ContainerDirectories.set_aside", "after", "remove"),
    "rmi, layers left": ("sampan.state.images:SqlImageRows.delete", "after", "rmi"),
    "rmi, blobs left": ("sampan.image.content:Content.delete", "before", "rmi"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_the_start_after_a_death_leaves_nothing_without_a_row(doomed: Client, death: str) -> None:
    place, moment, what = DEATHS[death]
    container = doomed.create("true")
    if what == "rmi":
        doomed.ok("DELETE", f"/containers/{container}")
    assert isinstance(doomed.daemon, Doomed)
    doomed.daemon.doomed(place, moment)
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: doomed.create("true"),
        "remove": lambda: doomed.ask("DELETE", f"/containers/{container}"),
        "rmi": lambda: doomed.ask("DELETE", f"/images/{BUSYBOX}"),
    }
    with contextlib.suppress(OSError, EOFError, http.client.HTTPException):  # cut off, or answered just before
        calls[what]()
    doomed.daemon.wait_dead()
    doomed.daemon.start()
    left = doomed.ok("GET", "/containers/json?all=1")
    assert set(os.listdir(doomed.daemon.data / "containers")) == {one["Id"] for one in left}
    assert os.listdir(doomed.daemon.data / "removed") == []
    images = doomed.ok("GET", "/images/json")
    assert len(layers(doomed.daemon)) == len(images)
    assert bool(blobs(doomed.daemon)) is bool(images)
    for one in left:
        doomed.ok("DELETE", f"/containers/{one['Id']}")
    if images:
        doomed.ok("DELETE", f"/images/{BUSYBOX}")
    wait_for(lambda: not layers(doomed.daemon) and not blobs(doomed.daemon), "nothing is left")


@pytest.mark.parametrize("place", ["_announce", "_vanish"])
@pytest.mark.parametrize("how", ["it ended", "it was ended"])
def test_one_with_rm_is_gone_though_the_disk_did_not_hear_of_it(doomed: Client, place: str, how: str) -> None:
    """Its removal is told before its row is gone: a start after a death in between removes it too."""
    assert isinstance(doomed.daemon, Doomed)
    doomed.daemon.doomed(f"sampan.engine.removal:{place}", "after" if place == "_announce" else "before")
    with contextlib.suppress(OSError, EOFError, http.client.HTTPException):
        container = doomed.run("sleep", "0.2" if how == "it ended" else "1000", name="once", host={"AutoRemove": True})
        if how == "it was ended":
            doomed.ask("DELETE", f"/containers/{container}?force=1")
    doomed.daemon.wait_dead()
    doomed.daemon.start()
    wait_for(lambda: doomed.ok("GET", "/containers/json?all=1") == [], "it is gone", 10)
    doomed.ok("DELETE", f"/containers/{doomed.create('true', name='once')}")
    left = doomed.daemon.data / "containers", doomed.daemon.data / "removed", doomed.daemon.exec / "containers"
    wait_for(lambda: not any(map(os.listdir, left)), "nothing is left", 10)


def test_a_start_keeps_young_partial_downloads_alone(engine: Any) -> None:
    ingest, now = engine.daemon.data / "content/ingest", time.time()
    for name, age_s in ((PARTIAL, DAY_S - 600), ("sha256-" + "2" * 64 + ".partial", DAY_S + 600), ("tmpabc", 0)):
        (ingest / name).write_bytes(b"x")
        os.utime(ingest / name, (now - age_s, now - age_s))
    engine.daemon.restart()
    assert os.listdir(ingest) == [PARTIAL]


def test_an_old_partial_download_goes_without_a_restart(engine: Any) -> None:
    path = engine.daemon.data / "content/ingest" / PARTIAL
    path.write_bytes(b"x")
    os.utime(path, (time.time() - DAY_S - 600,) * 2)
    engine.ok("POST", "/images/prune")
    assert not path.exists()


# --- races


@pytest.mark.slow
def test_clients_that_do_everything_at_once(engine: Any) -> None:
    """Load, tag, create, run, rmi, prune side by side: no answer of 500, and in the end exactly what rows name."""
    deadline = time.monotonic() + 8
    shared = layer(("s", b"s" * 9000))
    bodies = [
        archive(docker_files([shared, layer(("o", b"%d" % number * 900))], [f"app{number}:1"])) for number in range(3)
    ]
    bad: list[str] = []
    host = engine.daemon.engine.host

    def call(method: str, path: str, body: object = None) -> Any:
        status, answer = ask(host, method, path, body)
        if status >= 500:
            bad.append(f"{method} {path}: {status} {answer}")
        return answer if status < 300 else None

    def loader(number: int) -> None:
        engine.daemon.engine.docker("load", "-q", stdin=bodies[number % 3])
        call("POST", f"/images/app{number % 3}:1/tag?repo=other&tag={number % 2}")

    def creator(number: int) -> None:
        config = {"Image": f"app{number % 3}:1", "Cmd": ["/o"], "HostConfig": {"NetworkMode": "none"}}
        made = call("POST", "/containers/create", config)
        if made:
            found = call("GET", f"/containers/{made['Id']}/json?size=1")
            if found is not None and not (engine.daemon.data / "containers" / made["Id"]).is_dir():
                wait_for(lambda: ask(host, "GET", f"/containers/{made['Id']}/json")[0] == 404, "pruned meanwhile")

    def remover(number: int) -> None:
        call("DELETE", f"/images/app{number % 3}:1" + ("?force=1" if number % 2 else ""))
        call("DELETE", f"/images/other:{number % 2}")

    def pruner(number: int) -> None:
        call("POST", "/containers/prune")
        call("POST", '/images/prune?filters={"dangling":["false"]}' if number % 2 else "/images/prune")
        call("GET", "/system/df")
        call("GET", "/sampan/v1/system/disk")

    def repeat(work: Callable[[int], None]) -> None:
        number = 0
        while time.monotonic() < deadline:
            work(number)
            number += 1
        assert number > 3

    threads = [threading.Thread(target=repeat, args=(one,)) for one in (loader, creator, creator, remover, pruner)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad == []
    engine.ok("POST", "/containers/prune")
    images = engine.ok("GET", "/images/json?all=1")
    needed = {one for image in images for one in _chain(engine, image["Id"])}
    wait_for(lambda: layers(engine.daemon) == needed, "exactly the layers of images are left")
    for image in images:
        engine.ok("DELETE", f"/images/{image['Id']}?force=1")
    wait_for(lambda: not layers(engine.daemon) and not blobs(engine.daemon), "nothing is left")
    assert os.listdir(engine.daemon.data / "content/ingest") == []


def _chain(engine: Any, image: str) -> list[str]:
    chain: list[str] = []
    for diff_id in engine.ok("GET", f"/images/{image}/json")["RootFS"]["Layers"]:
        text = f"sha256:{chain[-1]} {diff_id}" if chain else ""
        chain.append(hashlib.sha256(text.encode()).hexdigest() if chain else diff_id[7:])
    return chain
