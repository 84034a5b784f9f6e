"""Launches that are held until their network is there: what the program waits for, and who may die meanwhile."""

import asyncio
import os
import signal
import socket
from typing import Any

import pytest

from sampan.runtime import records
from sampan.runtime.supervisor import Exit, Monitor, StartFailed

from .conftest import Runtime, wait_for
from .test_deaths import forget_handles, reborn

MANY = 450  # descriptors: more than a packet takes (253), than the first byte of a launch counts (255)


def bound() -> socket.socket:
    """A socket with a port of its own."""
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    return one


def is_held(port: int) -> bool:
    """Whether somebody has a port."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class Holding:
    """A plug that comes and never ends, as long as nobody says so."""

    def __init__(self) -> None:
        self.began, self.goes = asyncio.Event(), asyncio.Event()

    async def __call__(self, netns: int) -> dict[str, int]:
        self.began.set()
        await self.goes.wait()
        return {}


class Died(Exception):
    """Sampand did."""


def test_the_program_waits_for_its_network(runtime: Runtime) -> None:
    seen: list[str] = []

    async def plug(netns: int) -> dict[str, int]:
        seen.append(os.readlink(f"/proc/self/fd/{netns}"))
        await asyncio.sleep(0.05)
        seen.append("plugged")
        return {}

    monitor = runtime.start(runtime.spec("sleep", "1000"), plug=plug)
    assert seen == [os.readlink(f"/proc/{monitor.init_pid}/ns/net"), "plugged"]
    runtime.run(monitor.signal(signal.SIGKILL))
    runtime.end(monitor)


def test_what_is_kept_outlives_sampand(runtime: Runtime) -> None:
    """Descriptors of the launch, of the plug and later ones; they are let go before the exit is told."""
    early, plugged, late = bound(), bound(), bound()

    async def plug(netns: int) -> dict[str, int]:
        return {"plugged": plugged.fileno()}

    monitor = runtime.start(runtime.spec("sleep", "1000"), plug=plug, keep={"early": early.fileno()})
    runtime.run(monitor.keep({"late": late.fileno()}))
    names = {"early": early, "plugged": plugged, "late": late}
    ports = [one.getsockname()[1] for one in names.values()]
    for one in names.values():
        one.close()
    forget_handles(runtime)
    found = runtime.run(reborn(runtime).adopt(monitor.run_dir))
    assert isinstance(found, Monitor)
    kept = runtime.run(found.kept())
    assert list(kept) == list(names)
    got = {name: socket.socket(fileno=descriptor) for name, descriptor in kept.items()}
    assert [one.getsockname()[1] for one in got.values()] == ports
    for one in got.values():
        one.close()
    assert all(map(is_held, ports))
    runtime.run(found.drop(["early"]))
    assert [is_held(port) for port in ports] == [False, True, True]
    runtime.run(found.signal(signal.SIGKILL))
    runtime.exit(found)
    assert not any(map(is_held, ports))
    runtime.end(found)


def test_more_is_kept_than_a_packet_takes(runtime: Runtime) -> None:
    sockets = [bound() for _ in range(MANY)]
    ports = [one.getsockname()[1] for one in sockets]

    async def plug(netns: int) -> dict[str, int]:
        return {}

    keep = {str(port): one.fileno() for port, one in zip(ports, sockets, strict=True)}
    monitor = runtime.start(runtime.spec("sleep", "1000"), plug=plug, keep=keep)
    for one in sockets:
        one.close()
    assert all(map(is_held, ports))
    kept = runtime.run(monitor.kept())
    assert list(kept) == list(keep)
    for descriptor in kept.values():
        os.close(descriptor)
    runtime.run(monitor.signal(signal.SIGKILL))
    runtime.end(monitor)
    assert not any(map(is_held, ports))


def test_sampand_dies_before_the_network_is_there(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Init must not wait for ever, and the program must not run without its network."""

    async def dying(monitor: Monitor, *_: object) -> None:
        os.close(await monitor.namespace())
        monitor.close()
        raise Died

    monkeypatch.setattr(runtime.supervisor, "_plug", dying)
    with pytest.raises(Died):
        runtime.start(runtime.spec("sleep", "1000"), plug=Holding())
    forget_handles(runtime)
    run_dir = runtime.home / "run" / "0001"
    wait_for(lambda: records.read(str(run_dir), records.EXIT) is not None)
    found = runtime.run(reborn(runtime).adopt(run_dir))
    assert isinstance(found, Exit)
    assert (found.started, found.code, found.step) == (False, 128, "network")
    assert found.error == "sampand ended before the network was there"
    runtime.run(runtime.supervisor.forget(run_dir))


def test_sampand_dies_once_the_network_is_there(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    held = bound()

    async def dying(monitor: Monitor, *_: object) -> None:
        os.close(await monitor.namespace())
        monitor.go({"port": held.fileno()})
        monitor.close()
        raise Died

    monkeypatch.setattr(runtime.supervisor, "_plug", dying)
    with pytest.raises(Died):
        runtime.start(runtime.spec("sleep", "1000"), plug=Holding())
    forget_handles(runtime)
    found = runtime.run(reborn(runtime).adopt(runtime.home / "run" / "0001"))
    assert isinstance(found, Monitor)
    kept = runtime.run(found.kept())
    assert list(kept) == ["port"]
    os.close(kept["port"])
    held.close()
    runtime.run(found.signal(signal.SIGKILL))
    runtime.end(found)


@pytest.mark.parametrize("after", [False, True])
def test_the_monitor_dies_before_the_network_is_there(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    plug, real = Holding(), runtime.supervisor._plug
    plug.goes.set()

    async def killing(monitor: Monitor, *arguments: Any) -> None:
        if after:
            await monitor.namespace()
        os.kill(monitor.pid, signal.SIGKILL)
        await real(monitor, *arguments)

    monkeypatch.setattr(runtime.supervisor, "_plug", killing)
    with pytest.raises(StartFailed, match="its monitor died"):
        runtime.start(runtime.spec("sleep", "1000"), plug=plug)
    assert not (runtime.home / "run" / "0001").exists()


async def wait_of(task: "asyncio.Task[Monitor]") -> Monitor:
    return await task


def test_a_network_that_cannot_be_had_ends_the_container(runtime: Runtime) -> None:
    async def plug(netns: int) -> dict[str, int]:
        raise OSError("no such luck")

    held = bound()
    port = held.getsockname()[1]
    with pytest.raises(OSError, match="no such luck"):
        runtime.start(runtime.spec("sleep", "1000"), plug=plug, keep={"port": held.fileno()})
    held.close()
    assert not is_held(port)
    assert not (runtime.home / "run" / "0001").exists()


def test_a_program_that_is_not_there_is_told_though_the_network_came(runtime: Runtime) -> None:
    async def plug(netns: int) -> dict[str, int]:
        return {}

    with pytest.raises(StartFailed, match="executable file not found") as caught:
        runtime.start(runtime.spec("nothing"), plug=plug)
    assert caught.value.code == 127
    assert not (runtime.home / "run" / "0001").exists()


def test_what_fails_while_the_network_is_set_up_is_told(runtime: Runtime) -> None:
    spec = runtime.spec("true")
    spec["mounts"].append({"destination": "/x", "type": "nosuchfs"})
    task, plug = begin(runtime, spec)
    plug.goes.set()
    with pytest.raises(StartFailed) as caught:
        runtime.run(wait_of(task))
    assert caught.value.step == "mount /x"
    assert not (runtime.home / "run" / "0001").exists()


def begin(runtime: Runtime, spec: dict[str, Any]) -> tuple["asyncio.Task[Monitor]", Holding]:
    plug = Holding()
    task = runtime.loop.create_task(runtime.supervisor.launch(runtime.prepare(spec, plug=plug)))
    runtime.run(plug.began.wait())
    return task, plug
