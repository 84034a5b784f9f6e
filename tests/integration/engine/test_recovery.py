"""What the next sampand makes of what the last one left: running, ended meanwhile, cut off, orphaned, rebooted."""

import os
import signal
import sqlite3
from typing import Any

import pytest

from support.processes import wait_for

COUNT = ("sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")


def database(engine: Any) -> sqlite3.Connection:
    return sqlite3.connect(engine.daemon.data / "state.db")


def test_a_running_container_does_not_notice(engine: Any) -> None:
    one = engine.run(*COUNT)
    before = engine.state(one)
    engine.daemon.restart()
    after = engine.state(one)
    assert after == before and after["Running"]
    engine.ok("POST", f"/containers/{one}/stop?t=0")
    status, text = engine.ask("GET", f"/containers/{one}/logs?stdout=1")
    assert status == 200
    counted = [int(line[8:]) for line in text.splitlines()]
    assert counted == list(range(len(counted)))


def test_an_exit_while_sampand_was_away(engine: Any) -> None:
    one = engine.run("sh", "-c", "sleep 0.3; exit 5")
    gone = engine.run("sh", "-c", "sleep 0.3", host={"AutoRemove": True})
    pid = engine.state(one)["Pid"]
    engine.daemon.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the program ends")
    engine.daemon.start()
    state = engine.state(one)
    assert (state["Status"], state["ExitCode"], state["Reason"]) == ("exited", 5, "exited with code 5")
    wait_for(lambda: engine.ask("GET", f"/containers/{gone}/json")[0] == 404, "the --rm container goes")
    engine.ok("POST", f"/containers/{one}/start")


def test_a_monitor_that_dies_while_sampand_is_away(engine: Any) -> None:
    one = engine.run(*COUNT)
    pid = engine.state(one)["Pid"]
    engine.daemon.kill()
    for monitor in engine.daemon.monitors():
        os.kill(monitor.pid, signal.SIGKILL)
    engine.daemon.start()
    state = engine.state(one)
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    assert "its monitor" in state["Reason"] and "died" in state["Reason"]
    assert not os.path.exists(f"/proc/{pid}")


def test_a_start_that_was_cut_off(engine: Any) -> None:
    one = engine.create("true")
    engine.daemon.kill()
    with database(engine) as connection:
        connection.execute('UPDATE containers SET state = \'{"status":"running","started":1}\'')
    engine.daemon.start()
    state = engine.state(one)
    assert (state["Status"], state["Reason"]) == ("created", "the start was cut off: sampand ended in the middle of it")
    engine.ok("POST", f"/containers/{one}/start")
    assert engine.ok("POST", f"/containers/{one}/wait")["StatusCode"] == 0


def test_a_machine_that_was_restarted(engine: Any) -> None:
    one = engine.create("true")
    engine.daemon.kill()
    with database(engine) as connection:
        connection.execute(
            'UPDATE containers SET state = \'{"status":"running","started":1}\', boot_id = \'an earlier one\''
        )
    engine.daemon.start()
    state = engine.state(one)
    assert (state["Status"], state["ExitCode"]) == ("exited", 255)
    assert state["Reason"] == "the machine was restarted while it ran"
    engine.ok("DELETE", f"/containers/{one}")


def test_what_no_row_knows_is_ended_and_cleared(engine: Any) -> None:
    one = engine.run("sleep", "1000")
    pid = engine.state(one)["Pid"]
    engine.daemon.kill()
    with database(engine) as connection:
        connection.execute("DELETE FROM containers")
    engine.daemon.start()
    assert engine.ok("GET", "/containers/json?all=1") == []
    assert not os.path.exists(f"/proc/{pid}")
    assert not (engine.daemon.data / "containers" / one).exists()
    assert not (engine.daemon.exec / "containers" / one).exists()


DAMAGE = ["{", '{"path": 1}', "\x00", '{"config":{},"host":{},"path":"a","args":[],"driver":5}']


def test_a_damaged_record_is_told_and_the_others_are_served(engine: Any) -> None:
    name = "damaged"
    bad, good = engine.run("sleep", "1000", name=name), engine.run("sleep", "1000")
    pid = engine.state(bad)["Pid"]
    with database(engine) as connection:
        config = connection.execute("SELECT config FROM containers WHERE id = ?", (bad,)).fetchone()[0]
    for damage in DAMAGE:
        engine.daemon.kill()
        with database(engine) as connection:
            connection.execute("UPDATE containers SET config = ? WHERE id = ?", (damage.encode(), bad))
        engine.daemon.start()
        assert [one["Id"] for one in engine.ok("GET", "/containers/json?all=1")] == [good]
        assert f"container {bad[:12]} ({name}) can't be served" in engine.daemon.tail()
        assert f"DELETE FROM containers WHERE id = '{bad}'" in engine.daemon.tail()
        with pytest.raises(AssertionError, match="409"):
            engine.create("true", name=name)
    engine.daemon.kill()
    with database(engine) as connection:
        connection.execute("UPDATE containers SET config = ? WHERE id = ?", (config, bad))
    engine.daemon.start()
    assert engine.state(bad)["Pid"] == pid and engine.state(bad)["Running"]
    assert (engine.daemon.data / "containers" / bad).exists()


def test_a_damaged_record_of_an_image_is_told_and_nothing_is_removed(engine: Any) -> None:
    one = engine.run("sleep", "1000")
    image = engine.ok("GET", f"/containers/{one}/json")["Image"]
    with database(engine) as connection:
        layers = connection.execute("SELECT layers FROM images WHERE id = ?", (image,)).fetchone()[0]
    for damage in ("[", "[[1]]", "[[1, 2, 3]]", "{}x"):
        engine.daemon.kill()
        with database(engine) as connection:
            connection.execute("UPDATE images SET layers = ? WHERE id = ?", (damage, image))
        engine.daemon.start()
        assert engine.state(one)["Running"]
        assert engine.ok("GET", "/images/json") == []
        assert f"image {image} (" in engine.daemon.tail()
    engine.daemon.kill()
    with database(engine) as connection:
        connection.execute("UPDATE images SET layers = ? WHERE id = ?", (layers, image))
    engine.daemon.start()
    assert [found["Id"] for found in engine.ok("GET", "/images/json")] == [image]
    engine.run("true")


WAIT_FOR_GO = "while [ ! -e /go ]; do sleep 0.05; done; exit 4"


def test_an_exec_session_outlives_sampand(engine: Any) -> None:
    one = engine.run("sleep", "1000")
    session = engine.ok("POST", f"/containers/{one}/exec", {"Cmd": ["sh", "-c", WAIT_FOR_GO]})["Id"]
    engine.ok("POST", f"/exec/{session}/start", {"Detach": True})
    engine.daemon.restart()
    assert engine.ok("GET", f"/containers/{one}/json")["ExecIDs"] == [session]
    go = engine.ok("POST", f"/containers/{one}/exec", {"Cmd": ["touch", "/go"]})["Id"]
    engine.ok("POST", f"/exec/{go}/start", {"Detach": True})
    wait_for(lambda: not engine.ok("GET", f"/exec/{session}/json")["Running"], "the session ends")
    assert engine.ok("GET", f"/exec/{session}/json")["ExitCode"] == 4
