"""Exec sessions: further programs in a running container, children of its monitor.

The monitor's children are born in the container's pid namespace (it unshared it before it forked init); a session then
joins init's other namespaces through a pidfd. So sessions outlive sampand as their container does, and so do their exit
codes.

Source. setns(2), pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any, Final, NoReturn

from sampan.linux import process
from sampan.runtime import payload, wire
from sampan.runtime.cgroups import Group
from sampan.runtime.channels import Channels
from sampan.runtime.loop import READ, Loop
from sampan.runtime.rootfs import Root, open_peer
from sampan.runtime.streams import Sink, Streams
from sampan.runtime.wire import Message

_NAMESPACES: Final = (
    process.CLONE_NEWNS | process.CLONE_NEWUTS | process.CLONE_NEWIPC | process.CLONE_NEWNET | process.CLONE_NEWCGROUP
)
_REMEMBERED: Final = 200  # ended sessions that can still be asked about


class Session:
    """One exec session."""

    def __init__(self, request: Message, channel: socket.socket, streams: Streams) -> None:
        self.id: str = request["id"]
        self.seq: int = request["seq"]
        self.channel = channel
        self.status: socket.socket | None = None
        self.meta: dict[str, Any] = request.get("meta") or {}
        self.streams = streams
        self.pid = 0
        self.master = -1
        self.slave = -1
        self.code: int | None = None
        self.ready = False
        self.failure: Message | None = None

    def describe(self) -> Message:
        """Return what a sampand that comes later needs to know."""
        return {"id": self.id, "pid": self.pid, "code": self.code, "meta": self.meta}


class Sessions:
    """The exec sessions of one container."""

    def __init__(self, loop: Loop, channels: Channels) -> None:
        self._loop = loop
        self._channels = channels
        self._sessions: dict[str, Session] = {}
        self._rights = payload.Rights()
        self._root = -1
        self._group: Group | None = None
        self._birthplace: int | None = None

    def take(self, rights: payload.Rights, root: int, group: Group, birthplace: int | None) -> None:
        """Learn what every session of this container gets.

        Args:
            birthplace: descriptor of the group's directory, where there is nothing but version 2.
        """
        self._rights, self._root, self._group, self._birthplace = rights, root, group, birthplace

    def describe(self) -> list[Message]:
        """Describe every session that began, ended ones too."""
        return [session.describe() for session in self._sessions.values()]

    def resize(self, session_id: str, height: int, width: int) -> Message:
        """Set the size of a session's terminal."""
        session = self._sessions.get(session_id)
        if session is None or session.master < 0:
            return {"error": "no terminal"}
        payload.set_window_size(session.master, height, width)
        return {}

    def begin(self, request: Message, sink: Sink | None, init: int, channel: socket.socket) -> None:
        """Run a program and answer the request once it was exec'd or failed."""
        terminal = bool(request["process"].get("terminal"))
        session = Session(request, channel, Streams(self._loop, terminal=terminal, close_stdin_with_client=True))
        if sink is not None:
            session.streams.attach(sink)
        try:
            if not init:
                raise ProcessLookupError(3, "the container is not running")
            self._fork(session, request, init, attached=sink is not None)
        except OSError as error:
            session.failure = {"failed": error.strerror or str(error), "step": "exec", "code": payload.FAILED}
            self._answer(session)
            return
        self._sessions[session.id] = session

    def _fork(self, session: Session, request: Message, init: int, *, attached: bool) -> None:
        stdio, ours = ([], []) if request["process"].get("terminal") else _pipes(request, attached=attached)
        with contextlib.ExitStack() as stack:
            for descriptor in set(stdio):
                stack.callback(os.close, descriptor)
            pidfd = os.pidfd_open(init)
            stack.callback(os.close, pidfd)
            status, theirs = wire.pair()
            stack.enter_context(theirs)
            session.pid = process.clone3(cgroup=self._birthplace)
            if not session.pid:
                status.close()
                self._be(request, pidfd, stdio, theirs)
        self._watch(session, status, ours)

    def _watch(self, session: Session, status: socket.socket, ours: list[tuple[int, str]]) -> None:
        for descriptor, name in ours:
            if name == "stdin":
                session.streams.set_stdin(descriptor)
            else:
                session.streams.add_output(descriptor, name)
        status.setblocking(False)
        session.status = status
        self._loop.watch(status.fileno(), READ, lambda _events: self._spoke(session))
        self._loop.on_exit(session.pid, lambda _pid, found: self._ended(session, found))

    def _be(self, request: Message, init: int, stdio: list[int], status: socket.socket) -> NoReturn:
        """Be the session: join the container, become the program. Runs in the forked child."""
        spec: dict[str, Any] = request["process"]
        try:
            process.set_death_signal(signal.SIGKILL)
            process.set_dumpable(on=False)
            payload.drop_descriptors([self._root, init, status.fileno(), *stdio])
            os.setsid()
            if self._birthplace is None and self._group is not None:
                self._group.enter()
            process.setns(init, _NAMESPACES)
            if spec.get("terminal"):
                _take_terminal(Root(self._root), status, request.get("size"))
            else:
                payload.use_as_stdio(stdio[0], stdio[1], stdio[2])
            payload.become_program(spec, self._rights, self._root, status)
        except Exception as error:  # noqa: BLE001  (a bug of ours must reach the monitor too: nobody else sees this process)
            payload.report(status, "exec", error)
        os._exit(1)

    def _spoke(self, session: Session) -> None:
        self._hear(session)

    def _hear(self, session: Session) -> bool:
        """Take what a session says on its way to exec; False when nothing more is there now."""
        if session.status is None:
            return False
        try:
            received = wire.receive(session.status)
        except BlockingIOError:
            return False
        if received is None:
            self._loop.forget(session.status.fileno())
            session.status.close()
            session.status = None
            self._answer(session)
            return False
        message, descriptors = received
        session.ready = session.ready or "ready" in message
        if "failed" in message:
            session.failure = message
        if "terminal" in message:
            session.master = descriptors[0]
            session.slave = open_peer(session.master)
            session.streams.add_output(session.master, "stdout")
            session.streams.set_stdin(session.master)
        return True

    def _answer(self, session: Session) -> None:
        """Tell who asked; where nothing ran, the client's connection is let go untouched: the error follows on it."""
        if session.failure is None and not session.ready:
            session.failure = {"failed": "the process was killed before it ran", "step": "exec", "code": payload.FAILED}
        if session.failure is not None:
            session.streams.release()
        self._channels.send(session.channel, {"re": session.seq, "pid": session.pid, **(session.failure or {})})

    def _ended(self, session: Session, status: int) -> None:
        """Tell the exit before the client's stream ends: it asks for the code as soon as that happens."""
        while self._hear(session):
            pass
        if session.slave >= 0:
            os.close(session.slave)
            session.slave = -1
        code = os.waitstatus_to_exitcode(status)
        session.code = session.failure["code"] if session.failure is not None else code if code >= 0 else 128 - code
        session.master = -1
        self._channels.tell({"event": "exec-exit", "id": session.id, "code": session.code})
        session.streams.finish()
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        ended = [session.id for session in self._sessions.values() if session.code is not None]
        for session_id in ended[: len(ended) - _REMEMBERED]:
            del self._sessions[session_id]


def _pipes(request: Message, *, attached: bool) -> tuple[list[int], list[tuple[int, str]]]:
    """Return the program's three descriptors, and ours with their names."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    stdio, ours = [null, null, null], []
    if attached:
        for place, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
            if place and not request.get("attach", {}).get(name):
                continue
            if not place and not request.get("open_stdin"):
                continue
            read, write = os.pipe2(os.O_CLOEXEC)
            stdio[place], own = (write, read) if place else (read, write)
            ours.append((own, name))
        if null not in stdio:
            os.close(null)
    return stdio, ours


def _take_terminal(root: Root, status: socket.socket, size: list[int] | None) -> None:
    master, slave = root.open_terminal()
    if size:
        payload.set_window_size(slave, size[0], size[1])
    wire.send(status, {"terminal": 1}, [master])
    os.close(master)
    payload.take_terminal(slave)
