"""The ways between states with everything below faked: races, failures, a disk that takes no more."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api import schema
from sampan.engine import execs, launching, lifecycle, recovery, removal
from sampan.engine.container import Container
from sampan.engine.core import Core
from sampan.engine.errors import Conflict, EngineError, Internal, NotModified
from sampan.engine.lifecycle import Lifecycle
from sampan.runtime.supervisor import Exit, MonitorGone, StartFailed
from support.fabrics import nobody

from .conftest import container, machine, settings

BY = SimpleNamespace(what="POST /x", pid=0, uid=-1, comm="")


class Rows:
    """Rows that remember what was asked; ``broken`` makes every write fail, as a full disk does."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken = False

    def _write(self, what: str) -> "Future[None]":
        future: Future[None] = Future()
        self.calls.append(what)
        if self.broken:
            future.set_exception(OSError(28, "No space left on device"))
        else:
            future.set_result(None)
        return future

    def set_state(self, _id: str, state: bytes, _boot: str) -> "Future[None]":
        return self._write("running" if b"running" in state else "exited" if b"exited" in state else "created")

    def delete(self, _id: str) -> "Future[None]":
        return self._write("delete")


class Monitor:
    """A program that ends by SIGTERM (unless it is stubborn) or SIGKILL."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.started_at_ns, self.init_pid = 5, 42
        self.signals: list[int] = []
        self.stubborn = stubborn

    async def signal(self, number: int) -> None:
        if self.exit.done():
            raise MonitorGone("gone")
        self.signals.append(number)
        if number == 9 or not self.stubborn:
            self.end(128 + number, number)

    def end(self, code: int, signum: int = 0) -> None:
        if not self.exit.done():
            self.exit.set_result(Exit(code, signum, False, True, "", "", 9))


class Supervisor:
    """Launches fakes; ``failure`` makes a launch fail, ``gate`` holds it back."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.stubborn = False
        self.forgotten = 0

    async def launch(self, _launch: object) -> Monitor:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Monitor(stubborn=self.stubborn)

    async def forget(self, _run_dir: Path) -> None:
        self.forgotten += 1


class World:
    """One engine of fakes with one container."""

    def __init__(self, one: Container) -> None:
        self.rows, self.supervisor = Rows(), Supervisor()
        directories = SimpleNamespace(
            set_aside=lambda _id: None, delete=lambda _id: None, path=lambda one_: Path("/d") / one_
        )
        images = SimpleNamespace(list=lambda: [SimpleNamespace(id="sha256:1")])
        snapshots = SimpleNamespace(discard=lambda _id: None)
        self.core = Core(
            machine(), settings(), self.rows, images, snapshots, directories, self.supervisor, nobody(), "id",  # type: ignore[arg-type]
        )  # fmt: skip
        self.one = one
        self.core.catalog.add(one)
        self.lifecycle = Lifecycle(self.core, self._finish)
        self.listener = self.core.events.subscribe(since=None, until=None, filters={})

    async def _finish(self, one: Container) -> None:
        await removal.finish(self.core, one)

    async def remove(self, *, force: bool = False) -> None:
        await removal.remove(self.core, self.lifecycle, self.one, force=force, by=BY)

    def events(self) -> list[str]:
        found = []
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                event = self.listener._queue.get_nowait()
                assert event is not None
                found.append(event.action)
        return found


def play(story: Callable[[World], Awaitable[Any]], **rest: Any) -> Any:
    async def main() -> Any:
        world = World(container(**rest))
        try:
            return await story(world)
        finally:
            await world.core.settle(1)
            world.core.close()

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def no_launch_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "prepare", lambda *_: SimpleNamespace(spec={"mounts": []}))
    monkeypatch.setattr(lifecycle, "KILL_GRACE_S", 0.2)


async def ended(world: World) -> None:
    while world.one.run is not None:
        await asyncio.sleep(0)
    await world.core.settle(1)


def test_a_life_in_commits_and_events() -> None:
    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        assert world.one.running
        with pytest.raises(NotModified):
            await world.lifecycle.start(world.one)
        await world.lifecycle.stop(world.one, None, None, BY)
        assert (world.one.state.exit_code, world.one.state.reason) == (143, "killed by SIGTERM, asked by POST /x")
        with pytest.raises(NotModified):
            await world.lifecycle.stop(world.one, None, None, BY)
        await world.remove()
        assert world.rows.calls == ["running", "exited", "delete"]
        assert world.events() == ["start", "kill", "die", "stop", "destroy"]
        await world.core.settle(1)
        assert world.supervisor.forgotten == 1

    play(story)


def test_with_rm_a_removal_is_the_record_of_the_exit() -> None:
    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        waiting = asyncio.ensure_future(world.lifecycle.wait(world.one, "removed"))
        assert world.one.run is not None
        world.one.run.monitor.end(7)  # type: ignore[attr-defined]
        assert (await waiting).status_code == 7
        assert world.rows.calls == ["running", "delete"]
        assert world.core.catalog.find("web") is None

    play(story, host={"AutoRemove": True})


def test_a_stubborn_program_is_killed_after_its_time() -> None:
    async def story(world: World) -> None:
        world.supervisor.stubborn = True
        await world.lifecycle.start(world.one)
        await world.lifecycle.stop(world.one, 0, None, BY)
        assert world.one.state.reason == (
            "killed by SIGKILL after SIGTERM went unanswered for 0 s, asked by POST /x"
        )  # fmt: skip

    play(story)


def test_stop_uses_the_signal_that_was_asked_for() -> None:
    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        assert world.one.run is not None
        monitor = world.one.run.monitor
        await world.lifecycle.stop(world.one, 5, "SIGINT", BY)
        assert monitor.signals == [2]  # type: ignore[attr-defined]

    play(story, StopSignal="SIGUSR1")


def test_stop_waits_for_a_start_in_progress() -> None:
    async def story(world: World) -> None:
        world.supervisor.gate.clear()
        start = asyncio.ensure_future(world.lifecycle.start(world.one))
        await asyncio.sleep(0)
        stop = asyncio.ensure_future(world.lifecycle.stop(world.one, None, None, BY))
        await asyncio.sleep(0.01)
        assert not stop.done()
        world.supervisor.gate.set()
        await asyncio.gather(start, stop)
        assert world.one.state.status == "exited"

    play(story)


def test_a_forced_removal_wins_over_a_start_in_progress() -> None:
    async def story(world: World) -> None:
        world.supervisor.gate.clear()
        start = asyncio.ensure_future(world.lifecycle.start(world.one))
        await asyncio.sleep(0)
        gone = asyncio.ensure_future(world.remove(force=True))
        again = asyncio.ensure_future(world.lifecycle.start(world.one))
        await asyncio.sleep(0.01)
        world.supervisor.gate.set()
        await asyncio.gather(start, gone)
        with pytest.raises(Conflict, match="marked for removal"):
            await again
        assert world.core.catalog.find("web") is None

    play(story)


def test_two_removals() -> None:
    async def story(world: World) -> None:
        answers = await asyncio.gather(world.remove(), world.remove(force=True), return_exceptions=True)
        assert sum(answer is None for answer in answers) == 1
        assert all(answer is None or isinstance(answer, EngineError) for answer in answers)

    play(story)


def test_a_failed_start_is_kept_and_can_be_tried_again() -> None:
    async def story(world: World) -> None:
        world.supervisor.failure = StartFailed("exec", 'exec: "x": executable file not found in $PATH', 127)
        with pytest.raises(EngineError, match="executable file not found"):
            await world.lifecycle.start(world.one)
        assert (world.one.state.status, world.one.state.exit_code) == ("created", 127)
        world.supervisor.failure = None
        await world.lifecycle.start(world.one)
        assert world.one.state.error == ""
        await world.lifecycle.kill(world.one, None, BY)

    play(story)


def test_a_session_whose_client_left_before_its_start_has_ended() -> None:
    async def detach() -> None:
        raise ConnectionResetError

    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        sessions = execs.Execs(world.core)
        session = await sessions.create(world.one.id, schema.ExecCreate(cmd=["true"]))
        rest: dict[str, Any] = {"tty": False, "console_size": None, "connection": SimpleNamespace(detach=detach)}
        with pytest.raises(ConnectionResetError):
            await sessions.start(session, detach=False, **rest)
        found = await sessions.inspect(session)
        assert (found.running, found.exit_code, world.one.exec_ids) == (False, execs.FAILED, [])
        assert "exec_die" in world.events()
        with pytest.raises(Conflict, match="has already run"):
            await sessions.start(session, detach=False, **rest)
        await world.lifecycle.kill(world.one, None, BY)

    play(story)


def test_a_start_that_cannot_be_recorded_is_undone() -> None:
    async def story(world: World) -> None:
        world.rows.broken = True
        with pytest.raises(Internal, match="could not be recorded"):
            await world.lifecycle.start(world.one)
        await ended(world)
        assert not world.one.running

    play(story)


def test_an_exit_that_cannot_be_recorded_stays_in_the_run_directory() -> None:
    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        waiting = asyncio.ensure_future(world.lifecycle.wait(world.one, "not-running"))
        world.rows.broken = True
        assert world.one.run is not None
        world.one.run.monitor.end(3)  # type: ignore[attr-defined]
        assert (await waiting).status_code == 3
        assert world.supervisor.forgotten == 0
        world.rows.broken = False
        await world.lifecycle.start(world.one)
        assert world.supervisor.forgotten == 1
        await world.lifecycle.kill(world.one, None, BY)

    play(story)


def test_a_removal_that_fails_can_be_tried_again() -> None:
    async def story(world: World) -> None:
        world.rows.broken = True
        with pytest.raises(OSError, match="No space left"):
            await world.remove()
        world.rows.broken = False
        await world.remove()

    play(story)


def test_a_removal_on_a_full_disk_makes_room_with_the_files() -> None:
    async def story(world: World) -> None:
        world.rows.broken = True

        def deleted(_id: str) -> None:
            world.rows.broken = False

        world.core.directories.delete = deleted  # type: ignore[method-assign]
        await world.remove()
        assert world.rows.calls == ["delete", "delete"]
        assert world.core.catalog.find("web") is None

    play(story)


def test_a_removal_of_an_exit_that_was_not_recorded_clears_the_run_directory() -> None:
    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        world.rows.broken = True
        await world.lifecycle.kill(world.one, None, BY)
        assert world.supervisor.forgotten == 0
        world.rows.broken = False
        await world.remove()
        await world.core.settle(1)
        assert world.supervisor.forgotten == 1

    play(story)


OUTCOMES = [None, Exit(3, 0, False, True, "", "", 9), Exit(127, 0, False, False, "exec", "not found", 0)]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_recovery_on_a_full_disk_goes_on_and_keeps_the_run_directory(outcome: Exit | None, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async def adopt(_run_dir: Path) -> Exit | None:
            return outcome

        row = world.one.row("boot")
        row = dataclasses.replace(row, state=b'{"status":"running","started":1}')
        rows: Any = world.rows
        rows.all = lambda: [row]
        world.rows.broken = True
        world.core.settings = settings(exec_root=tmp_path)
        world.core.supervisor.adopt = adopt  # type: ignore[method-assign,assignment]
        world.core.snapshots = SimpleNamespace(keys=list)  # type: ignore[assignment]
        directories: Any = world.core.directories
        directories.ids = directories.left_behind = list
        world.core.run_dir(world.one.id).mkdir(parents=True)
        world.core.catalog.remove(world.one)
        await recovery.recover(world.core, SimpleNamespace(lifecycle=world.lifecycle), None)  # type: ignore[arg-type]
        (found,) = world.core.catalog
        assert not found.running and found.unrecorded
        assert world.supervisor.forgotten == 0

    play(story)


def test_a_waiter_that_goes_away_leaves_nothing() -> None:
    async def story(world: World) -> None:
        waiting = asyncio.ensure_future(world.lifecycle.wait(world.one, "next-exit"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not world.one.exit_waiters

    play(story)


def test_a_program_that_does_not_die_is_said_not_to() -> None:
    async def story(world: World) -> None:
        await world.lifecycle.start(world.one)
        assert world.one.run is not None
        monitor: Any = world.one.run.monitor
        monitor.end = lambda *_: None
        with pytest.raises(Internal, match=r"did not end 0\.2 s after SIGKILL"):
            await world.lifecycle.kill(world.one, None, BY)
        del monitor.end
        monitor.end(1)
        await ended(world)

    play(story)
