"""sampand's side of the runtime: the zygote, and the way to every monitor.

Words.  *launch*: ask the zygote for a monitor and wait until the container's program was exec'd.  *adopt*: find the
        monitor of an earlier sampand again.  *forget*: clear the run directory, once the exit is safely recorded.
Life.   start → (launch | adopt) … → close.  close leaves monitors and their containers running.
Errors. StartFailed: the container's program never ran.

This module and ``handle`` are the ones of the runtime that know asyncio; neither zygote nor monitors import them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

import sampan
from sampan.linux import mount
from sampan.logs.writer import open_log
from sampan.runtime import capabilities, cgroups, guard, seccomp, wire, zygote
from sampan.runtime.berth import Berth
from sampan.runtime.cgroups import Group
from sampan.runtime.handle import (
    ADOPT_WAIT_S,
    POLL_S,
    Attachment,
    ExecLaunch,
    ExecState,
    Exit,
    LogConfig,
    LogMark,
    Monitor,
    MonitorGone,
    Order,
    StartFailed,
    client_descriptors,
    exit_of,
    reach,
)
from sampan.runtime.wire import Message

__all__ = [
    "Attachment",
    "ExecLaunch",
    "ExecState",
    "Exit",
    "Launch",
    "LogConfig",
    "LogMark",
    "Monitor",
    "MonitorGone",
    "StartFailed",
    "Supervisor",
]

log = logging.getLogger(__name__)

_ZYGOTE_WAIT_S: Final = 10.0
_ATTEMPTS: Final = 3
_KEPT_WITH_LAUNCH: Final = 100  # descriptors, beside those of bind mounts, clients, the root …
AT_ONCE: Final = 32  # starts under way at the zygote; more would only wait for processors, and seem not to answer
SPARE_S: Final = 60.0  # how long a monitor waits after the last start; it costs 4 MiB


@dataclass(slots=True)
class Launch:
    """All that a container needs to start.

    Attributes:
        spec: the OCI configuration, written to ``bundle``/config.json.
        root: descriptor of the detached mount of the root; launch closes it.
        lock: descriptor that holds the root's snapshot, if any; launch closes it, the monitor keeps it with the root.
        plug: given a descriptor of the new network namespace (which launch closes), sets it up and returns descriptors
            for the monitor to keep, which stay the caller's; the program waits for it. None: there is nothing to do.
        keep: further descriptors that the monitor keeps, by name; they stay the caller's.
        console_size: (height, width) of the terminal, if known.
    """

    id: str
    bundle: Path  # directory that config.json is written into
    run_dir: Path
    spec: dict[str, Any]
    root: int
    log: LogConfig
    open_stdin: bool = False
    stdin_once: bool = False
    attach: list[Attachment] = field(default_factory=list)
    console_size: tuple[int, int] | None = None
    lock: int = -1
    plug: Callable[[int], Awaitable[dict[str, int]]] | None = None
    keep: dict[str, int] = field(default_factory=dict)


class Supervisor:
    """The zygote and all monitors of one sampand.

    Args:
        run_dirs: the directory of the containers' run directories.
        writable: directories that monitors write to: the data root and the exec root.
    """

    def __init__(self, run_dirs: Path, writable: list[Path]) -> None:
        self._run_dirs = run_dirs
        self._writable = [str(path) for path in writable]
        self._zygote: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._monitors: dict[str, Monitor] = {}
        self._spares: list[socket.socket] = []
        self._resting: asyncio.TimerHandle | None = None
        self._sparing: asyncio.Task[None] | None = None
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._filters: dict[bytes, bytes] = {}
        self._layout = cgroups.probe()
        self._available = capabilities.mask(capabilities.usable())
        self._closing = False
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the zygote. Raises ChildProcessError: it does not come up."""
        async with self._starting:
            if self._channel is not None:
                return
            ours, theirs = wire.pair()
            with theirs:
                packages = str(Path(sampan.__file__).parent.parent)
                command = zygote.command(sys.executable, packages, theirs.fileno(), str(self._run_dirs), self._writable)
                self._zygote = await asyncio.to_thread(_spawn, command, theirs.fileno())
            ours.setblocking(False)
            await _readable(ours)
            if wire.receive(ours) is None:
                ours.close()
                raise ChildProcessError("the zygote ended while starting; its message is in sampand's log")
            self._channel = ours
            asyncio.get_running_loop().add_reader(ours.fileno(), self._zygote_ended)

    def _zygote_ended(self) -> None:
        """Only its end is ever heard on the zygote's channel. Running containers do not notice."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        if self._zygote is not None:
            code = self._zygote.wait()
            if not self._closing:
                log.warning(
                    "the zygote (pid %d) ended with %d; the next start brings a new one", self._zygote.pid, code
                )

    @property
    def zygote_pid(self) -> int:
        """The zygote's pid, 0 if none runs."""
        return self._zygote.pid if self._zygote is not None and self._channel is not None else 0

    async def close(self) -> None:
        """Let go of zygote and monitors; containers go on."""
        self._closing = True
        for monitor in tuple(self._monitors.values()):
            monitor.close()
        self._dismiss_spares()
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None

    async def launch(self, launch: Launch) -> Monitor:
        """Start a container and return once its program was exec'd.

        Raises:
            StartFailed: with the step, Docker's text and the exit code; nothing is left but the log.
        """
        with contextlib.ExitStack() as stack:
            if launch.lock >= 0:
                stack.callback(os.close, launch.lock)
            stack.callback(os.close, launch.root)
            berth, order = await asyncio.to_thread(self._prepare, launch, stack)
            try:
                async with self._at_once:
                    monitor = await self._ask_monitor(launch, order, berth)
            except OSError as error:
                berth.close()
                await self.forget(launch.run_dir)
                raise _failed("prepare", error) from error
        self._order_spare()  # init builds meanwhile, and keeps one processor busy
        if launch.plug is not None:
            await self._plug(monitor, launch.plug, _late(launch.keep))
        return await self._until_ready(monitor)

    async def _plug(
        self, monitor: Monitor, plug: Callable[[int], Awaitable[dict[str, int]]], late: dict[str, int]
    ) -> None:
        """Have the network set up, then let the program go; a container whose network can't be had is ended.

        ``late``: what the monitor keeps beside what came with the launch.
        """
        try:
            await monitor.keep(late)
            namespace = await monitor.namespace()
            try:
                monitor.go(await plug(namespace))
            finally:
                os.close(namespace)
        except StartFailed:
            return  # so `ready` says
        except BaseException:
            with contextlib.suppress(MonitorGone):
                await monitor.signal(signal.SIGKILL)
            await monitor.exit
            await self.forget(monitor.run_dir)
            monitor.close()
            raise

    async def _until_ready(self, monitor: Monitor) -> Monitor:
        try:
            await monitor.ready()
        except StartFailed:
            await self.forget(monitor.run_dir)
            monitor.close()
            raise
        self._monitors[monitor.id] = monitor
        monitor.exit.add_done_callback(lambda _exit: self._monitors.pop(monitor.id, None))
        return monitor

    def _berth(self, launch: Launch) -> Berth:
        try:
            return Berth(launch.run_dir, self._layout, launch.spec["linux"])
        except FileExistsError as error:
            raise _failed("run directory", error) from error
        except OSError as error:
            raise _failed("control group", error) from error

    def _prepare(self, launch: Launch, stack: contextlib.ExitStack) -> tuple[Berth, Order]:
        """Make all that the container needs on the host's side. Raises StartFailed; nothing is left then."""
        berth = self._berth(launch)
        try:
            return berth, self._order(launch, berth.group, stack)
        except (OSError, ValueError) as error:
            berth.close()
            guard.clear(str(launch.run_dir))
            raise _failed("prepare", error) from error

    def _order(self, launch: Launch, group: Group, stack: contextlib.ExitStack) -> Order:
        """Write the bundle, open all that the container will see of the host, and say what is to be run."""
        (launch.bundle / "config.json").write_bytes(msgspec.json.encode(launch.spec))
        linux = launch.spec.get("linux") or {}
        program = self._filter(linux.get("seccomp"))
        order = self._open(launch, program, stack)
        request: Message = {
            "seccomp_flags": seccomp.filter_flags(linux["seccomp"]) if program else 0,
            "available": self._available,
            "id": launch.id,
            "run_dir": str(launch.run_dir),
            "cgroup": group.record(),
            "hierarchies": {} if self._layout.unified else self._layout.own_directories(group),
            "namespaces": linux.get("namespaces") or [],
            "log": msgspec.to_builtins(launch.log),
            "terminal": bool(launch.spec["process"].get("terminal")),
            "open_stdin": launch.open_stdin,
            "stdin_once": launch.stdin_once,
            "size": launch.console_size,
            "hold": launch.plug is not None,
        }
        for number, attachment in enumerate(launch.attach):
            request.setdefault("attach", []).append(attachment.message())
            stack.enter_context(attachment.socket)
            for name, descriptor in client_descriptors(attachment, stack).items():
                order.own[f"{name}:{number}"] = descriptor
        order.request = request
        return order

    def _open(self, launch: Launch, program: bytes, stack: contextlib.ExitStack) -> Order:
        """Open what goes with a launch; ``stack`` closes it."""
        order = Order()
        if launch.lock >= 0:
            order.own["lock"] = launch.lock
        late = _late(launch.keep)
        order.own |= {f"keep:{name}": descriptor for name, descriptor in launch.keep.items() if name not in late}
        if launch.log.driver != "none":
            order.own["log"] = open_log(launch.log.path)
            stack.callback(os.close, order.own["log"])
        order.shared["root"] = launch.root
        if program:
            order.shared["seccomp"] = wire.memory_file(program)
            stack.callback(os.close, order.shared["seccomp"])
        order.given["spec"] = wire.memory_file(_without_seccomp(launch.spec))
        stack.callback(os.close, order.given["spec"])
        for index, entry in enumerate(launch.spec.get("mounts") or []):
            options = entry.get("options") or []
            if entry.get("type") == "bind" or "bind" in options or "rbind" in options:
                tree = order.given[f"tree:{index}"] = mount.open_tree(entry["source"], recursive="bind" not in options)
                stack.callback(os.close, tree)
        return order

    def _filter(self, profile: dict[str, Any] | None) -> bytes:
        """Compile a seccomp profile, once for each."""
        if not profile:
            return b""
        key = msgspec.json.encode(profile)
        if key not in self._filters:
            self._filters[key] = seccomp.compile_filter(profile)
        return self._filters[key]

    async def _ask_monitor(self, launch: Launch, order: Order, berth: Berth) -> Monitor:
        """Tell a waiting monitor what to run. If it dies before it took that on, nothing is used up: ask another."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                berth = await asyncio.to_thread(self._berth, launch)
            monitor = Monitor(launch.id, launch.run_dir, await self._spare_channel())
            try:
                await monitor.send_launch(order, berth)
                await monitor.taken_on()
            except (MonitorGone, BrokenPipeError, ConnectionResetError, TimeoutError) as error:
                monitor.close()
                if isinstance(error, TimeoutError):
                    self._replace_zygote()
            else:
                return monitor
            finally:
                berth.close()
            await self.forget(launch.run_dir)
        raise OSError(errno.ECHILD, f"{_ATTEMPTS} monitors died while starting this container; see sampand's log")

    async def _spare_channel(self) -> socket.socket:
        """Return the channel of a monitor that waits, or of one that will be there in a moment."""
        while self._spares:
            channel = self._spares.pop()
            if _is_open(channel):
                return channel
            channel.close()
        return await self._order_monitor()

    async def _order_monitor(self) -> socket.socket:
        """Have the zygote fork a monitor; it reads its channel when it is there."""
        while True:
            await self.start()
            ours, theirs = wire.pair()
            with theirs:
                try:
                    if self._channel is None:
                        raise BrokenPipeError(errno.EPIPE, "the zygote is gone")
                    wire.send(self._channel, {"fork": 1}, [theirs.fileno()])
                except BlockingIOError:
                    ours.close()
                    await asyncio.sleep(POLL_S)
                except OSError:
                    ours.close()
                    self._zygote_ended()
                else:
                    return ours

    def _replace_zygote(self) -> None:
        """End a zygote that does not fork, or whose monitors do not run; those that have a container go on."""
        if self._zygote is not None:
            log.warning("the zygote (pid %d) or its monitor does not answer: ending it", self._zygote.pid)
            self._zygote.kill()
            self._zygote_ended()

    def _order_spare(self) -> None:
        if self._sparing is None or self._sparing.done():
            self._sparing = asyncio.get_running_loop().create_task(self._keep_spare())

    async def _keep_spare(self) -> None:
        """See that the next start finds a monitor waiting, if it comes within a minute: a sampand at rest is small."""
        if self._closing:
            return
        if not self._spares:
            with contextlib.suppress(OSError):  # the next start will say what is wrong
                self._spares.append(await self._order_monitor())
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(SPARE_S, self._dismiss_spares)

    def _dismiss_spares(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        while self._spares:
            self._spares.pop().close()

    async def adopt(self, run_dir: Path) -> Monitor | Exit | None:
        """Find out what became of a container that an earlier sampand started.

        Returns:
            Monitor: it runs. Exit: it ended, to be recorded and then forgotten. None: it never began.
        """
        found = await reach(run_dir)
        if found is None:
            return None
        if not isinstance(found, socket.socket):
            return exit_of(found)
        monitor = Monitor(run_dir.name, run_dir, found)
        try:
            await monitor.ready()
        except (StartFailed, MonitorGone):
            monitor.close()
            return monitor.exit.result() if monitor.exit.done() else None
        if monitor.exit.done():
            monitor.close()
            return monitor.exit.result()
        self._monitors[monitor.id] = monitor
        monitor.exit.add_done_callback(lambda _exit: self._monitors.pop(monitor.id, None))
        return monitor

    async def forget(self, run_dir: Path) -> None:
        """Clear a container's run directory, its control groups and whatever of it still runs."""
        deadline = asyncio.get_running_loop().time() + ADOPT_WAIT_S
        while True:
            try:
                await asyncio.to_thread(guard.clear, str(run_dir))
            except BlockingIOError:  # the monitor is about to let go
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(POLL_S)
            else:
                return


def _late(keep: dict[str, int]) -> dict[str, int]:
    """Return those of the descriptors to keep that don't fit into a launch, which has others too."""
    return dict(list(keep.items())[_KEPT_WITH_LAUNCH:])


def _failed(step: str, error: OSError | ValueError) -> StartFailed:
    return StartFailed(step, getattr(error, "strerror", None) or str(error), 128)


def _spawn(command: list[str], channel: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, pass_fds=[channel], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", env={}
    )


def _without_seccomp(spec: dict[str, Any]) -> bytes:
    """Encode what init reads: the filter goes to it compiled, and its source is most of a configuration."""
    linux = {key: value for key, value in (spec.get("linux") or {}).items() if key != "seccomp"}
    return msgspec.json.encode({**spec, "linux": linux})


def _is_open(channel: socket.socket) -> bool:
    """Tell whether the other side still holds its end; it has said nothing yet."""
    try:
        return channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


async def _readable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(channel.fileno(), _settle, ready)
    try:
        await asyncio.wait_for(ready, _ZYGOTE_WAIT_S)
    finally:
        loop.remove_reader(channel.fileno())


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
