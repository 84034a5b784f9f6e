"""A monitor before its container does anything: it starts it, holds what must be held, and runs little code.

Life.   forked, waits as ``sampan-spare`` → a launch comes → init is told → *keeping* → the first thing that happens
        (output, a request, a client, the end) makes a `sampan.runtime.monitor.Monitor` of it, which takes over.
Why.    Python writes to every object that it looks at, if only to its reference count, and each page written is a copy
        of this process's own.  A container that just runs costs less than half of one that was ever asked something.
Launch. One packet: a line for the keeper, see `Head`, and the request as JSON, which goes on to init unread.  Of its
        descriptors the first are the monitor's, the next are shared with init, the rest are init's.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from typing import Final, NoReturn

from sampan.linux import process
from sampan.runtime import records, wire
from sampan.runtime.cgroups import Layout
from sampan.runtime.loop import READ, Loop
from sampan.runtime.monitor import Monitor
from sampan.runtime.payload import GO, NETNS, READY
from sampan.runtime.unborn import STANDARD, Unborn

# The first of a launch's descriptors: the listening socket and, where there is nothing but version 2, the group's
# directory.
CONTROL: Final = 0
CGROUP: Final = 1
ATTACHED: Final = 1
HELD: Final = 2


class Head:
    """What a keeper must know of a launch: four bytes, then the run directory.

    Attributes:
        standard: whether the container wants just the namespaces that a waiting init has.
        own, shared: how many descriptors are the monitor's alone, and how many init needs too.
        flags: ATTACHED: clients are attached from the beginning. HELD: init waits for the network.
    """

    def __init__(self, run_dir: str, own: int, shared: int, flags: int, *, standard: bool) -> None:
        self.run_dir = run_dir
        self.own = own
        self.shared = shared
        self.standard = standard
        self.flags = flags

    def encode(self) -> bytes:
        """Return the line."""
        return bytes((self.standard, self.own, self.shared, self.flags)) + self.run_dir.encode() + b"\n"


class Keeper:
    """One container's monitor until something happens.

    Attributes:
        request: the launch as JSON. descriptors: those of it that the monitor keeps.
        streams, stream_descriptors: what init told of the program's streams, as JSON, and our ends of them.
        holding: whether init waits for the network. kept: what sampand gave to keep, as JSON with descriptors.
        ready: whether init was about to exec. started_ns: when it did, nanoseconds since the epoch; 0: not yet.
    """

    def __init__(self, layout: Layout, channel: socket.socket, waiting: Unborn | None) -> None:
        """Be ready for a container.

        Args:
            channel: where it will come from. waiting: an init with the namespaces that it is likely to want.
        """
        self.loop = Loop()
        self.channel = channel
        self._layout = layout
        self._waiting = waiting
        self.run_dir = ""
        self.request = b""
        self.descriptors: list[int] = []
        self.init = 0
        self.status: socket.socket | None = None
        self.notes = -1
        self.streams = b""
        self.stream_descriptors: list[int] = []
        self.ready = False
        self.started_ns = 0
        self.holding = False
        self.kept: list[tuple[bytes, list[int]]] = []

    def launch(self, payload: bytes, descriptors: list[int]) -> None:
        """Start a container, as the packet says."""
        run_dir, _, self.request = payload[4:].partition(b"\n")
        self.run_dir = run_dir.decode()
        process.set_name(b"sampan-mon " + run_dir[-64:-60])
        standard, own, shared, flags = payload[:4]
        try:
            self._begin(descriptors, own, own + shared, standard=bool(standard))
        except OSError as error:
            self.descriptors = descriptors
            Monitor(self).give_up(error.strerror or str(error))
        else:
            self._keep()
            if flags & HELD:
                self.holding = True
                self.loop.watch(self.channel.fileno(), READ, self._sampand_spoke)
            if flags & ATTACHED:
                self._wake()

    def _begin(self, descriptors: list[int], own: int, kept: int, *, standard: bool) -> None:
        """Have an init with the right namespaces, tell it what to build, and say that the container has a monitor."""
        unborn = self._waiting if standard else None
        if unborn is None:
            unborn = self._make_init(descriptors[CGROUP] if self._layout.unified else None)
        self.init, self.notes, self.status = unborn.pid, unborn.notes, unborn.status
        self._say_taken()
        unborn.tell(self.request, descriptors[own:])
        for descriptor in descriptors[kept:]:
            os.close(descriptor)
        self.descriptors = descriptors[:kept]
        self.status.setblocking(False)

    def _make_init(self, cgroup: int | None) -> Unborn:
        """Fork an init for this container, in the place of the one that waits.

        Args:
            cgroup: the descriptor of its version 2 directory, where there is nothing but version 2.
        """
        if self._waiting is not None:
            self._waiting.discard()
        wanted = [entry for entry in json.loads(self.request)["namespaces"] if entry["type"] != "cgroup"]
        kinds = frozenset(entry["type"] for entry in wanted if not entry.get("path"))
        joined = {e["type"]: os.open(e["path"], os.O_RDONLY | os.O_CLOEXEC) for e in wanted if e.get("path")}
        unborn = Unborn(self._layout, kinds, joined, cgroup)
        for descriptor in joined.values():
            os.close(descriptor)
        return unborn

    def _say_taken(self) -> None:
        """Say who this is, with a pidfd of our own: no pid can be mistaken."""
        own = os.getpid()
        pidfd = os.pidfd_open(own)
        try:
            self._say(b'{"event":"taken","pid":%d,"init":%d}' % (own, self.init), [pidfd])
        finally:
            os.close(pidfd)

    def _say(self, message: bytes, descriptors: list[int] | None = None) -> None:
        with contextlib.suppress(OSError):  # sampand is gone: the next one asks
            wire.send_bytes(self.channel, message, descriptors)

    # Keeping

    def _keep(self) -> None:
        assert self.status is not None
        self.loop.watch(self.status.fileno(), READ, self._init_spoke)
        self.loop.watch(self.channel.fileno(), READ, self._something_came)
        self.loop.watch(self.descriptors[CONTROL], READ, self._something_came)
        self.loop.on_exit(self.init, self.init_ended)

    def _something_came(self, _events: int) -> None:
        self._wake()

    def _wake(self) -> Monitor:
        """Something happened: have a monitor see to it. Its watches take the place of ours and find it still there."""
        for descriptor in self.stream_descriptors:
            self.loop.forget(descriptor)
        return Monitor(self)

    def _sampand_spoke(self, _events: int) -> None:
        """Hear sampand while init waits for the network."""
        payload, descriptors = wire.receive_bytes(self.channel)
        if payload.startswith(GO):
            self.kept.append((payload, descriptors))
            self.loop.watch(self.channel.fileno(), READ, self._something_came)
            self.let_go()
            return
        monitor = self._wake()
        if payload:
            monitor.handle(json.loads(payload), descriptors, self.channel)

    def let_go(self) -> None:
        """Tell init that the network is there."""
        self.holding = False
        if self.status is not None:
            with contextlib.suppress(BrokenPipeError):  # it failed meanwhile
                wire.send_bytes(self.status, GO)

    def _init_spoke(self, _events: int) -> None:
        assert self.status is not None
        try:
            payload, descriptors = wire.receive_bytes(self.status)
        except BlockingIOError:
            return
        if not payload:
            self._init_closed()
        elif payload == NETNS:
            self._say(NETNS, descriptors)
            os.close(descriptors[0])
        elif descriptors:
            self.streams, self.stream_descriptors = payload, descriptors
            for descriptor in descriptors:
                self.loop.watch(descriptor, READ, self._something_came)
        elif payload == READY:
            self.ready = True
        else:
            self._wake().hear(json.loads(payload))

    def _init_closed(self) -> None:
        """Init closed its channel: by exec, if it was ready; else it is about to be reaped."""
        assert self.status is not None
        self.loop.forget(self.status.fileno())
        self.status.close()
        self.status = None
        if self.ready:
            self.started_ns = time.time_ns()
            os.close(self.notes)
            records.mark_started(self.run_dir, self.started_ns)
            self._say(b'{"event":"started","started_ns":%d}' % self.started_ns)

    def init_ended(self, pid: int, status: int) -> None:
        """The container's first process was reaped."""
        self._wake().init_ended(pid, status)


def main(layout: Layout, channel: socket.socket) -> NoReturn:
    """Be a monitor, in the process that the zygote forked: wait on ``channel`` for the container to run."""
    process.set_name(b"sampan-spare")
    os.setsid()
    process.set_subreaper()
    try:
        # On version 2 an init is born into its group: cheaper than to move it there, and not to be done ahead.
        kept = Keeper(layout, channel, None if layout.unified else Unborn(layout, STANDARD, {}))
        payload, descriptors = wire.receive_bytes(channel)
        if payload:  # else sampand is gone
            kept.launch(payload, descriptors)
            kept.loop.run()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  (the zygote's own loop must never run on in this process)
        print(f"sampan: monitor: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
