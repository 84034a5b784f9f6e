"""Start, stop, kill, restart, wait: a container's way through its states.

Order.  ``Container.lock`` is held while a state changes; an exit is waited for without it. Whoever asked for the end
        waits on the run, so stop, kill and remove at once all see the same exit.
Start.  The row says "running" on the disk while the monitor is still being made: a crash in between is told apart
        by the run directory (`engine.recovery`).
Exit.   waiters answered and events, as the run directory tells of it (else recorded first) → recorded → run directory
        cleared.
Time.   All waiting is by the event loop's monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.api import schema
from sampan.engine import launching, plugging, reach, reason, signals
from sampan.engine.container import Container, Run, State, encode
from sampan.engine.errors import (
    INIT_FAILED,
    NOT_A_DIRECTORY,
    RUNC_FAILED,
    BadParameter,
    Conflict,
    EngineError,
    Internal,
    NotModified,
    NotRunning,
)
from sampan.runtime.supervisor import MonitorGone, StartFailed
from sampan.storage.snapshots import SnapshotBusy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any

    from sampan.engine.contracts import Actor
    from sampan.engine.core import Core
    from sampan.engine.plugging import Connection
    from sampan.runtime.supervisor import Attachment, Exit, Launch, Monitor

log = logging.getLogger(__name__)

FAILED: Final = 128  # exit codes of a container whose program never ran
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
STOP_GRACE_S: Final = 10.0  # seconds from the stop signal to SIGKILL, where nobody says otherwise
KILL_GRACE_S: Final = 10.0  # seconds for SIGKILL to have its effect before an error is told
BUSY_WAIT_S: Final = 10.0  # seconds for the last run's monitor to let go of the root file system
BUSY_POLL_S: Final = 0.005
UNSENT_GRACE_S: Final = 2.0  # seconds to SIGKILL where the stop signal can't be sent; dockerd's

_PLAIN_STEPS: Final = frozenset({"user", "working directory"})  # dockerd does these itself: no wrapping


class Lifecycle:
    """The ways between created, running and exited."""

    def __init__(self, core: Core, remove: Callable[[Container], Awaitable[None]]) -> None:
        """``remove`` takes an ended container away, for --rm."""
        self._core = core
        self._remove = remove

    # Start

    async def start(self, container: Container) -> None:
        """Run it. Raises NotModified, Conflict, StartError and what creation may raise late."""
        async with container.lock:
            if container.removing:
                raise Conflict("container is marked for removal and cannot be started")
            if container.running:
                raise NotModified
            container.starting = True
            try:
                await self._launch(container)
            except BaseException as error:
                await self._start_failed(container, error)
                raise
            finally:
                container.starting = False

    async def _launch(self, container: Container) -> None:
        core = self._core
        attachments, container.pending = container.pending, []
        with _Closing(attachments):
            network = await plugging.prepare(core, container)
            launch = await self._prepare(container, attachments, network)
            looking = core.spawn(reach.warnings(core, container, network.sandbox))
            began = State(status="running", started=time.time_ns(), finished=container.state.finished)
            written = core.rows.set_state(container.id, encode(began), core.host.boot_id)
            try:
                monitor = await core.supervisor.launch(launch)
            except BaseException as error:
                await core.recorded(written, f"the start of container {container.short_id}")
                if isinstance(error, StartFailed):
                    raise StartError(error, launch.spec["mounts"]) from error
                raise
        began.started = monitor.started_at_ns or began.started
        container.state = began
        run = self.watch(container, monitor)
        run.warnings = await looking
        if not await core.recorded(written, f"the start of container {container.short_id}"):
            with contextlib.suppress(MonitorGone):
                await monitor.signal(signal.SIGKILL)
            raise Internal("the start could not be recorded, so the container was killed; see sampand's log")
        core.container_event(container, "start")

    async def _prepare(self, container: Container, attachments: list[Attachment], network: Connection) -> Launch:
        """Prepare the launch; the monitor of a run that has just ended may hold the root a moment longer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BUSY_WAIT_S
        if container.clearing is not None:
            await container.clearing
        if container.unrecorded:
            await self._core.supervisor.forget(self._core.run_dir(container.id))
            container.unrecorded = False
        while True:
            try:
                return await self._core.thread(launching.prepare, self._core, container, attachments, network)
            except SnapshotBusy:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(BUSY_POLL_S)

    async def _start_failed(self, container: Container, error: BaseException) -> None:
        """Keep why the start failed; with --rm the container goes."""
        if container.run is not None:  # it did start, and is being ended: its exit will be recorded
            return
        await self._core.fabric.close(container.id)
        code, text, why = FAILED, str(error), reason.start_failed("", str(error))
        if isinstance(error, StartError):
            code, why = error.code, reason.start_failed(error.step, error.plain)
        # As dockerd: the status stays what it was ("created", if it never ran).
        container.state = msgspec.structs.replace(container.state, exit_code=code, error=text, reason=why)
        written = self._core.rows.set_state(container.id, encode(container.state), self._core.host.boot_id)
        await self._core.recorded(written, f"the failed start of container {container.short_id}")
        if container.stored.host.auto_remove:
            container.removing = True
            await self._remove(container)

    def watch(self, container: Container, monitor: Monitor) -> Run:
        """Follow a run to its end."""
        run = container.run = Run(monitor, asyncio.get_running_loop().create_future())
        self._core.watch(self._see_through(container, run), f"following container {container.short_id}")
        return run

    # Exit

    async def _see_through(self, container: Container, run: Run) -> None:
        exit_ = await run.monitor.exit
        async with container.lock:
            await self.record_exit(container, exit_, run)
        if container.stored.host.auto_remove and not container.removing and not run.restarting:
            container.removing = True
            await self._remove(container)

    async def record_exit(self, container: Container, exit_: Exit, run: Run | None) -> None:
        """Keep how a run ended, answer who waits, tell it. Called with the lock held."""
        core, state = self._core, container.state
        ended = State(
            status="exited",
            started=state.started,
            finished=exit_.finished_at_ns or time.time_ns(),
            exit_code=exit_.code,
            oom=exit_.oom,
            error="" if exit_.started else exit_.error,
            reason=reason.ended(
                exit_,
                asked=run.asked if run else "",
                unanswered=run.unanswered if run else "",
                memory=container.stored.host.memory,
            ),
        )
        recording = None
        if not container.stored.host.auto_remove or (run is not None and run.restarting):
            # With --rm the row is about to go: its removal is the record.
            written = core.rows.set_state(container.id, encode(ended), core.host.boot_id)
            recording = core.spawn(core.recorded(written, f"the exit of container {container.short_id}"))
            if not exit_.kept:
                await recording
        container.state, container.run = ended, None
        await core.fabric.close(container.id)
        clearing = self._clear(container, recording)
        container.clearing = core.background(clearing, f"clearing up after container {container.short_id}")
        duration = max(ended.finished - ended.started, 0) // 1_000_000_000
        core.container_event(container, "die", exitCode=str(exit_.code), execDuration=str(duration))
        if exit_.oom:
            core.container_event(container, "oom")
        if run is not None and not run.ended.done():
            run.ended.set_result(exit_.code)
        container.resolve_exit(exit_.code)

    async def _clear(self, container: Container, recording: asyncio.Task[bool] | None) -> None:
        """Remove the run directory, which tells of the exit until the row does."""
        container.unrecorded = recording is not None and not await recording
        if not container.unrecorded:
            await self._core.supervisor.forget(self._core.run_dir(container.id))

    # Stop and kill

    async def stop(self, container: Container, timeout: int | None, signal_text: str | None, by: Actor) -> None:
        """Ask it to end, and make it after a while. Raises NotModified: it does not run; BadParameter."""
        run = await self._settled_run(container)
        if run is None:
            raise NotModified
        await self.end_run(container, run, timeout, signal_text, by)
        self._core.container_event(container, "stop")

    async def end_run(
        self, container: Container, run: Run, timeout: int | None, signal_text: str | None, by: Actor
    ) -> None:
        """End a run: its stop signal, its time, SIGKILL. Returns once the exit is recorded. Raises BadParameter."""
        config = container.stored.config
        number = signals.parse(signal_text or config.stop_signal or "SIGTERM")
        if timeout is None:
            timeout = config.stop_timeout
        grace = STOP_GRACE_S if timeout is None else float(timeout)
        run.asked = reason.asked_by(by)
        if signals.can_be_sent(number):
            await self._signal(container, run, number)
        else:
            log.error("container %s: its stop signal %d can't be sent", container.short_id, number)
            grace = UNSENT_GRACE_S
        if await _ended_within(run, None if grace < 0 else grace):
            return
        run.unanswered = f"{reason.signal_name(number)} went unanswered for {grace:g} s"
        await self.kill_run(container, run, by)

    async def kill_run(self, container: Container, run: Run, by: Actor) -> None:
        """End a run with SIGKILL. Raises Internal if it does not end."""
        run.asked = run.asked or reason.asked_by(by)
        await self._signal(container, run, signal.SIGKILL)
        if not await _ended_within(run, KILL_GRACE_S):
            raise Internal(
                f"container {container.id} did not end {KILL_GRACE_S:g} s after SIGKILL: "
                "a process of it waits in the kernel (see `ps -eo pid,stat,wchan,cmd`, state D)"
            )

    async def kill(self, container: Container, signal_text: str | None, by: Actor) -> None:
        """Send it a signal; SIGKILL is waited for. Raises NotRunning, BadParameter."""
        number = signals.parse(signal_text or "SIGKILL")
        if not signals.can_be_sent(number):
            raise BadParameter(f"the linux daemon does not support signal {number}")
        run = await self._settled_run(container)
        if run is None:
            raise NotRunning(container.id)
        if number == signal.SIGKILL:
            await self.kill_run(container, run, by)
        else:
            run.asked = reason.asked_by(by)
            await self._signal(container, run, number)

    async def restart(self, container: Container, timeout: int | None, signal_text: str | None, by: Actor) -> None:
        """Stop it if it runs, and start it."""
        run = await self._settled_run(container)
        if run is not None:
            run.restarting = True
            try:
                await self.end_run(container, run, timeout, signal_text, by)
            finally:
                run.restarting = False
        with contextlib.suppress(NotModified):  # somebody else was faster
            await self.start(container)
        self._core.container_event(container, "restart")

    async def _signal(self, container: Container, run: Run, number: int) -> None:
        with contextlib.suppress(MonitorGone):  # it is ending by itself; the exit is on its way
            await run.monitor.signal(number)
        self._core.container_event(container, "kill", signal=str(int(number)))

    async def _settled_run(self, container: Container) -> Run | None:
        """Return the run under way, after a start in progress has come to its end."""
        async with container.lock:
            return container.run

    # Wait

    @staticmethod
    def wait(container: Container, condition: str) -> Awaitable[schema.ContainerWait]:
        """Subscribe to an end: not-running, next-exit or removed."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiters = container.removal_waiters if condition == "removed" else container.exit_waiters
        if condition == "not-running" and not container.running and not container.starting:
            future.set_result(container.state.exit_code)
        else:
            waiters.append(future)
        return _answer(future, waiters)


async def _answer(future: asyncio.Future[int], waiters: list[asyncio.Future[int]]) -> schema.ContainerWait:
    try:
        return schema.ContainerWait(status_code=await future)
    finally:
        if future in waiters:  # the client went away first
            waiters.remove(future)


async def _ended_within(run: Run, seconds: float | None) -> bool:
    done, _ = await asyncio.wait({run.ended}, timeout=seconds)
    return bool(done)


class _Closing:
    """Clients that were to be attached: hung up on if the start fails before the launch took them over."""

    def __init__(self, attachments: list[Attachment]) -> None:
        self._attachments = attachments

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            for attachment in self._attachments:
                attachment.socket.close()


class StartError(EngineError):
    """A start that failed, in dockerd's words: clients look for "executable file not found" and its like in them."""

    def __init__(self, failed: StartFailed, mounts: Sequence[Mapping[str, Any]] = ()) -> None:
        """``mounts`` are the bundle's: the text names the source of the one that failed."""
        text = start_text(failed, mounts)
        super().__init__(text)
        self.step, self.plain, self.code = failed.step, str(failed), _code(failed, text)

    @property
    def status(self) -> int:  # type: ignore[override]  # here it depends on the failure
        """400 where the container asks for what can't be; 500 where the engine failed."""
        return 400 if self.code in (126, 127) else 500


def _code(failed: StartFailed, text: str) -> int:
    """Return the exit code; dockerd goes by the words where its runtime gave none."""
    if failed.code != FAILED or failed.step in _PLAIN_STEPS:
        return failed.code
    if "no such file or directory" in text or "not a directory" in text:
        return NOT_FOUND
    return NOT_EXECUTABLE if "permission denied" in text else FAILED


def start_text(failed: StartFailed, mounts: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the text of a failed start as dockerd puts it."""
    text = str(failed)
    if failed.step in _PLAIN_STEPS:
        return text
    during = RUNC_FAILED if text.startswith("exec") else INIT_FAILED
    if failed.step.startswith("mount "):
        target = failed.step.removeprefix("mount ")
        source = next((mount["source"] for mount in mounts if mount["destination"] == target), "")
        during += f'error mounting "{source}" to rootfs at "{target}": '
    elif failed.step == "hostname":
        text = f"sethostname: {text.lower()}"
    wrapped = f"{during}{text}: unknown"
    if text.endswith("is a directory"):
        return wrapped + ": permission denied"
    return wrapped + NOT_A_DIRECTORY if "not a directory" in text else wrapped
