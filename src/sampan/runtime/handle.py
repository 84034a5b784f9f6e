"""A handle on the monitor of one running container, for sampand.

Life.   taken → started | exit.  A channel that ends before the exit was told is opened anew if the monitor lives; if it
        died, its container is ended and that is the exit. So `Monitor.exit` is always done one day.
Errors. StartFailed: a program never ran.  MonitorGone: the container is not running any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from sampan.linux import process
from sampan.runtime import guard, records, wire
from sampan.runtime.berth import Berth
from sampan.runtime.channels import short_path
from sampan.runtime.keeper import ATTACHED, HELD, Head
from sampan.runtime.payload import GO, KEPT_AT_ONCE
from sampan.runtime.records import Record
from sampan.runtime.unborn import is_standard
from sampan.runtime.wire import Message

log = logging.getLogger(__name__)

ADOPT_WAIT_S: Final = 10.0  # a monitor that has its lock listens within milliseconds
EXEC_WAIT_S: Final = 60.0  # for a program to be exec'd in a container
ANSWER_WAIT_S: Final = 10.0  # a monitor answers within a millisecond, unless somebody has stopped it
TAKE_WAIT_S: Final = 20.0  # for a monitor to be forked and to read what it is to do; milliseconds on an idle machine
POLL_S: Final = 0.005


class StartFailed(Exception):
    """A container or an exec session whose program never ran.

    Attributes:
        step: what failed, such as ``mount /data``.
        code: the exit code: 126 (not executable), 127 (not found) or 128.
        status: the HTTP status that dockerd answers with.
    """

    def __init__(self, step: str, reason: str, code: int) -> None:
        super().__init__(reason)
        self.step = step
        self.code = code
        self.status = 400 if code in (126, 127) else 500


class MonitorGone(Exception):
    """The monitor ended while a request was under way."""

    status = 409


@dataclass(slots=True)
class LogConfig:
    """Where and how a monitor keeps the log: driver ``json-file`` or ``none``; max_size in bytes."""

    path: str
    driver: str = "json-file"
    max_size: int = 10_000_000
    max_file: int = 3
    attrs: str = ""


@dataclass(slots=True)
class Attachment:
    """A client's connection to be given to a monitor; the socket is consumed."""

    socket: socket.socket
    early: bytes = b""  # what the client sent behind its request head
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    framed: bool = True
    detach_keys: bytes = b""

    def message(self) -> Message:
        """Return the part of a request that describes this client."""
        return {
            "stdin": self.stdin,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "framed": self.framed,
            "keys": self.detach_keys.hex(),
        }


@dataclass(slots=True)
class ExecLaunch:
    """An exec session: ``process`` as in the OCI specification; ``meta`` is kept by the monitor for later sampands."""

    id: str
    process: dict[str, Any]
    attachment: Attachment | None = None
    open_stdin: bool = False
    console_size: tuple[int, int] | None = None
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ExecState:
    """What a monitor knows of an exec session; ``code`` is None while it runs."""

    id: str
    pid: int
    code: int | None
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended.

    Attributes:
        code: 0 … 255, 128 + signal for one that was killed.
        signal: number of the signal that ended it, or 0.
        oom: whether the kernel killed one of its processes for want of memory.
        started: whether its program ever ran.
        step, error: which step of the start failed and how; or, with no step, what else befell it.
        finished_at_ns: wall clock, nanoseconds since the epoch.
        kept: whether the run directory tells the same, so that it can't be lost with sampand.
    """

    code: int
    signal: int
    oom: bool
    started: bool
    step: str
    error: str
    finished_at_ns: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class LogMark:
    """The log as it was: generation and size of its newest file; its descriptor where that is news (to be closed)."""

    generation: int
    size: int
    descriptor: int | None


class MonitorSilent(MonitorGone):
    """The monitor is there and does not answer: somebody has stopped it, or the machine is far too busy."""

    status = 500


def _gone(why: str, *, started: bool) -> Record:
    return {"code": guard.KILLED, "signal": 9, "oom": False, "started": started, "step": "", "error": why,
            "finished_ns": 0, "kept": False}  # fmt: skip


def exit_of(record: Record) -> Exit:
    """Return the exit that a record tells of."""
    return Exit(
        record["code"], record["signal"], record["oom"], record["started"], record["step"], record["error"],
        record["finished_ns"], record.get("kept", True),
    )  # fmt: skip


@dataclass(slots=True)
class Order:
    """What a monitor is told to run: the request, and named descriptors for it, for it and init, for init."""

    request: Message = field(default_factory=dict)
    own: dict[str, int] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)


class Monitor:
    """A handle on the monitor of one running container.

    Attributes:
        pid, init_pid: of the monitor and of the container's first process, in the host's pid namespace.
        taken: done once the monitor has taken the container on.
        exit: done when the container has ended, whatever happens to its monitor.
        execs: exec sessions by id.
    """

    def __init__(self, container_id: str, run_dir: Path, channel: socket.socket) -> None:
        self.id = container_id
        self.run_dir = run_dir
        self.pid = 0
        self.init_pid = 0
        self.started_at_ns = 0
        self.terminal = False
        self._launching = False
        self.execs: dict[str, ExecState] = {}
        loop = asyncio.get_running_loop()
        self.exit: asyncio.Future[Exit] = loop.create_future()
        self._loop = loop
        self._started: asyncio.Future[None] = loop.create_future()
        self._netns: asyncio.Future[int] = loop.create_future()
        self.taken: asyncio.Future[None] = loop.create_future()
        self._exec_exits: dict[str, asyncio.Future[int]] = {}
        self._requests: dict[int, asyncio.Future[tuple[Message, list[int]]]] = {}
        self._sequence = 0
        self._pidfd = -1
        self._followers: set[asyncio.Queue[LogMark | None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open(channel)

    # The channel

    def _open(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._loop.add_reader(channel.fileno(), self._receive)

    def close(self) -> None:
        """Let go of the monitor; it and its container go on."""
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())
            self._channel.close()
        self._drop_pidfd()
        self._fail_requests()

    def _drop_pidfd(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _receive(self) -> None:
        while True:
            try:
                received = wire.receive(self._channel)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self._loop.remove_reader(self._channel.fileno())
                self._channel.close()
                self._run(self._channel_ended())
                return
            self._take(*received)

    def _run(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, message: Message, descriptors: list[int]) -> None:
        if "re" in message:
            waiting = self._requests.pop(message["re"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result((message, descriptors))
                return
            for descriptor in descriptors:
                os.close(descriptor)
            return
        match message["event"]:
            case "taken":
                self._know(message, descriptors)
            case "hello":
                self._take_hello(message, descriptors)
            case "netns":
                if self._netns.done():
                    os.close(descriptors[0])
                else:
                    self._netns.set_result(descriptors[0])
            case "started":
                self._take_start(message["started_ns"])
            case "exit":
                self._end(message)
            case "exec-exit":
                self._end_exec(message["id"], message["code"])
            case "log":
                self._take_mark(message, descriptors)

    def _know(self, message: Message, descriptors: list[int]) -> None:
        """Learn who the monitor and the container's first process are."""
        self._drop_pidfd()
        self.pid, self.init_pid, self._pidfd = message["pid"], message["init"], descriptors[0]
        if not self.taken.done():
            self.taken.set_result(None)

    def _take_hello(self, message: Message, descriptors: list[int]) -> None:
        """Learn how things stand with a container that somebody else started."""
        self._know(message, descriptors)
        self.terminal = message["terminal"]
        for described in message["execs"]:
            self.execs[described["id"]] = ExecState(**described)
            if described["code"] is not None:
                self._end_exec(described["id"], described["code"])
        if message["started_ns"]:
            self._take_start(message["started_ns"])

    def _take_start(self, started_ns: int) -> None:
        self.started_at_ns = started_ns
        if not self._started.done():
            self._started.set_result(None)

    def _end(self, record: Record) -> None:
        if not self.exit.done():
            self.exit.set_result(exit_of(record))
        self._drop_pidfd()
        for queue in self._followers:
            queue.put_nowait(None)
        for state in self.execs.values():
            if state.code is None:
                self._end_exec(state.id, guard.KILLED)

    def _end_exec(self, exec_id: str, code: int) -> None:
        state = self.execs.get(exec_id)
        if state is not None:
            state.code = code
        waiting = self._exec_exits.setdefault(exec_id, self._loop.create_future())
        if not waiting.done():
            waiting.set_result(code)

    async def _channel_ended(self) -> None:
        """The monitor died, or dropped a channel that we were too slow to read."""
        self._fail_requests()
        if self.exit.done():
            return
        if self._launching and not self.taken.done():  # the socket in the run directory is still ours, too
            self.taken.set_exception(MonitorGone("the monitor never began"))
            return
        try:
            found = await reach(self.run_dir)
        except OSError as error:
            log.error("container %s: its monitor is gone, and ending what it left failed: %s", self.id[:12], error)
            self._end(_gone(f"its monitor died, and ending what it left failed: {error}", started=True))
            return
        if isinstance(found, socket.socket):
            self._open(found)
        elif found is not None:
            self._end(found)
        elif not self.taken.done():
            self.taken.set_exception(MonitorGone("nothing is left of its run"))
        else:
            self._end(_gone("its monitor died, and the container with it", started=self._started.done()))

    def _fail_requests(self) -> None:
        for waiting in self._requests.values():
            if not waiting.done():
                waiting.set_exception(MonitorGone(f"the monitor of {self.id[:12]} is gone"))
        self._requests.clear()

    async def _ask(
        self, request: Message, descriptors: dict[str, int] | None = None, within: float = ANSWER_WAIT_S
    ) -> tuple[Message, list[int]]:
        self._sequence += 1
        waiting: asyncio.Future[tuple[Message, list[int]]] = self._loop.create_future()
        self._requests[self._sequence] = waiting
        request = {**request, "seq": self._sequence}
        carried = descriptors or {}
        try:
            wire.send(self._channel, {**request, "fds": list(carried)}, list(carried.values()))
        except OSError as error:
            self._requests.pop(self._sequence, None)
            raise MonitorGone(f"the monitor of {self.id[:12]} is gone: {error.strerror}") from None
        try:
            answer, received = await asyncio.wait_for(waiting, within)
        except TimeoutError:
            self._requests.pop(request["seq"], None)
            raise MonitorSilent(f"the monitor of {self.id[:12]} (pid {self.pid}) does not answer") from None
        if "error" in answer:
            raise MonitorGone(answer["error"])
        return answer, received

    async def send_launch(self, order: Order, berth: Berth) -> None:
        """Tell a waiting monitor what to run. Raises OSError: it is gone."""
        self._launching = True
        self.terminal = order.request["terminal"]
        own, shared = berth.descriptors | order.own, order.shared | {"held": berth.held}
        head = Head(
            order.request["run_dir"],
            len(own),
            len(shared),
            (ATTACHED if "attach" in order.request else 0) | (HELD if order.request["hold"] else 0),
            standard=is_standard(order.request["namespaces"]),
        )
        descriptors = own | shared | order.given
        message = head.encode() + msgspec.json.encode(order.request | {"fds": list(descriptors)})
        while True:
            try:
                wire.send_bytes(self._channel, message, list(descriptors.values()))
            except BlockingIOError:
                await asyncio.sleep(POLL_S)
            else:
                return

    async def taken_on(self) -> None:
        """Wait until a monitor has the container.

        Raises MonitorGone: none ever had it, all is as it was before; TimeoutError: it has not even read the request.
        """
        either: set[asyncio.Future[Any]] = {self.taken, self.exit}
        done, _ = await asyncio.wait(either, timeout=TAKE_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError(f"monitor of {self.id[:12]}")
        if self.taken.done():
            self.taken.result()

    async def ready(self) -> None:
        """Wait until the program was exec'd. Raises StartFailed."""
        await self.taken_on()
        either: set[asyncio.Future[Any]] = {self._started, self.exit}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.exit.done() and not self.exit.result().started:
            ended = self.exit.result()
            raise StartFailed(ended.step, ended.error, ended.code)

    async def namespace(self) -> int:
        """Return the network namespace of a launch that is held, a descriptor of the caller's. Raises StartFailed."""
        either: set[asyncio.Future[Any]] = {self._netns, self.exit}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._netns.done():
            ended = self.exit.result()
            raise StartFailed(ended.step, ended.error, ended.code)
        return self._netns.result()

    def go(self, kept: dict[str, int]) -> None:
        """Let a launch that is held go on; its monitor keeps these descriptors, by name."""
        payload = GO + b',"fds":' + msgspec.json.encode(list(kept)) + b"}"
        with contextlib.suppress(OSError):  # it has ended: that will be told
            wire.send_bytes(self._channel, payload, list(kept.values()))

    async def keep(self, kept: dict[str, int]) -> None:
        """Have the monitor keep descriptors, by name. Raises MonitorGone."""
        names = list(kept)
        for start in range(0, len(names), KEPT_AT_ONCE):
            await self._ask({"op": "keep"}, {name: kept[name] for name in names[start : start + KEPT_AT_ONCE]})

    async def drop(self, names: list[str]) -> None:
        """Have the monitor close what it kept under these names. Raises MonitorGone."""
        await self._ask({"op": "drop", "names": names})

    async def kept(self) -> dict[str, int]:
        """Return copies of what the monitor keeps, the caller's to close. Raises MonitorGone."""
        found: dict[str, int] = {}
        try:
            while True:
                answer, descriptors = await self._ask({"op": "kept", "from": len(found)})
                found |= zip(answer["fds"], descriptors, strict=True)
                if len(found) >= answer["all"]:
                    return found
        except BaseException:
            for descriptor in found.values():
                os.close(descriptor)
            raise

    # What the engine asks for

    async def signal(self, signum: int) -> None:
        """Send a signal to the container's first process. Raises MonitorGone: there is none, or no answer.

        SIGKILL reaches a container whose monitor does not answer, too: the monitor is killed, and so what it watches.
        """
        try:
            await self._ask({"op": "signal", "signal": signum}, within=ANSWER_WAIT_S)
        except MonitorSilent:
            if signum != signal.SIGKILL or self._pidfd < 0:
                raise
            process.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def attach(self, attachment: Attachment) -> None:
        """Give a client's connection to the monitor."""
        with contextlib.ExitStack() as stack, attachment.socket:
            descriptors = client_descriptors(attachment, stack)
            await self._ask({"op": "attach", "attach": attachment.message()}, descriptors)

    async def resize(self, height: int, width: int, exec_id: str | None = None) -> None:
        """Set the size of the container's terminal, or of an exec session's. Raises MonitorGone: there is none."""
        request: Message = {"op": "resize", "height": height, "width": width}
        await self._ask(request if exec_id is None else request | {"exec": exec_id})

    async def exec(self, launch: ExecLaunch) -> int:
        """Run a program in the container; return its pid on the host.

        Raises:
            StartFailed: it never ran. The client's connection is still open then, for the error to be written to.
            MonitorGone: the container is not running.
        """
        request: Message = {
            "op": "exec",
            "id": launch.id,
            "process": launch.process,
            "open_stdin": launch.open_stdin,
            "size": launch.console_size,
            "meta": launch.meta,
        }
        state = ExecState(launch.id, 0, None, launch.meta)
        self.execs[launch.id] = state
        self.exec_exit(launch.id)
        with contextlib.ExitStack() as stack:
            descriptors = {}
            if launch.attachment is not None:
                request["attach"] = launch.attachment.message()
                descriptors = client_descriptors(launch.attachment, stack)
            answer, _ = await self._ask(request, descriptors, within=EXEC_WAIT_S)
            if "failed" in answer:
                self._end_exec(launch.id, answer["code"])
                raise StartFailed(answer["step"], answer["failed"], answer["code"])
        if launch.attachment is not None:
            launch.attachment.socket.close()
        state.pid = answer["pid"]
        return state.pid

    def exec_exit(self, exec_id: str) -> asyncio.Future[int]:
        """Return the future exit code of an exec session."""
        return self._exec_exits.setdefault(exec_id, self._loop.create_future())

    async def sync(self) -> None:
        """Return after everything that the monitor has told so far was taken in."""
        with contextlib.suppress(MonitorGone):  # then there is nothing more to come
            await self._ask({"op": "sync"})

    async def freeze(self, *, frozen: bool) -> None:
        """Have the processes stand still while this sampand is there, or go on; see `freezer`. Raises MonitorGone."""
        await self._ask({"op": "freeze" if frozen else "thaw"})

    async def pids(self) -> list[int]:
        """Return the container's processes by their pids on the host."""
        return await asyncio.to_thread(self._pids)

    def _pids(self) -> list[int]:
        group = guard.group_of(str(self.run_dir))
        return group.pids() if group is not None else []

    async def follow(self) -> AsyncIterator[LogMark]:
        """Yield the log's present state, with its newest file, and then each change; ends with the container."""
        queue: asyncio.Queue[LogMark | None] = asyncio.Queue()
        self._followers.add(queue)
        try:
            with contextlib.suppress(MonitorGone):
                answer, descriptors = await self._ask({"op": "follow"})
                yield LogMark(answer["generation"], answer["size"], descriptors[0] if descriptors else None)
            while not self.exit.done() or not queue.empty():
                mark = await queue.get()
                if mark is None:
                    return
                yield mark
        finally:
            self._stop_following(queue)

    def _stop_following(self, queue: asyncio.Queue[LogMark | None]) -> None:
        self._followers.discard(queue)
        while not queue.empty():
            mark = queue.get_nowait()
            if mark is not None and mark.descriptor is not None:
                os.close(mark.descriptor)
        if not self._followers:
            self._tell({"op": "unfollow"})

    def _take_mark(self, message: Message, descriptors: list[int]) -> None:
        for queue in self._followers:
            own = os.dup(descriptors[0]) if descriptors else None
            queue.put_nowait(LogMark(message["generation"], message["size"], own))
        for descriptor in descriptors:
            os.close(descriptor)
        if not descriptors:
            self._tell({"op": "seen"})

    def _tell(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # a monitor that is gone needs to hear nothing
            wire.send(self._channel, message)


def client_descriptors(attachment: Attachment, stack: contextlib.ExitStack) -> dict[str, int]:
    """Return the named descriptors of a client; the one that is made here is closed with ``stack``."""
    descriptors = {"attach": attachment.socket.fileno()}
    if attachment.early:
        descriptors["early"] = wire.memory_file(attachment.early)
        stack.callback(os.close, descriptors["early"])
    return descriptors


async def reach(run_dir: Path) -> socket.socket | Record | None:
    """Connect to a container's monitor; or end what a dead one left and return the exit; or None: it never began."""
    deadline = asyncio.get_running_loop().time() + ADOPT_WAIT_S
    while True:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            with short_path(str(run_dir)) as place:
                channel.connect(f"{place}/{records.CONTROL}")
        except OSError:
            channel.close()
        else:
            return channel
        with contextlib.suppress(BlockingIOError):
            return await asyncio.to_thread(guard.finish, str(run_dir))
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"the monitor that holds {run_dir}/{records.LOCK} does not answer")
        await asyncio.sleep(POLL_S)
