"""Starts sampand when nobody answers at its own default socket.

It must outlive the caller: it gets a session of its own, no terminal, no descriptor of ours but its log, and leaves the
caller's control group, so that neither a closed terminal nor the end of the caller's service takes it along.
"""

from __future__ import annotations

import _socket
import os
import select
import sys

from sampan.cli.errors import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START_TIMEOUT_S = 15.0  # a machine under load and a cold disk; 0.6 s is what it takes at rest
GRACE_S = 2.0  # after our sampand ended: another one, started at the same moment, may be about to answer
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 5, 50
LAST_LINES = 10


def start_daemon(socket_path: str, environ: Mapping[str, str], debug: Callable[[str], None]) -> None:
    """Start sampand and wait until it answers at `socket_path`. Raises CommandError with the end of its log."""
    log = os.path.join(os.path.dirname(socket_path), "sampand.log")
    try:
        os.makedirs(os.path.dirname(log), mode=0o711, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise explain(
            "cannot start sampand, the daemon",
            f"{error.filename or log}: {error.strerror}",
            "sudo sampan …, or DOCKER_HOST=unix:///path/to.sock for a daemon that is running",
        ) from None
    start = os.fstat(descriptor).st_size
    try:
        pid = _spawn(descriptor, environ, debug)
    finally:
        os.close(descriptor)
    debug(f"started sampand, pid {pid}; its log is {log}")
    if not _wait(socket_path, pid):
        raise explain(
            f"sampand, the daemon, does not answer at unix://{socket_path}",
            f"the end of its log, {log}:\n{_last_lines(log, start)}",
            "sampand -D in a terminal, to see more",
        )


def _spawn(log: int, environ: Mapping[str, str], debug: Callable[[str], None]) -> int:
    """Fork twice, so that it is nobody's child; returns its pid."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            grandchild = os.fork()
            if grandchild == 0:
                _become_daemon(log, environ)
            os.write(writer, b"%d" % grandchild)
        finally:
            os._exit(0)
    os.close(writer)
    pid = int(os.read(reader, 32) or b"0")
    os.close(reader)
    os.waitpid(child, 0)
    _leave_cgroup(pid, debug)
    return pid


def _become_daemon(log: int, environ: Mapping[str, str]) -> None:
    """In the grandchild: stdin from /dev/null, output to the log, then sampand. Does not return."""
    try:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 1 << 16)
        os.umask(0o022)
        arguments = [sys.executable, "-P", "-m", "sampan.daemon.main"]
        os.execve(sys.executable, arguments, dict(environ))
    except OSError as error:
        os.write(2, f"cannot run {sys.executable}: {error}\n".encode())
    finally:
        os._exit(127)


def _leave_cgroup(pid: int, debug: Callable[[str], None]) -> None:
    """Move `pid` to the root of every hierarchy. Best effort: without the right to, it stays, and -D says so."""
    for path in _cgroup_roots(pid):
        try:
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(pid))
        except OSError as error:
            debug(f"sampand stays in its control group below {path}: {error.strerror}")


def _cgroup_roots(pid: int) -> list[str]:
    """The mount points of the hierarchies in which `pid` is not at the root."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            memberships = [line.rstrip("\n").split(":", 2) for line in file]
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split(" ") for line in file if " - cgroup" in line]
    except OSError:
        return []  # the process is gone already; waiting for it finds out
    roots = []
    for _number, controllers, path in memberships:
        if path == "/":
            continue
        for fields in mounts:
            kind, options = fields[fields.index("-") + 1], fields[-1].strip().split(",")
            if (not controllers and kind == "cgroup2") or (controllers and controllers.split(",")[-1] in options):
                roots.append(fields[4])
                break
    return roots


def _wait(socket_path: str, pid: int) -> bool:
    """Wait until somebody accepts connections at `socket_path`; False when the time is over or sampand ended."""
    import time

    end = time.monotonic() + START_TIMEOUT_S
    pause, ended = FIRST_PAUSE_MS, False
    poll = select.poll()
    try:
        process = os.pidfd_open(pid)
        poll.register(process, select.POLLIN)
    except OSError:
        process, ended = -1, True
    try:
        while time.monotonic() < end:
            if _answers(socket_path):
                return True
            if ended:
                time.sleep(pause / 1000)
            elif poll.poll(pause):  # its end wakes us at once
                ended, end = True, min(end, time.monotonic() + GRACE_S)
            pause = min(pause * 2, LONGEST_PAUSE_MS)
    finally:
        if process >= 0:
            os.close(process)
    return False


def _answers(path: str) -> bool:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        return sock.connect_ex(path) == 0
    finally:
        sock.close()


def _last_lines(log: str, start: int) -> str:
    """The last lines that were written from offset `start` on, indented."""
    try:
        with open(log, "rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()[-LAST_LINES:]
    except OSError as error:
        lines = [f"(cannot be read: {error.strerror})"]
    return "\n".join(f"           {line}" for line in lines or ["(empty)"])
