"""The monitor: one process for each running container, its parent, and the holder of all that must outlive sampand.

Life.   born from the zygote with one request → takes the lock of the run directory → control group → init → *running*:
        streams, log, exec sessions, requests → init ends → exit record → clients get the rest → gone.
Holds.  the root's descriptor (its last close may sync a whole file system, so it comes after the exit was told), the
        terminals, the pipes, the clients' connections.
Needs nobody: sampand may die and come back at any moment; what it must know is in the run directory or is told on
        connecting (`sampan.runtime.records`, `sampan.runtime.channels`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from typing import Final, NoReturn

from sampan.linux import process
from sampan.logs.writer import LogWriter, NullWriter
from sampan.runtime import capabilities, cgroups, payload, records, wire
from sampan.runtime.cgroups import Group, Layout
from sampan.runtime.channels import Channels
from sampan.runtime.loop import READ, Loop
from sampan.runtime.payload import FAILED, set_window_size
from sampan.runtime.rootfs import open_peer
from sampan.runtime.sessions import Sessions
from sampan.runtime.streams import Sink, Streams
from sampan.runtime.unborn import STANDARD, Unborn
from sampan.runtime.wire import Message

_INITS: Final = ("root", "spec", "seccomp")  # descriptors that go on to init, beside the trees
_LOCK_POLL_S: Final = 0.001


class Prepared:
    """What the zygote found out once for all monitors."""

    def __init__(self) -> None:
        self.layout: Layout = cgroups.probe()
        self.capabilities = capabilities.mask(capabilities.usable())


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
    """One container's monitor, in its own process."""

    def __init__(self, waiting: Waiting, request: Message, descriptors: dict[str, int]) -> None:
        self._prepared = waiting.prepared
        self._loop = waiting.loop
        self._channel = waiting.channel
        self._unborn = waiting.unborn
        self._identity = waiting.identity
        self._request = request
        self._run_dir: str = request["run_dir"]
        self._root = descriptors["root"]
        self._lock = -1
        self._group: Group | None = None
        self._init = 0
        self._status: socket.socket | None = None
        self._master = -1
        self._slave = -1
        self._failure: Message | None = None
        self._step = ""
        self._notes = -1
        self._ready = False
        self._exit: Message | None = None
        self._followers: dict[int, _Follower] = {}
        self._log = _open_log(request["log"])
        self._streams = Streams(
            self._loop,
            terminal=request["terminal"],
            close_stdin_with_client=request["stdin_once"],
            log=None if isinstance(self._log, NullWriter) else self._log,
        )
        self._streams.logged = self._tell_growth
        if isinstance(self._log, LogWriter):
            self._log.rotated = self._tell_rotation
        self._streams.detached = lambda _sink: self._channels.tell({"event": "detached"})
        self._channels = Channels(self._loop, self._handle, self._greet)
        self._channels.closed = self._stop_following
        self._sessions = Sessions(self._loop, self._channels)
        self._started_ns = 0
        self._descriptors = descriptors

    def run(self) -> NoReturn:
        """Start the container and see it through to its end."""
        self._lock = self._take_lock()
        try:
            self._start()
        except OSError as error:
            self._give_up(error.strerror or str(error))
        self._channels.listen(f"{self._run_dir}/{records.CONTROL}")
        self._channels.add(self._channel)
        self._loop.run()
        os._exit(0)

    def _take_lock(self) -> int:
        """Take the container on; or leave, if sampand died and its successor has given this start up already."""
        while records.exists(self._run_dir):
            lock = records.acquire(self._run_dir)
            if lock is not None:
                return lock
            time.sleep(_LOCK_POLL_S)  # the zygote just looks whether this was an earlier monitor's
        os._exit(0)

    # The start

    def _start(self) -> None:
        """Tell init what to build and make its control group meanwhile; then let it go on."""
        layout, wanted = self._prepared.layout, self._request["cgroup"]
        self._step = "control group"
        group = cgroups.plan(layout, wanted["path"])
        self._group = group
        if layout.unified:  # init is born in its group, which then must be there
            self._make_group(group)
        self._step = "namespaces"
        unborn = self._get_init(group)
        self._init, self._notes = unborn.pid, unborn.notes
        self._tell_init(unborn, group)
        if not layout.unified:
            self._step = "control group"
            self._make_group(group)
            group.attach(self._init)
        self._status = unborn.let_go()
        self._loop.watch(self._status.fileno(), READ, self._init_spoke)
        self._loop.on_exit(self._init, self._init_ended)

    def _make_group(self, group: Group) -> None:
        wanted = self._request["cgroup"]
        cgroups.create(self._prepared.layout, group, wanted["path"], wanted["resources"])
        self._write_state()

    def _get_init(self, group: Group) -> Unborn:
        """Return the init that waits, if it has the right namespaces, or one made for this container."""
        wanted = [entry for entry in self._request["namespaces"] if entry["type"] != "cgroup"]
        kinds = frozenset(entry["type"] for entry in wanted if not entry.get("path"))
        joined = {e["type"]: os.open(e["path"], os.O_RDONLY | os.O_CLOEXEC) for e in wanted if e.get("path")}
        if self._unborn is not None and self._unborn.suits(kinds, joined):
            return self._unborn
        if self._unborn is not None:
            self._unborn.discard()
        cgroup = group.descriptor() if self._prepared.layout.unified else None
        unborn = Unborn(kinds, joined, cgroup)
        for descriptor in (*joined.values(), *([cgroup] if cgroup is not None else [])):
            os.close(descriptor)
        return unborn

    def _tell_init(self, unborn: Unborn, group: Group) -> None:
        layout, own = self._prepared.layout, self._descriptors
        carried = {
            name: fd for name, fd in own.items() if name in ("root", "spec", "seccomp") or name.startswith("tree:")
        }
        stdio = self._make_pipes()
        job = {
            "run_dir": self._run_dir,
            "cgroups": {} if layout.unified else layout.own_directories(group),
            "size": self._request["size"],
            "available": self._prepared.capabilities,
            "seccomp_flags": self._request["seccomp_flags"],
        }
        unborn.tell(job, carried | stdio)
        for name, descriptor in (carried | stdio).items():
            if name.startswith("tree:") or name == "spec" or name in stdio:
                os.close(descriptor)
        rights = payload.Rights()
        rights.available = self._prepared.capabilities
        if "seccomp" in own:
            rights.seccomp, rights.seccomp_flags = wire.read_file(own["seccomp"]), job["seccomp_flags"]
        self._sessions.take(rights, self._root, group, unified=layout.unified)

    def _make_pipes(self) -> dict[str, int]:
        """Make the standard streams of a program without a terminal and attach the first clients.

        Returns the program's ends by name.
        """
        theirs: dict[str, int] = {}
        if not self._request["terminal"]:
            for name in ("stdout", "stderr"):
                ours, theirs[name] = os.pipe2(os.O_CLOEXEC)
                self._streams.add_output(ours, name)
            if self._request["open_stdin"]:
                theirs["stdin"], ours = os.pipe2(os.O_CLOEXEC)
                self._streams.set_stdin(ours)
            else:
                theirs["stdin"] = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        for number, wanted in enumerate(self._request.get("attach") or ()):
            early = self._descriptors.get(f"early:{number}")
            self._streams.attach(take_sink(wanted, self._descriptors[f"attach:{number}"], early))
        return theirs

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
        message, descriptors = received
        if "terminal" in message:
            self._own_terminal(descriptors[0])
        if "ready" in message:
            self._ready = True
        if "failed" in message:
            self._failure = message
        return True

    def _own_terminal(self, master: int) -> None:
        self._master = master
        self._slave = open_peer(master)  # while it is open, a program that closes its own does not end our reading
        self._streams.add_output(master, "stdout")
        if self._request["open_stdin"]:
            self._streams.set_stdin(master)

    def _started(self) -> None:
        self._started_ns = time.time_ns()
        os.close(self._notes)
        records.mark_started(self._run_dir, self._started_ns)
        self._channels.tell(self._state("started"))

    def _write_state(self) -> None:
        group = self._group.record() if self._group is not None else None
        records.write(self._run_dir, records.STATE, {**self._identity, "group": group})

    def _state(self, event: str) -> Message:
        return {
            "event": event,
            "init": self._init,
            "started_ns": self._started_ns,
            "terminal": self._request["terminal"],
            "generation": self._log.generation,
            "size": self._log.size,
            "execs": self._sessions.describe(),
        }

    # The end

    def _init_ended(self, _pid: int, status: int) -> None:
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

    def _give_up(self, error: str) -> None:
        """The container could not even be forked."""
        if self._init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._init, 0)
        record = {"code": FAILED, "signal": 0, "oom": False, "started": False, "step": self._step, "error": error}
        self._end(record | {"finished_ns": time.time_ns()})

    def _end(self, record: Message) -> None:
        """Tell the exit, then clean up, then stay until every client has what is its."""
        if self._group is not None:
            record["oom"] = self._group.oom_kills() > 0
            self._kill_group(self._group)
        self._streams.idle = self._loop.stop
        self._streams.finish()
        self._log.close()
        self._exit = record
        self._channels.tell({"event": "exit", **record})
        try:
            records.write_once(self._run_dir, records.EXIT, record)
        except OSError as error:  # a full file system: whoever listens knows; who comes later finds a dead monitor
            print(f"sampan: container {self._request['id']}: exit record: {error}", file=sys.stderr, flush=True)
        if self._group is not None:
            with contextlib.suppress(OSError):  # sampand tries again when it takes the record
                self._group.remove()
        os.close(self._lock)  # nothing is left to watch over; a next start need not wait for slow clients of this one
        os.close(self._root)
        if "lock" in self._descriptors:
            os.close(self._descriptors["lock"])  # now, and not before, the root may be mounted again

    def _kill_group(self, group: Group) -> None:
        """Kill what the first process left: nothing where it had a pid namespace, much perhaps where it had none."""
        try:
            group.kill()
        except TimeoutError as error:
            print(f"sampan: container {self._request['id']}: {error}", file=sys.stderr, flush=True)

    # Requests

    def _greet(self, channel: socket.socket) -> None:
        """Say who this is, with a pidfd of our own: no pid can be mistaken."""
        pidfd = os.pidfd_open(os.getpid())
        try:
            self._channels.send(channel, self._state("hello") | {"pid": os.getpid()}, [pidfd])
        finally:
            os.close(pidfd)
        if self._started_ns:
            self._channels.send(channel, self._state("started"))
        if self._exit is not None:
            self._channels.send(channel, {"event": "exit", **self._exit})

    def _handle(self, request: Message, descriptors: list[int], channel: socket.socket) -> None:
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
            case "follow":
                answer, carried = self._follow(channel)
            case "seen":
                self._follower_saw(channel)
            case "unfollow":
                self._stop_following(channel)
            case unknown:
                raise ValueError(f"unknown request {unknown!r}")
        return answer, carried

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


def _open_log(wanted: Message) -> LogWriter | NullWriter:
    if wanted["driver"] == "none":
        return NullWriter()
    return LogWriter(wanted["path"], wanted["max_size"], wanted["max_file"], attrs=wanted.get("attrs", "").encode())


class Waiting:
    """What a monitor has before it knows its container."""

    def __init__(self, prepared: Prepared, channel: socket.socket) -> None:
        self.prepared = prepared
        self.channel = channel
        self.loop = Loop()
        own = os.getpid()
        self.identity = {"boot": process.boot_id(), "pid": own, "start_time": process.start_time(own)}
        # On version 2 an init is born into its group: cheaper than to move it there, and not to be done ahead.
        self.unborn = None if prepared.layout.unified else Unborn(STANDARD, {})


def main(prepared: Prepared, channel: socket.socket) -> NoReturn:
    """Be a monitor, in the process that the zygote forked: wait on ``channel`` for the container to run."""
    process.set_name("sampan-spare")
    os.setsid()
    process.set_subreaper()
    try:
        waiting = Waiting(prepared, channel)
        received = wire.receive(channel)
        if received is None:
            os._exit(0)  # sampand is gone
        wire.send(channel, {"event": "taken"})
        request, descriptors = received
        process.set_name(f"sampan-mon {request['id'][:4]}")
        Monitor(waiting, request, dict(zip(request["fds"], descriptors, strict=True))).run()
    except BaseException as error:  # noqa: BLE001  (the zygote's own loop must never run on in this process)
        print(f"sampan: monitor: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
