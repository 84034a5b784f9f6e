"""Who can die when: the rows of the table in docs/architecture.md that need no engine."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from sampan.linux import process
from sampan.runtime import cgroups, guard, handle, records, supervisor, wire
from sampan.runtime.supervisor import Exit, Monitor, MonitorGone, StartFailed, Supervisor

from .conftest import Runtime, alive, read_until, wait_for


def wait_for_death(pid: int) -> None:
    """Wait until the process is no more, or a zombie of somebody else's."""
    wait_for(lambda: not alive(pid))


def is_ann(pid: int) -> bool:
    return "\nUid:\t1000\t" in Path(f"/proc/{pid}/status").read_text()


def group_of(monitor: Monitor) -> cgroups.Group:
    group = guard.group_of(str(monitor.run_dir))
    assert group is not None
    return group


def forget_handles(runtime: Runtime) -> None:
    """What sampand's death does: every channel ends, nothing is said."""
    runtime.run(runtime.supervisor.close())


def reborn(runtime: Runtime) -> Supervisor:
    runtime.supervisor = Supervisor(runtime.home / "run", [runtime.home])
    return runtime.supervisor


def test_monitor_killed_ends_the_container_and_says_so(runtime: Runtime) -> None:
    """PR_SET_PDEATHSIG does not reach a process that changed its user: the control group does."""
    user = {"uid": 0, "gid": 0, "username": "ann"}
    monitor = runtime.start(runtime.spec("sh", "-c", "sleep 1000 & exec sleep 1000", user=user))
    group = group_of(monitor)
    wait_for(lambda: len(group.pids()) == 2 and all(map(is_ann, group.pids())))
    os.kill(monitor.pid, signal.SIGKILL)
    ended = runtime.exit(monitor)
    assert (ended.code, ended.started) == (137, True)
    assert "monitor" in ended.error
    assert group.pids() == []
    runtime.end(monitor)


def test_monitor_killed_while_sampand_is_away(runtime: Runtime) -> None:
    """The old zygote, its parent, does what is to be done; the next sampand finds the record."""
    monitor = runtime.start(runtime.spec("sleep", "1000"))
    group, run_dir = group_of(monitor), monitor.run_dir
    forget_handles(runtime)
    os.kill(monitor.pid, signal.SIGKILL)
    wait_for_death(monitor.init_pid)
    wait_for(lambda: records.read(str(run_dir), records.EXIT) is not None)
    assert group.pids() == []
    found = runtime.run(reborn(runtime).adopt(run_dir))
    assert isinstance(found, Exit)
    assert (found.code, found.started) == (137, True)
    runtime.run(runtime.supervisor.forget(run_dir))


def test_zygote_and_monitor_killed_while_sampand_is_away(runtime: Runtime) -> None:
    """Nobody saw it: the free lock tells the next sampand."""
    monitor = runtime.start(runtime.spec("sh", "-c", "trap '' HUP TERM; sleep 1000"))
    run_dir, group, zygote = monitor.run_dir, group_of(monitor), runtime.supervisor.zygote_pid
    forget_handles(runtime)
    os.kill(zygote, signal.SIGKILL)
    os.waitpid(zygote, 0)
    os.kill(monitor.pid, signal.SIGKILL)
    found = runtime.run(reborn(runtime).adopt(run_dir))
    assert isinstance(found, Exit)
    assert found.code == 137
    assert group.pids() == []
    runtime.run(runtime.supervisor.forget(run_dir))


def test_zygote_killed_is_not_noticed_and_replaced(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("cat"), stdin=True)
    old = runtime.supervisor.zygote_pid
    os.kill(old, signal.SIGKILL)
    client.sendall(b"still here\n")
    read_until(client, b"still here\n")
    second = runtime.start(runtime.spec("true"))  # by the monitor that waited, or by one of a new zygote
    runtime.run(_replaced(runtime.supervisor, old))
    runtime.end(second)
    client.close()
    assert runtime.end(monitor).code == 0


def test_sampand_away_streams_logs_sessions_and_exit_go_on(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("sh", "-c", "read x; echo got $x; read y; exit 9"), stdin=True)
    _, session = runtime.exec(monitor, "sh", "-c", "read z; echo session $z; exit 4", stdin=True)
    run_dir = monitor.run_dir
    forget_handles(runtime)
    client.sendall(b"one\n")
    read_until(client, b"got one\n")
    session.sendall(b"two\n")
    read_until(session, b"session two\n")
    found = runtime.run(reborn(runtime).adopt(run_dir))
    assert isinstance(found, Monitor)
    assert (found.init_pid, found.pid) == (monitor.init_pid, monitor.pid)
    ended = next(iter(found.execs.values()))
    if ended.code is None:
        assert runtime.run(_done(found.exec_exit(ended.id))) == 4
    client.sendall(b"\n")
    assert runtime.end(found).code == 9
    assert "got one" in (runtime.home / f"{monitor.id}.log").read_text()


async def _replaced(one: Supervisor, old: int) -> None:
    while one.zygote_pid in (0, old):
        await asyncio.sleep(0.01)


async def _done(future: "asyncio.Future[int]") -> int:
    return await future


def test_exit_while_sampand_is_away_is_found(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("sh", "-c", "read x; exit 6"), stdin=True)
    run_dir = monitor.run_dir
    forget_handles(runtime)
    client.sendall(b"\n")
    wait_for_death(monitor.pid)
    found = runtime.run(reborn(runtime).adopt(run_dir))
    assert isinstance(found, Exit)
    assert (found.code, found.error) == (6, "")
    runtime.run(runtime.supervisor.forget(run_dir))


def test_sampand_dies_before_the_zygote_was_asked(runtime: Runtime) -> None:
    run_dir = runtime.home / "run" / "cut"
    os.close(records.create(str(run_dir)))
    assert runtime.run(runtime.supervisor.adopt(run_dir)) is None
    runtime.run(runtime.supervisor.forget(run_dir))
    assert not run_dir.exists()


def test_a_monitor_that_comes_too_late_starts_nothing(runtime: Runtime) -> None:
    """sampand died with its request under way, and its successor has given the start up already."""
    run_dir = runtime.home / "run" / "late"
    os.close(records.create(str(run_dir)))
    assert guard.finish(str(run_dir)) is None
    assert records.acquire(str(run_dir)) is None


def test_a_lock_lasts_as_long_as_its_descriptor_does_even_in_the_queue_of_a_socket(runtime: Runtime) -> None:
    run_dir = runtime.home / "run" / "lock"
    held = records.create(str(run_dir))
    assert records.acquire(str(run_dir)) is None
    ours, theirs = wire.pair()
    wire.send(ours, {}, [held])
    os.close(held)
    os.close(os.open(run_dir / records.LOCK, os.O_RDONLY))  # unlike a POSIX lock it does not go with any descriptor
    assert records.acquire(str(run_dir)) is None
    ours.close()
    theirs.close()
    again = records.acquire(str(run_dir))
    assert again is not None
    os.close(again)
    guard.clear(str(run_dir))
    assert not run_dir.exists()
    records.remove(str(run_dir))


def test_init_does_not_outlive_a_monitor_that_dies_during_the_start(runtime: Runtime) -> None:
    """At many moments of the start; whatever was reached, the outcome is an exit or a start that failed."""

    async def one(delay: float) -> None:
        launch = runtime.prepare(runtime.spec("sleep", "1000"))
        starting = asyncio.ensure_future(runtime.supervisor.launch(launch))
        await asyncio.sleep(delay)
        for pid in _children(runtime.supervisor.zygote_pid):
            os.kill(pid, signal.SIGKILL)
        await asyncio.wait({starting})
        failed = starting.exception()
        if failed is not None:
            assert "monitor" in str(failed)
        else:
            monitor = starting.result()
            if not monitor.exit.done():
                for pid in _children(runtime.supervisor.zygote_pid):
                    os.kill(pid, signal.SIGKILL)
            assert (await monitor.exit).code == 137
            await runtime.supervisor.forget(launch.run_dir)
            monitor.close()
        assert not launch.run_dir.exists()

    for step in range(12):
        runtime.run(one(step * 0.002))


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def test_pids_of_this_boot_are_told_apart_by_start_time() -> None:
    assert process.start_time(os.getpid()) > 0
    assert len(process.boot_id()) == 36


def test_a_stopped_monitor_does_not_keep_its_container_alive(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "ANSWER_WAIT_S", 0.1)
    monitor = runtime.start(runtime.spec("sleep", "1000"))
    os.kill(monitor.pid, signal.SIGSTOP)
    with pytest.raises(MonitorGone, match="does not answer"):
        runtime.run(monitor.signal(signal.SIGTERM))
    runtime.run(monitor.signal(signal.SIGKILL))
    assert runtime.end(monitor).code == 137


def test_a_stopped_zygote_is_replaced(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "TAKE_WAIT_S", 2.0)
    old = runtime.supervisor.zygote_pid
    for pid in _children(old):  # the monitor that waits
        os.kill(pid, signal.SIGKILL)
    os.kill(old, signal.SIGSTOP)
    assert runtime.end(runtime.start(runtime.spec("true"))).code == 0
    assert runtime.supervisor.zygote_pid not in (0, old)


def test_a_waiting_monitor_leaves_when_no_start_comes(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SPARE_S", 0.05)
    runtime.end(runtime.start(runtime.spec("true")))

    async def rest() -> None:
        while _children(runtime.supervisor.zygote_pid):
            await asyncio.sleep(0.01)

    runtime.run(rest())
    assert runtime.end(runtime.start(runtime.spec("true"))).code == 0


def test_a_second_launch_leaves_the_records_of_the_first_alone(runtime: Runtime) -> None:
    monitor = runtime.start(runtime.spec("sleep", "1000"))
    again = runtime.prepare(runtime.spec("true"))
    again.run_dir = monitor.run_dir
    with pytest.raises(StartFailed, match="exists"):
        runtime.run(runtime.supervisor.launch(again))
    assert records.exists(str(monitor.run_dir))
    runtime.run(monitor.signal(signal.SIGKILL))
    assert runtime.end(monitor).code == 137
