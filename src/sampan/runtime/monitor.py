"""The monitor: one process for each running container, its parent, and the holder of all that must outlive sampand.

Life.   it begins as a `sampan.runtime.keeper.Keeper`, which starts the container → the first thing that happens →
        streams, log, exec sessions, requests → init ends → exit record → clients get the rest → gone.
Holds.  the root's descriptor (its last close may sync a whole file system, so it comes after the exit was told), the
        terminals, the pipes, the clients' connections.
Needs nobody: sampand may die and come back at any moment; what it must know is in the run directory or is told on
        connecting (`sampan.runtime.records`, `sampan.runtime.channels`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from sampan.logs.writer import LogWriter, NullWriter
from sampan.runtime import cgroups, payload, records, wire
from sampan.runtime.channels import Channels
from sampan.runtime.loop import READ
from sampan.runtime.payload import FAILED, set_window_size
from sampan.runtime.sessions import Sessions
from sampan.runtime.streams import Sink, Streams
from sampan.runtime.wire import Message

if TYPE_CHECKING:
    from sampan.runtime.keeper import Keeper


def take_sink(wanted: Message, connection: int, early: int | None) -> Sink:
    """Return the client that a request carries.

    Args:
        wanted: what it attaches to, whether in frames, its detach keys (hexadecimal).
        connection: descriptor of its connection.
        early: descriptor of a file with what it sent behind its request head.
    """
    streams = {name for name in ("stdin", "stdout", "stderr") if wanted.get(name)}
    sink = Sink(socket.socket(fileno=connection), streams, framed=wanted["framed"])
    sink.detach_keys = bytes.fromhex(wanted.get("keys", ""))
    if early is not None:
        sink.early = wire.read_file(early)
    return sink


class Monitor:
    """One container's monitor, in its own process, from the first thing that happens on."""

    def __init__(self, kept: Keeper) -> None:
        """Take over from the keeper; what waits at its descriptors is heard in the loop's next turn."""
        request: Message = json.loads(kept.request)
        named = dict(zip(request["fds"], kept.descriptors, strict=False))
        self._id: str = request["id"]
        self._run_dir = kept.run_dir
        self._terminal: bool = request["terminal"]
        self._open_stdin: bool = request["open_stdin"]
        self._loop = kept.loop
        self._lock = named["held"]
        self._init = kept.init
        self._notes = kept.notes
        self._root = named["root"]
        self._snapshot = named.get("lock", -1)
        self._group = cgroups.from_record(request["cgroup"])
        self._failure: Message | None = None
        self._ready = kept.ready
        self._started_ns = kept.started_ns
        self._exit: Message | None = None
        self._frozen_for: socket.socket | None = None  # whoever asked for it
        self._holding = kept.holding
        self._kept: dict[str, int] = {name[5:]: fd for name, fd in named.items() if name.startswith("keep:")}
        for text, descriptors in kept.kept:
            self._kept |= dict(zip(json.loads(text)["fds"], descriptors, strict=True))
        self._master = -1
        self._slave = -1
        self._followers: dict[int, _Follower] = {}
        self._log = _open_log(request["log"], named.get("log", -1))
        self._streams = self._make_streams(request)
        self._clients = [
            take_sink(wanted, named[f"attach:{number}"], named.get(f"early:{number}"))
            for number, wanted in enumerate(request.get("attach") or ())
        ]
        self._channels = self._make_channels(kept.channel, named["control"])
        self._sessions = Sessions(self._loop, self._channels)
        self._sessions.take(_rights(request, named), self._root, self._group, named.get("cgroup"))
        self._status = kept.status
        if self._status is not None:
            self._loop.watch(self._status.fileno(), READ, self._init_spoke)
        if self._init:
            self._loop.on_exit(self._init, self.init_ended)
        if kept.streams:
            self._take_streams(json.loads(kept.streams)["streams"], kept.stream_descriptors)

    def _make_streams(self, request: Message) -> Streams:
        streams = Streams(
            self._loop,
            terminal=self._terminal,
            close_stdin_with_client=request["stdin_once"],
            log=None if isinstance(self._log, NullWriter) else self._log,
        )
        streams.logged = self._tell_growth
        if isinstance(self._log, LogWriter):
            self._log.rotated = self._tell_rotation
        streams.detached = lambda _sink: self._channels.tell({"event": "detached"})
        return streams

    def _make_channels(self, channel: socket.socket, control: int) -> Channels:
        channels = Channels(self._loop, self.handle, self._greet)
        channels.closed = self._channel_closed
        channels.resume(channel)
        channels.serve(socket.socket(fileno=control))
        return channels

    # The start

    def _take_streams(self, names: list[str], descriptors: list[int]) -> None:
        """Own our ends of the program's streams: pipes, or the two sides of its terminal."""
        for name, descriptor in zip(names, descriptors, strict=True):
            match name:
                case "stdin":
                    self._streams.set_stdin(descriptor)
                case "master":
                    self._master = descriptor
                    self._streams.add_output(descriptor, "stdout")
                    if self._open_stdin:
                        self._streams.set_stdin(descriptor)
                case "slave":
                    self._slave = descriptor  # while it is open, a program that closes its own does not end our reading
                case _:
                    self._streams.add_output(descriptor, name)
        self._attach_clients()

    def _attach_clients(self) -> None:
        """Attach the clients that came with the launch."""
        while self._clients:
            self._streams.attach(self._clients.pop(0))

    def _init_spoke(self, _events: int) -> None:
        self._hear_init()

    def _hear_init(self) -> bool:
        """Take what init says; False when nothing more is there now."""
        if self._status is None:
            return False
        try:
            received = wire.receive(self._status)
        except BlockingIOError:
            return False
        if received is None:
            self._loop.forget(self._status.fileno())
            self._status.close()
            self._status = None
            if self._ready and self._failure is None:
                self._started()
            return False
        self.hear(*received)
        return True

    def hear(self, message: Message, descriptors: list[int] | None = None) -> None:
        """Take one message of init's."""
        if message.get("event") == "netns" and descriptors:
            self._channels.tell(message, descriptors)
            os.close(descriptors[0])
        if "streams" in message:
            self._take_streams(message["streams"], descriptors or [])
        self._ready = self._ready or "ready" in message
        if "failed" in message:
            self._failure = message

    def _started(self) -> None:
        self._started_ns = time.time_ns()
        os.close(self._notes)
        records.mark_started(self._run_dir, self._started_ns)
        self._channels.tell({"event": "started", "started_ns": self._started_ns})

    def _state(self) -> Message:
        return {
            "pid": os.getpid(),
            "init": self._init,
            "started_ns": self._started_ns,
            "terminal": self._terminal,
            "execs": self._sessions.describe(),
        }

    # The end

    def init_ended(self, _pid: int, status: int) -> None:
        """The container's first process was reaped."""
        while self._hear_init():  # what it said last may not have been read
            pass
        if self._slave >= 0:
            os.close(self._slave)
        code = os.waitstatus_to_exitcode(status)
        record: Message = {
            "code": code if code >= 0 else 128 - code,
            "signal": -code if code < 0 else 0,
            "oom": False,
            "started": self._started_ns > 0 or (self._ready and self._failure is None),
            "finished_ns": time.time_ns(),
            "step": "",
            "error": "",
        }
        if self._failure is not None:
            record |= {"code": self._failure["code"], "error": self._failure["failed"], "step": self._failure["step"]}
        elif not record["started"]:
            record |= {"error": f"init was killed by signal {-code}" if code < 0 else "init ended", "code": FAILED}
            record["step"] = os.read(self._notes, 65536).decode().rstrip("\n").rpartition("\n")[2]
        self._end(record)

    def give_up(self, error: str) -> None:
        """The container could not even be forked."""
        if self._init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._init, 0)
        record = {"code": FAILED, "signal": 0, "oom": False, "started": False, "step": "namespaces", "error": error}
        self._end(record | {"finished_ns": time.time_ns()})

    def _end(self, record: Message) -> None:
        """Tell the exit, then clean up, then stay until every client has what is its."""
        record["oom"] = self._group.oom_kills() > 0
        self._kill_group()
        self._drop(list(self._kept))  # before the exit is told: who hears of it may want the ports of the host
        self._attach_clients()  # where the program never had streams
        self._streams.idle = self._loop.stop
        self._streams.finish()
        self._log.close()
        try:
            records.write_once(self._run_dir, records.EXIT, record)
        except OSError as error:  # a full file system: whoever listens knows; who comes later finds a dead monitor
            record["kept"] = False
            print(f"sampan: container {self._id}: exit record: {error}", file=sys.stderr, flush=True)
        self._exit = record
        self._channels.tell({"event": "exit", **record})
        with contextlib.suppress(OSError):  # sampand tries again when it takes the record
            self._group.remove()
        os.close(self._lock)  # nothing is left to watch over; a next start need not wait for slow clients of this one
        os.close(self._root)
        if self._snapshot >= 0:
            os.close(self._snapshot)  # now, and not before, the root may be mounted again

    def _kill_group(self) -> None:
        """Kill what the first process left: nothing where it had a pid namespace, much perhaps where it had none."""
        try:
            self._group.kill()
        except TimeoutError as error:
            print(f"sampan: container {self._id}: {error}", file=sys.stderr, flush=True)

    # Requests

    def _greet(self, channel: socket.socket) -> None:
        """Say who this is and how things stand, with a pidfd of our own: no pid can be mistaken."""
        pidfd = os.pidfd_open(os.getpid())
        try:
            self._channels.send(channel, {"event": "hello", **self._state()}, [pidfd])
        finally:
            os.close(pidfd)
        if self._exit is not None:
            self._channels.send(channel, {"event": "exit", **self._exit})

    def _freeze(self, channel: socket.socket | None) -> None:
        """Freeze the container for as long as who asks is there, or (None) let it go on."""
        self._frozen_for = channel
        if self._exit is None:
            self._group.freeze(frozen=channel is not None)

    def _channel_closed(self, channel: socket.socket) -> None:
        self._stop_following(channel)
        if self._frozen_for is channel:
            with contextlib.suppress(OSError):
                self._freeze(None)
        if self._holding:  # nobody will plug its network now
            self._holding = False
            why = "sampand ended before the network was there"
            self._failure = self._failure or {"failed": why, "step": "network", "code": FAILED}
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)

    def handle(self, request: Message, descriptors: list[int], channel: socket.socket) -> None:
        """See to one request."""
        named = dict(zip(request.get("fds") or (), descriptors, strict=False))
        if request["op"] == "exec":
            wanted = request.get("attach")
            sink = take_sink(wanted, named["attach"], named.get("early")) if wanted is not None else None
            self._sessions.begin(request, sink, self._init if self._exit is None else 0, channel)
            return
        try:
            answer, carried = self._answer(request, named, channel)
        except (OSError, KeyError, ValueError) as error:
            answer, carried = {"error": getattr(error, "strerror", None) or str(error)}, []
        self._channels.send(channel, {"re": request.get("seq"), **answer}, carried)

    def _answer(self, request: Message, named: dict[str, int], channel: socket.socket) -> tuple[Message, list[int]]:
        """Do what is asked; return the answer and the descriptors that go with it."""
        answer: Message = {}
        carried: list[int] = []
        match request["op"]:
            case "sync":
                pass
            case "signal":
                answer = self._signal(request["signal"])
            case "attach":
                self._streams.attach(take_sink(request["attach"], named["attach"], named.get("early")))
            case "resize":
                answer = self._resize(request)
            case "root":
                carried = [self._root]
            case "go" | "keep" | "drop" | "kept" as op:
                answer, carried = self._see_to_kept(op, request, named)
            case "freeze" | "thaw" as op:
                self._freeze(channel if op == "freeze" else None)
            case "follow":
                answer, carried = self._follow(channel)
            case "seen":
                self._follower_saw(channel)
            case "unfollow":
                self._stop_following(channel)
            case unknown:
                raise ValueError(f"unknown request {unknown!r}")
        return answer, carried

    def _see_to_kept(self, op: str, request: Message, named: dict[str, int]) -> tuple[Message, list[int]]:
        """Hold descriptors for sampand, by name: sockets that must outlive it."""
        if op == "kept":
            names = list(self._kept)[request["from"] : request["from"] + payload.KEPT_AT_ONCE]
            return {"fds": names, "all": len(self._kept)}, [self._kept[name] for name in names]
        self._drop(request["names"] if op == "drop" else list(named))
        self._kept |= named
        if op == "go" and self._holding:
            self._let_go()
        return {}, []

    def _drop(self, names: list[str]) -> None:
        for name in names:
            if name in self._kept:
                os.close(self._kept.pop(name))

    def _let_go(self) -> None:
        """Tell init that the network is there."""
        self._holding = False
        if self._status is not None:
            with contextlib.suppress(BrokenPipeError):  # it failed meanwhile
                wire.send_bytes(self._status, payload.GO)

    def _signal(self, signum: int) -> Message:
        if self._exit is not None or not self._init:
            return {"error": "not running"}
        os.kill(self._init, signum)  # our own child, not yet reaped: the pid is its
        return {}

    def _resize(self, request: Message) -> Message:
        if "exec" in request:
            return self._sessions.resize(request["exec"], request["height"], request["width"])
        if self._master < 0:
            return {"error": "no terminal"}
        set_window_size(self._master, request["height"], request["width"])
        return {}

    def _follow(self, channel: socket.socket) -> tuple[Message, list[int]]:
        self._followers[channel.fileno()] = _Follower(channel)
        own = self._log.descriptor()
        return {"generation": self._log.generation, "size": self._log.size}, [own] if own >= 0 else []

    def _tell_growth(self) -> None:
        """Tell that the log grew, once until it was seen."""
        for follower in tuple(self._followers.values()):
            if follower.told:
                follower.missed = True
            else:
                follower.told = True
                self._channels.send(follower.channel, self._log_mark())

    def _tell_rotation(self) -> None:
        """Hand each new file of the log to the followers, so that they miss none however late they read."""
        for follower in tuple(self._followers.values()):
            self._channels.send(follower.channel, self._log_mark(), [self._log.descriptor()])

    def _log_mark(self) -> Message:
        return {"event": "log", "generation": self._log.generation, "size": self._log.size}

    def _follower_saw(self, channel: socket.socket) -> None:
        follower = self._followers.get(channel.fileno())
        if follower is None:
            return
        follower.told = follower.missed
        if follower.missed:
            follower.missed = False
            self._channels.send(channel, self._log_mark())

    def _stop_following(self, channel: socket.socket) -> None:
        self._followers.pop(channel.fileno(), None)


class _Follower:
    """A sampand that wants to hear of the log."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.told = False  # a notice is under way
        self.missed = False  # the log grew since


def _open_log(wanted: Message, descriptor: int) -> LogWriter | NullWriter:
    if wanted["driver"] == "none":
        return NullWriter()
    attrs = wanted.get("attrs", "").encode()
    return LogWriter(wanted["path"], wanted["max_size"], wanted["max_file"], attrs=attrs, descriptor=descriptor)


def _rights(request: Message, named: dict[str, int]) -> payload.Rights:
    rights = payload.Rights()
    rights.available = request["available"]
    if "seccomp" in named:
        rights.seccomp, rights.seccomp_flags = wire.read_file(named["seccomp"]), request["seccomp_flags"]
    return rights
