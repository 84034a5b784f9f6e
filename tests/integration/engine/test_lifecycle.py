"""Create, start, stop, kill, restart, remove, wait and rename over the socket, alone and all at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.processes import wait_for

SLEEP = ("sleep", "1000")
TRAP = ("sh", "-c", 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done')
STUBBORN = ("sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.05; done')


def up(engine: Any, container: str) -> None:
    """Wait until the program has said that it is up: its traps are set."""
    wait_for(lambda: "up" in (engine.ok("GET", f"/containers/{container}/logs?stdout=1") or ""), "the program is up")


def test_a_whole_life(engine: Any) -> None:
    one = engine.create("sh", "-c", "exit 7", name="web")
    assert engine.state(one)["Status"] == "created"
    engine.ok("POST", "/containers/web/start")
    assert engine.ok("POST", "/containers/web/wait")["StatusCode"] == 7
    state = engine.state(one)
    assert (state["Status"], state["ExitCode"], state["Reason"]) == ("exited", 7, "exited with code 7")
    engine.ok("POST", "/containers/web/start")
    assert engine.ok("POST", "/containers/web/wait")["StatusCode"] == 7
    engine.ok("DELETE", "/containers/web")
    assert engine.ask("GET", f"/containers/{one}/json")[0] == 404


def test_the_reason_is_there_while_it_is_empty(engine: Any) -> None:
    """So that `docker inspect -f {{.State.Reason}}` is no error."""
    container = engine.run("sleep", "1000")
    assert engine.state(container)["Reason"] == ""


def test_start_and_stop_of_what_is_so_already(engine: Any) -> None:
    one = engine.run(*TRAP)
    assert engine.ask("POST", f"/containers/{one}/start")[0] == 304
    up(engine, one)
    assert engine.ask("POST", f"/containers/{one}/stop")[0] == 204
    assert engine.ask("POST", f"/containers/{one}/stop")[0] == 304


def test_stop_says_who_asked(engine: Any) -> None:
    one = engine.run(*TRAP, name="web")
    up(engine, one)
    engine.ok("POST", "/containers/web/stop")
    state = engine.state(one)
    assert state["ExitCode"] == 3
    assert state["Reason"].startswith("exited with code 3, asked by POST /v1.45/containers/web/stop (") or state[
        "Reason"
    ].startswith("exited with code 3, asked by POST /containers/web/stop (")


def test_stop_kills_after_its_time(engine: Any) -> None:
    one = engine.run(*STUBBORN)
    up(engine, one)
    engine.ok("POST", f"/containers/{one}/stop?t=1")
    state = engine.state(one)
    assert (state["ExitCode"], state["OOMKilled"]) == (137, False)
    assert state["Reason"].startswith("killed by SIGKILL after SIGTERM went unanswered for 1 s, asked by POST ")


def test_kill_with_a_signal(engine: Any) -> None:
    one = engine.run("sh", "-c", 'trap "exit 9" USR1; echo up; while :; do sleep 0.05; done')
    up(engine, one)
    engine.ok("POST", f"/containers/{one}/kill?signal=SIGUSR1")
    assert engine.ok("POST", f"/containers/{one}/wait")["StatusCode"] == 9


REFUSALS = [
    ("POST", "/containers/{stopped}/kill", 409, "cannot kill container: {stopped}: container {stopped} is not running"),
    ("POST", "/containers/{running}/kill?signal=FOO", 400, "cannot kill container: {running}: invalid signal: FOO"),
    ("POST", "/containers/{running}/stop?signal=FOO", 500, "cannot stop container: {running}: invalid signal: FOO"),
    ("GET", "/containers/{stopped}/top", 409, "container {stopped} is not running"),
    ("POST", "/containers/{stopped}/resize?h=1&w=1", 409, "container {stopped} is not running"),
    ("DELETE", "/containers/{running}", 409,
     'cannot remove container "/run": container is running: stop the container before removing or force remove'),
    ("DELETE", "/containers/nono", 404, "No such container: nono"),
    ("POST", "/containers/{stopped}/rename?name=run", 409,
     ('Error when allocating new name: Conflict. The container name "/run" is already in use by container "{running}". '
     "You have to remove (or rename) that container to be able to reuse that name.")),
    ("POST", "/containers/{stopped}/rename?name=idle", 400,
     "Renaming a container with the same name as its current name"),
    ("POST", "/containers/{stopped}/rename?name=", 400, "Neither old nor new names may be empty"),
    ("POST", "/containers/{stopped}/rename?name=.-", 400,
     "Error when allocating new name: Invalid container name (/.-), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
]  # fmt: skip


def test_refusals_in_dockers_words(engine: Any) -> None:
    known = {"stopped": engine.create("true", name="idle"), "running": engine.run(*SLEEP, name="run")}
    for method, path, status, text in REFUSALS:
        answer = engine.ask(method, path.format(**known))
        assert (answer[0], answer[1]["message"]) == (status, text.format(**known)), path


def test_rename(engine: Any) -> None:
    one = engine.create("true", name="old")
    engine.ok("POST", "/containers/old/rename?name=new")
    assert engine.ok("GET", "/containers/new/json")["Id"] == one
    engine.create("true", name="old")


def test_a_start_that_fails_can_be_tried_again_and_removed(engine: Any) -> None:
    one = engine.create("nono")
    for _ in range(2):
        status, answer = engine.ask("POST", f"/containers/{one}/start")
        assert status == 400
        assert answer["message"].endswith('exec: "nono": executable file not found in $PATH: unknown')
    state = engine.state(one)
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert state["Reason"].startswith("start failed at exec: ")
    engine.ok("DELETE", f"/containers/{one}")


def test_with_rm_an_exit_is_a_removal(engine: Any) -> None:
    one = engine.create("true", host={"AutoRemove": True})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.ok, "POST", f"/containers/{one}/wait?condition=removed")
        engine.ok("POST", f"/containers/{one}/start")
        assert waiting.result()["StatusCode"] == 0
    assert engine.ask("GET", f"/containers/{one}/json")[0] == 404


def test_with_rm_a_failed_start_is_a_removal_too(engine: Any) -> None:
    one = engine.create("nono", host={"AutoRemove": True})
    assert engine.ask("POST", f"/containers/{one}/start")[0] == 400
    assert engine.ask("GET", f"/containers/{one}/json")[0] == 404


def test_a_restart_of_an_rm_container_keeps_it(engine: Any) -> None:
    one = engine.run(*SLEEP, host={"AutoRemove": True})
    first = engine.state(one)["Pid"]
    engine.ok("POST", f"/containers/{one}/restart?t=0")
    state = engine.state(one)
    assert state["Running"] and state["Pid"] != first


def test_next_exit_is_not_the_last_one(engine: Any) -> None:
    one = engine.run("true")
    engine.ok("POST", f"/containers/{one}/wait")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.ok, "POST", f"/containers/{one}/wait?condition=next-exit")
        while not waiting.running():
            pass
        engine.ok("POST", f"/containers/{one}/restart")
        assert waiting.result()["StatusCode"] == 0


def test_waiters_are_told_of_a_removal(engine: Any) -> None:
    one = engine.run(*SLEEP)
    with ThreadPoolExecutor(2) as pool:
        exits = [
            pool.submit(engine.ok, "POST", f"/containers/{one}/wait?condition={c}") for c in ("removed", "next-exit")
        ]
        while not all(future.running() for future in exits):
            pass
        engine.ok("DELETE", f"/containers/{one}?force=1")
        assert exits[1].result()["StatusCode"] == 137
        status = exits[0].exception() or exits[0].result()
    assert isinstance(status, AssertionError) or status["StatusCode"] == 137


@pytest.mark.parametrize("round_", range(3))
def test_everything_at_once_ends_in_order(engine: Any, round_: int) -> None:
    """Whatever happens in between: no 500, and a forced removal in the end leaves nothing."""
    one = engine.create(*SLEEP, name=f"race{round_}")
    orders = [
        ("POST", f"/containers/{one}/{what}")
        for what in ("start", "stop?t=0", "kill", "restart?t=0", "start", "rename?name=other", "start", "kill")
    ]
    begin = threading.Barrier(len(orders))

    def ask(order: tuple[str, str]) -> int:
        begin.wait()
        return int(engine.ask(*order)[0])

    with ThreadPoolExecutor(len(orders)) as pool:
        answers = list(pool.map(ask, orders))
    assert set(answers) <= {204, 304, 409}, answers
    engine.ok("DELETE", f"/containers/{one}?force=1")
    assert engine.ok("GET", "/containers/json?all=1") == []


def test_forced_removal_while_it_starts(engine: Any) -> None:
    for _ in range(5):
        one = engine.create(*SLEEP)
        with ThreadPoolExecutor(2) as pool:
            start = pool.submit(engine.ask, "POST", f"/containers/{one}/start")
            removal = pool.submit(engine.ask, "DELETE", f"/containers/{one}?force=1")
            assert removal.result()[0] == 204
            assert start.result()[0] in (204, 404, 409)


def test_two_creations_with_one_name(engine: Any) -> None:
    def create(_: int) -> int:
        return int(
            engine.ask("POST", "/containers/create?name=same", {
                "Image": "sampan-test/busybox:1", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"},
            })[0]
        )  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(create, range(8)))
    assert answers == [201, *[409] * 7]


def test_an_image_is_kept_while_a_container_uses_it(engine: Any) -> None:
    one = engine.create("true")
    status, answer = engine.ask("DELETE", "/images/sampan-test/busybox:1")
    assert status == 409 and f"container {one[:12]} is using its referenced image" in answer["message"]


def test_limits_end_a_program_that_takes_too_much(engine: Any) -> None:
    one = engine.run("sh", "-c", "x=$(tr '\\0' a < /dev/zero)", host={"Memory": 16 << 20})
    assert engine.ok("POST", f"/containers/{one}/wait")["StatusCode"] == 137
    state = engine.state(one)
    assert state["OOMKilled"] and state["Reason"] == "out of memory: the limit is 16 MiB"
