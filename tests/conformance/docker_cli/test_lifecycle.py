"""create, start, stop, kill, restart, rm, wait, rename, ps, top, inspect, events: a container's life by its names."""

import json
import re
import time

import pytest

from support.engine import Engine
from support.images import BUSYBOX
from support.processes import wait_for

CATCHES_TERM = "trap 'echo term; exit 143' TERM; echo ready; while :; do sleep 0.1; done"


def ready(engine: Engine, *flags: str, script: str = CATCHES_TERM) -> str:
    """A container whose shell has set its trap."""
    container = engine.start(*flags, BUSYBOX, "sh", "-c", script)
    wait_for(lambda: "ready" in engine.docker("logs", container).out, "the shell is ready")
    return container


def state(engine: Engine, container: str) -> str:
    """Its status and exit code, as `exited 0`."""
    return engine.look(container, "{{.State.Status}} {{.State.ExitCode}}")


def test_create_start_wait_remove(engine: Engine) -> None:
    name = engine.name()
    container = engine.create("--name", name, BUSYBOX, "sh", "-c", "exit 3")
    assert state(engine, name) == "created 0"
    assert engine.ok("start", name) == name
    assert engine.ok("wait", container) == "3"
    assert state(engine, name) == "exited 3"
    assert engine.ok("rm", name) == name
    assert engine.docker("inspect", name).code == 1


def test_wait_for_a_running_one(engine: Engine) -> None:
    container = ready(engine)
    with engine.open("wait", container) as waiting:
        engine.ok("kill", container)
        out, _ = waiting.communicate(timeout=30)
    assert out == b"137\n"


def test_stop_asks_first(engine: Engine) -> None:
    container = ready(engine)
    assert engine.ok("stop", container) == container
    assert state(engine, container) == "exited 143"
    assert engine.ok("logs", container).endswith("term")


def test_stop_kills_who_does_not_listen(engine: Engine) -> None:
    container = ready(engine, script="trap '' TERM; echo ready; while :; do sleep 0.1; done")
    begun = time.monotonic()
    engine.ok("stop", "-t", "1", container)
    assert 0.9 < time.monotonic() - begun < 8
    assert state(engine, container) == "exited 137"


def test_stop_with_its_own_signal_and_patience(engine: Engine) -> None:
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done"
    container = ready(engine, "--stop-signal", "USR1", "--stop-timeout", "5", script=script)
    engine.ok("stop", container)
    assert state(engine, container) == "exited 9"


def test_stop_of_a_stopped_one_is_fine(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "true")
    engine.ok("wait", container)
    assert engine.ok("stop", container) == container


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("9", 137), ("SIGTERM", 143), ("TERM", 143)])
def test_kill(engine: Engine, signal: str, code: int) -> None:
    container = ready(engine)
    engine.ok("kill", "-s", signal, container)
    assert engine.ok("wait", container) == str(code)


def test_restart_makes_a_new_process(engine: Engine) -> None:
    container = ready(engine)
    before = engine.look(container, "{{.State.Pid}} {{.State.StartedAt}}")
    engine.ok("restart", "-t", "2", container)
    assert engine.look(container, "{{.State.Running}}") == "true"
    assert engine.look(container, "{{.State.Pid}} {{.State.StartedAt}}") != before


def test_files_live_over_a_restart(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sh", "-c", "cat /kept; echo kept > /kept")
    engine.ok("wait", container)
    engine.ok("start", container)
    engine.ok("wait", container)
    assert engine.docker("logs", container).out == "kept\n"


def test_remove_refuses_a_running_one_unless_forced(engine: Engine) -> None:
    name = engine.name()
    engine.start("--name", name, BUSYBOX, "sleep", "1000")
    refused = engine.docker("rm", name)
    words = (
        f'cannot remove container "/{name}": container is running: stop the container before removing or force remove'
    )
    assert refused.code == 1 and words in refused.err
    assert engine.ok("rm", "-f", name) == name


def test_rename(engine: Engine) -> None:
    old, new, other = engine.name(), engine.name(), engine.name()
    container = engine.create("--name", old, BUSYBOX)
    engine.create("--name", other, BUSYBOX)
    engine.ok("rename", old, new)
    assert engine.look(container, "{{.Name}}") == f"/{new}"
    taken = engine.docker("rename", new, other)
    assert taken.code == 1 and f'The container name "/{other}" is already in use' in taken.err
    assert engine.docker("inspect", old).code == 1


def test_generated_names_are_two_words(engine: Engine) -> None:
    assert re.fullmatch(r"/[a-z]+_[a-z]+", engine.look(engine.create(BUSYBOX), "{{.Name}}"))


def test_names_short_ids_and_prefixes(engine: Engine) -> None:
    name = engine.name()
    container = engine.create("--name", name, BUSYBOX)
    for ref in (name, f"/{name}", container, container[:12], container[:8]):
        assert engine.look(ref, "{{.Id}}") == container


def test_an_ambiguous_prefix_is_refused(engine: Engine) -> None:
    by_letter: dict[str, list[str]] = {}
    for _ in range(17):  # 16 hexadecimal digits: two of them start alike
        container = engine.create(BUSYBOX)
        by_letter.setdefault(container[0], []).append(container)
    letter = next(letter for letter, ids in by_letter.items() if len(ids) > 1)
    for verb in ("start", "inspect"):
        refused = engine.docker(verb, letter)
        assert refused.code == 1
        assert f"multiple ids found with provided prefix: {letter}" in refused.err.lower()


def test_ps(engine: Engine) -> None:
    name = engine.name()
    container = engine.start("--name", name, BUSYBOX, "sleep", "1000")
    header, row = engine.ok("ps", "--filter", f"name={name}").splitlines()
    assert re.split(r"\s{2,}", header) == ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert re.fullmatch(rf'{container[:12]}   {BUSYBOX}   "sleep 1000"   .* ago   Up .*  {name}', row)
    assert engine.ok("ps", "-q", "--no-trunc", "--filter", f"id={container}") == container
    engine.ok("kill", name)
    assert engine.ok("ps", "-q", "--filter", f"name={name}") == ""
    status = engine.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}")
    assert re.fullmatch(r"Exited \(137\) .* ago", status)


def test_ps_filters(engine: Engine) -> None:
    container = engine.create("--label", "color=red", BUSYBOX)
    find = lambda *f: engine.ok("ps", "-aq", "--no-trunc", *(x for one in f for x in ("--filter", one)))  # noqa: E731
    own = f"label=sampan.test={engine.token}"
    assert find(own, "label=color") == find(own, "label=color=red") == find(own, "status=created") == container
    assert find(own, "label=color=blue") == find(own, "status=running") == find(own, "exited=0") == ""


def test_top(engine: Engine) -> None:
    if engine.is_peer:
        pytest.skip("this peer lives in a tree without ps")
    container = engine.start(BUSYBOX, "sleep", "1000")
    header, row = engine.ok("top", container).splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert row.split()[-2:] == ["sleep", "1000"] and row.split()[1] == engine.look(container, "{{.State.Pid}}")
    assert engine.ok("top", container, "-o", "pid,args").splitlines()[1].split()[1:] == ["sleep", "1000"]


def test_inspect(engine: Engine) -> None:
    name = engine.name()
    container = engine.start("--name", name, "-e", "A=b", "--memory", "64m", BUSYBOX, "sleep", "1000")
    facts = json.loads(engine.ok("inspect", name))[0]
    assert (facts["Id"], facts["Name"], facts["Path"], facts["Args"]) == (container, f"/{name}", "sleep", ["1000"])
    assert facts["Image"] == engine.look(BUSYBOX, "{{.Id}}")
    assert facts["State"]["Status"] == "running" and facts["State"]["Pid"] > 0
    assert facts["HostConfig"]["Memory"] == 64 << 20 and facts["HostConfig"]["NetworkMode"] == "none"
    assert "A=b" in facts["Config"]["Env"] and facts["Config"]["Image"] == BUSYBOX
    assert facts["RestartCount"] == 0


def test_events_tell_the_life(engine: Engine) -> None:
    name = engine.name()
    since = engine.ok("info", "-f", "{{.SystemTime}}")
    engine.run("--rm", "--name", name, BUSYBOX, "sh", "-c", "exit 4")
    until = wait_for(lambda: engine.docker("inspect", name).code and engine.ok("info", "-f", "{{.SystemTime}}"), "gone")
    answer = engine.ok(
        "events", "--since", since, "--until", until, "--filter", f"container={name}", "--format", "{{json .}}"
    )
    events = [json.loads(line) for line in answer.splitlines()]
    actions = [event["Action"] for event in events if event["Type"] == "container"]
    assert actions == ["create", "attach", "start", "die", "destroy"]
    assert next(e for e in events if e["Action"] == "die")["Actor"]["Attributes"]["exitCode"] == "4"


def test_events_as_they_come(engine: Engine) -> None:
    name = engine.name()
    with engine.open("events", "--since", "1s", "--filter", f"container={name}", "--format", "{{.Action}}") as cli:
        assert cli.stdout
        engine.create("--name", name, BUSYBOX)
        assert cli.stdout.readline() == b"create\n"
        cli.terminate()


def test_version_and_info(engine: Engine) -> None:
    assert engine.ok("version", "-f", "{{.Server.Os}}/{{.Server.Arch}}") == "linux/amd64"
    assert engine.ok("info", "-f", "{{.OSType}} {{.NCPU}}").split()[0] == "linux"
