"""Exec sessions."""

import socket

import pytest

from sampan.runtime.supervisor import Attachment, ExecLaunch, Monitor, MonitorGone, StartFailed

from .conftest import Runtime, read_all, read_until


def code(runtime: Runtime, monitor: Monitor, session: str) -> int:
    async def wait() -> int:
        return await monitor.exec_exit(session)

    return runtime.run(wait())


def test_a_session_is_in_the_container(runtime: Runtime, sleeper: Monitor) -> None:
    session, client = runtime.exec(
        sleeper, "sh", "-c", "hostname; tr '\\0' ' ' < /proc/1/cmdline; cat /proc/self/cgroup; exit 5"
    )
    text = read_all(client).decode()
    assert text.startswith("box\nsleep 1000 ")
    assert code(runtime, sleeper, session) == 5
    mine = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2}
    assert all(path.endswith(sleeper.id) for name, path in mine.items() if not name.startswith("name=sampan"))


def test_input_and_half_close(runtime: Runtime, sleeper: Monitor) -> None:
    session, client = runtime.exec(sleeper, "sh", "-c", "cat; echo; exit 3", stdin=True)
    client.sendall(b"x" * 200_000)
    client.shutdown(socket.SHUT_WR)
    assert len(read_all(client)) == 200_001
    assert code(runtime, sleeper, session) == 3


def test_a_terminal_of_its_own(runtime: Runtime, sleeper: Monitor) -> None:
    _, client = runtime.exec(sleeper, "sh", "-c", "tty; read x; stty size", stdin=True, terminal=True)
    read_until(client, b"/dev/pts/")
    runtime.run(sleeper.resize(20, 70, str(runtime.count)))
    client.sendall(b"\n")
    assert b"20 70" in read_all(client)


def test_the_exit_code_is_known_before_the_stream_ends(runtime: Runtime, sleeper: Monitor) -> None:
    for number in range(20):
        session, client = runtime.exec(sleeper, "sh", "-c", f"exit {number}")
        read_all(client)
        runtime.run(sleeper.sync())
        assert sleeper.execs[session].code == number


def test_no_descriptor_is_left_open(runtime: Runtime, sleeper: Monitor) -> None:
    _, client = runtime.exec(sleeper, "ls", "/proc/self/fd")
    assert read_all(client).split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("program", "text", "expected"),
    [("nosuch", "executable file not found in $PATH", 127), ("/etc/text", "permission denied", 126)],
)
def test_one_that_cannot_run_leaves_the_connection_for_the_error(
    runtime: Runtime, sleeper: Monitor, program: str, text: str, expected: int
) -> None:
    ours, theirs = socket.socketpair()
    launch = ExecLaunch("x", runtime.spec(program)["process"], Attachment(theirs, stdout=True, framed=False))
    with pytest.raises(StartFailed) as failed:
        runtime.run(sleeper.exec(launch))
    assert text in str(failed.value)
    assert failed.value.code == expected
    theirs.sendall(b"the error")
    theirs.close()
    assert read_all(ours) == b"the error"
    assert code(runtime, sleeper, "x") == expected


def test_sessions_end_with_their_container(runtime: Runtime) -> None:
    monitor = runtime.start(runtime.spec("sleep", "1000"))
    session, client = runtime.exec(monitor, "sleep", "1000")
    runtime.run(monitor.signal(9))
    assert read_all(client) == b""
    runtime.exit(monitor)
    assert code(runtime, monitor, session) == 137
    with pytest.raises((MonitorGone, StartFailed)):
        runtime.exec(monitor, "true")
    runtime.end(monitor)


@pytest.mark.parametrize(
    "make",
    [
        "mknod /etc/passwd b 254 0",
        "ln -s /proc/kmsg /etc/passwd",
        "mkfifo /etc/passwd",
        "ln -s passwd /etc/passwd",
        "printf 'root:x:0:0::/tmp\\0x:/bin/sh\\n' > /etc/passwd",
    ],
)
def test_a_hostile_user_data_base_keeps_nobody_out(runtime: Runtime, sleeper: Monitor, make: str) -> None:
    save = "mv /etc/passwd /etc/kept; "
    _, client = runtime.exec(sleeper, "sh", "-c", save + make)
    read_all(client)
    _, client = runtime.exec(sleeper, "sh", "-c", "rm /etc/passwd; mv /etc/kept /etc/passwd; echo in")
    assert read_all(client) == b"in\n"


def test_a_joining_process_holds_nothing_of_the_monitors(runtime: Runtime) -> None:
    """Whoever may look into /proc/PID/fd sees the session's own streams at most, from the moment that it comes in."""
    spec = runtime.spec(
        "sh",
        "-c",
        "while :; do for d in /proc/[0-9]*/fd/*; do readlink $d; done 2>/dev/null; done | grep --line-buffered ^/",
    )
    for kind in ("bounding", "effective", "permitted"):
        spec["process"]["capabilities"][kind] = [*spec["process"]["capabilities"][kind], "CAP_SYS_PTRACE"]
    monitor, client = runtime.attached(spec)
    for _ in range(15):
        runtime.exec(monitor, "true")[1].close()
    runtime.run(monitor.signal(9))
    seen = set(read_all(client).decode().split())
    runtime.end(monitor)
    assert not {one for one in seen if str(runtime.home) in one or "sampan" in one}, seen
