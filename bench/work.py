"""The pieces of work that are timed. Each takes an engine and returns seconds (or MB/s where its name says so)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.engine import LABEL, Engine
from support.http import UnixConnection
from support.images import BUSYBOX

MB = 1_000_000
LINE = "2024-01-01 GET /index.html HTTP/1.1 200 1234 some text here for a log line of a hundred bytes abcd"


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def quietly(engine: Engine, argv: list[str]) -> None:
    """Run a client whose output nobody reads; it must succeed."""
    subprocess.run(argv, env=engine.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def cli_run(engine: Engine) -> float:
    """docker run --rm --net=none busybox true."""
    argv = engine.argv(*engine.marked("run", "--rm", BUSYBOX, "true"))
    return timed(lambda: quietly(engine, argv))


def cli_run_on_bridge(engine: Engine) -> float:
    """docker run --rm busybox true."""
    argv = engine.argv("run", "--rm", "--label", f"{LABEL}={engine.token}", BUSYBOX, "true")
    return timed(lambda: quietly(engine, argv))


def own_run(engine: Engine, sampan: str, network: str) -> float:
    """sampan run --rm --network NETWORK busybox true."""
    argv = [sampan, "run", "--rm", "--network", network, BUSYBOX, "true"]
    return timed(lambda: quietly(engine, argv))


def cli_exec(engine: Engine, container: str) -> float:
    """docker exec CONTAINER true."""
    return timed(lambda: quietly(engine, engine.argv("exec", container, "true")))


def must(answer: tuple[int, Any]) -> Any:
    """The body of an answer that is a success."""
    assert answer[0] < 400, answer
    return answer[1]


def api_run(connection: UnixConnection, body: dict[str, object]) -> float:
    """create, start, wait, remove over one open connection."""

    def work() -> None:
        container = must(connection.ask("POST", "/containers/create", body))["Id"]
        must(connection.ask("POST", f"/containers/{container}/start"))
        must(connection.ask("POST", f"/containers/{container}/wait"))
        must(connection.ask("DELETE", f"/containers/{container}"))

    return timed(work)


def api_exec(connection: UnixConnection, container: str) -> float:
    """exec: create, start, and inspect until it has ended, over one open connection."""

    def work() -> None:
        made = must(connection.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}))["Id"]
        must(connection.ask("POST", f"/exec/{made}/start", {"Detach": True}))
        while must(connection.ask("GET", f"/exec/{made}/json"))["Running"]:
            pass

    return timed(work)


def connect(engine: Engine) -> UnixConnection:
    """A connection to keep open."""
    return UnixConnection(engine.host.removeprefix("unix://"))


def request(engine: Engine) -> dict[str, object]:
    """A request to create a container of `true`."""
    labels = {"sampan.test": engine.token}
    return {"Image": BUSYBOX, "Cmd": ["true"], "Labels": labels, "HostConfig": {"NetworkMode": "none"}}


def start_many(engine: Engine, count: int) -> float:
    """COUNT × docker run -d, one after another."""
    argv = engine.argv(*engine.marked("run", "-d", BUSYBOX, "sleep", "100000"))

    def work() -> None:
        for _ in range(count):
            quietly(engine, argv)

    return timed(work)


def remove_many(engine: Engine) -> float:
    """docker rm -f of all the bench's containers at once."""
    found = engine.ok("ps", "-aq", "--filter", f"label=sampan.test={engine.token}").split()
    return timed(lambda: quietly(engine, engine.argv("rm", "-f", *found)))


def log_rate(engine: Engine, size: int) -> float:
    """MB/s of output that a container writes as fast as it can, nobody attached."""
    script = f"yes '{LINE}' | head -c {size}"

    def work() -> None:
        engine.ok(
            "wait", engine.start("--log-opt", "max-size=10m", "--log-opt", "max-file=3", BUSYBOX, "sh", "-c", script)
        )

    return size / MB / timed(work)


def attach_rate(engine: Engine, size: int) -> float:
    """MB/s through an attached client that drops it."""
    script = f"head -c {size} /dev/zero"
    argv = engine.argv(*engine.marked("run", "--rm", "--log-driver", "none", BUSYBOX, "sh", "-c", script))
    return size / MB / timed(lambda: quietly(engine, argv))


def logged(engine: Engine, size: int) -> str:
    """A container that ended with ``size`` bytes in its log."""
    script = f"yes '{LINE}' | head -c {size}"
    container = engine.start("--log-opt", "max-size=1g", BUSYBOX, "sh", "-c", script)
    engine.ok("wait", container, timeout=120)
    return container


def read_logs_rate(engine: Engine, container: str, size: int) -> float:
    """MB/s of docker logs."""
    return size / MB / timed(lambda: quietly(engine, engine.argv("logs", container)))


def runc_bundle(directory: Path, archive_root: bytes, in_tree: Callable[..., list[str]]) -> str:
    """A bundle of `true` for runc in ``directory`` (as seen from here); its path for runc."""
    name = "/tmp/sampan-bench-bundle"
    (directory / "rootfs").mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(directory / "rootfs")], input=archive_root, check=True)
    subprocess.run(in_tree("runc", "spec", "-b", name), check=True)
    config = json.loads((directory / "config.json").read_text())
    config["process"].update(terminal=False, args=["true"])
    (directory / "config.json").write_text(json.dumps(config))
    return name
