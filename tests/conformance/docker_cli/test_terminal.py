"""Containers on a real pseudo-terminal: prompt, size, control keys, detaching."""

import itertools
import re

from support.engine import Engine
from support.images import BUSYBOX
from support.processes import wait_for


def test_a_shell_on_a_terminal(engine: Engine) -> None:
    with engine.terminal(*engine.marked("run", "-it", "--rm", BUSYBOX, "sh")) as screen:
        screen.expect(rb"# ")
        screen.send(b"tty; echo cols=$(stty size)\n")
        screen.expect(rb"/dev/(pts/0|console)\r\ncols=24 80\r\n")
        screen.send(b"exit 9\n")
        assert screen.wait() == 9


def test_the_first_size_is_there_from_the_start(engine: Engine) -> None:
    with engine.terminal(*engine.marked("run", "-it", "--rm", BUSYBOX, "sh"), rows=33, columns=101) as screen:
        screen.expect(rb"# ")
        screen.send(b"stty size\n")
        screen.expect(rb"33 101\r\n")


def test_a_resize_arrives(engine: Engine) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
    with engine.terminal(*engine.marked("run", "-it", "--rm", BUSYBOX, "sh", "-c", script)) as screen:
        screen.expect(rb"ready\r\n")
        # the client listens for SIGWINCH only a moment after its container has started: change until it has heard one
        sizes = itertools.count(132)
        wait_for(lambda: screen.resize(40, next(sizes)) or re.search(rb"\n40 \d+\r\n", screen.read(0.3)), "a new size")


def test_control_c_interrupts(engine: Engine) -> None:
    with engine.terminal(*engine.marked("run", "-it", "--rm", BUSYBOX, "sh")) as screen:
        screen.expect(rb"# ")
        screen.send(b"echo begin; cat\n")
        screen.expect(rb"begin\r\n")
        screen.send(b"meow\n")
        screen.expect(rb"meow\r\nmeow\r\n")  # cat has come to life
        screen.send(b"\x03")
        screen.expect(rb"# ")
        screen.send(b"echo $?\n")
        screen.expect(rb"130\r\n")


def test_detach_keys_and_attach_again(engine: Engine) -> None:
    name = engine.name()
    with engine.terminal(*engine.marked("run", "-it", "--name", name, BUSYBOX, "sh")) as screen:
        screen.expect(rb"# ")
        screen.send(b"\x10\x11")
        assert screen.wait() == 0
    assert engine.look(name, "{{.State.Running}}") == "true"
    with engine.terminal("attach", name) as screen:
        screen.send(b"echo back again\n")
        screen.expect(rb"\nback again\r\n")
        screen.send(b"exit 2\n")
        assert screen.wait() == 2


def test_own_detach_keys(engine: Engine) -> None:
    name = engine.name()
    with engine.terminal(
        *engine.marked("run", "-it", "--detach-keys", "ctrl-x,q", "--name", name, BUSYBOX, "sh")
    ) as screen:
        screen.expect(rb"# ")
        screen.send(b"\x18")
        screen.send(b"q")
        assert screen.wait() == 0
    assert engine.look(name, "{{.State.Running}}") == "true"


def test_part_of_the_keys_is_passed_on(engine: Engine) -> None:
    with engine.terminal(
        *engine.marked("run", "-it", "--rm", BUSYBOX, "sh", "-c", "stty raw; head -c 3 | od -An -c")
    ) as screen:
        screen.expect(rb"")
        wait_for(lambda: engine.ok("ps", "-q", "--filter", f"label=sampan.test={engine.token}"), "it runs")
        screen.send(b"\x10ab")
        screen.expect(rb"020 +a +b")


def test_exec_on_a_terminal(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sleep", "1000")
    with engine.terminal("exec", "-it", container, "sh") as screen:
        screen.expect(rb"# ")
        screen.send(b"tty; stty size; exit 6\n")
        screen.expect(rb"/dev/pts/\d+\r\n24 80\r\n")
        assert screen.wait() == 6


def test_exec_detaches(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sleep", "1000")
    with engine.terminal("exec", "-it", container, "sh") as screen:
        screen.expect(rb"# ")
        screen.send(b"\x10\x11")
        screen.expect(rb"(exec )?")
        assert screen.wait() in (0, 1)
    assert engine.look(container, "{{.State.Running}}") == "true"


def test_a_terminal_turns_newlines_and_joins_the_streams(engine: Engine) -> None:
    container = engine.start("-t", BUSYBOX, "sh", "-c", "echo out; echo err >&2")
    engine.ok("wait", container)
    answer = engine.docker("logs", container)
    assert (answer.raw, answer.err) == (b"out\r\nerr\r\n", "")


def test_hangup_of_the_client_leaves_the_container(engine: Engine) -> None:
    name = engine.name()
    with engine.terminal(*engine.marked("run", "-it", "--name", name, BUSYBOX, "sh")) as screen:
        screen.expect(rb"# ")
    assert engine.look(name, "{{.State.Running}}") == "true"


def test_stdin_of_a_terminal_refuses_a_pipe(engine: Engine) -> None:
    refused = engine.run("-it", "--rm", BUSYBOX, "true", stdin=b"")
    assert refused.code == 1 and "the input device is not a TTY" in refused.err
