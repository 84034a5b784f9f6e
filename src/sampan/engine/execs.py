"""Exec sessions: further programs in a running container.

Life.   created (in memory) → running (in the container's monitor, which outlives sampand) → ended, remembered a while.
Failure. A client that is connected already reads the reason from its stream, and the exit code is 126, as with dockerd.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sampan.api import schema
from sampan.engine import merge, plugging, spec, text
from sampan.engine.attach import frame, parse_detach_keys
from sampan.engine.create import new_id
from sampan.engine.errors import NOT_A_DIRECTORY, BadParameter, Conflict, EngineError, Internal, NoSuchExec, NotRunning
from sampan.runtime.supervisor import Attachment, ExecLaunch, MonitorGone, StartFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from sampan.engine.container import Container
    from sampan.engine.contracts import TakenConnection
    from sampan.engine.core import Core
    from sampan.runtime.supervisor import Monitor

REMEMBERED: Final = 256  # ended sessions of one container that can still be asked about
FAILED: Final = 126  # exit code of a session whose program never ran

_EXEC: Final = "OCI runtime exec failed: exec failed: "
_WRONG: Final = ("executable file not found", "no such file or directory", "not a directory", "permission denied")
_START: Final = "unable to start container process: "


@dataclass(slots=True)
class Exec:
    """One session."""

    id: str
    container: Container
    body: schema.ExecCreate
    keys: bytes
    started: bool = False
    pid: int = 0
    code: int | None = None

    @property
    def running(self) -> bool:
        """Whether its program runs now."""
        return self.started and self.code is None


class ExecError(EngineError):
    """A session whose program could not be run."""

    def __init__(self, failed: StartFailed | MonitorGone) -> None:
        text = exec_text(failed)
        super().__init__(text)
        self._told = isinstance(failed, StartFailed) and failed.step != "user" and any(one in text for one in _WRONG)

    @property
    def status(self) -> int:  # type: ignore[override]  # here it depends on the failure
        """400 where the words are of the program, its directory or its rights; else 500. As dockerd, by the words."""
        return 400 if self._told else 500


class Execs:
    """All sessions of one engine."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._execs: dict[str, Exec] = {}
        self._ended: dict[str, deque[str]] = {}  # by container, oldest first

    def get(self, ref: str) -> Exec:
        """Return a session by id or unambiguous prefix. Raises NoSuchExec."""
        found = self._execs.get(ref)
        if found is None and ref:
            matches = [one for key, one in self._execs.items() if key.startswith(ref)]
            found = matches[0] if len(matches) == 1 else None
        if found is None:
            raise NoSuchExec(ref)
        return found

    async def create(self, container_ref: str, body: schema.ExecCreate) -> str:
        """Make a session. Raises NotRunning, BadParameter, Internal (its detach keys, as dockerd)."""
        container = self._core.catalog.get(container_ref)
        if container.run is None:
            raise NotRunning(container.id)
        text.check(body)
        if not body.cmd:
            raise BadParameter("No exec command specified")
        for entry in body.env:
            if not entry.partition("=")[0]:
                raise BadParameter(f"invalid environment variable: {entry}")
        try:
            keys = parse_detach_keys(body.detach_keys)
        except BadParameter:
            raise Internal(f"Invalid escape keys ({body.detach_keys}) provided") from None
        one = Exec(new_id(), container, body, keys)
        self._remember(one)
        self._event(one, f"exec_create: {_command(body)}")
        return one.id

    def _remember(self, one: Exec) -> None:
        self._execs[one.id] = one
        one.container.exec_ids.append(one.id)
        if one.code is not None:
            self._retire(one)

    def _retire(self, one: Exec) -> None:
        """A session has ended: inspect of its container lists it no more, and it will be forgotten some time."""
        container = one.container
        if one.id in container.exec_ids:
            container.exec_ids.remove(one.id)
        ended = self._ended.setdefault(container.id, deque())
        ended.append(one.id)
        if len(ended) > REMEMBERED:
            self._execs.pop(ended.popleft(), None)

    def forget(self, container: Container) -> None:
        """Forget the sessions of a container that was removed."""
        for key in (*container.exec_ids, *self._ended.pop(container.id, ())):
            self._execs.pop(key, None)
        container.exec_ids.clear()

    def adopt(self, container: Container, monitor: Monitor) -> None:
        """Remember the sessions that a monitor has from an earlier sampand."""
        for state in monitor.execs.values():
            body = schema.convert(state.meta.get("body") or {}, schema.ExecCreate)
            one = Exec(state.id, container, body, b"", started=True, pid=state.pid, code=state.code)
            self._remember(one)
            if state.code is None:
                self._follow(one, monitor)

    async def start(
        self,
        exec_id: str,
        *,
        detach: bool,
        tty: bool,
        console_size: Sequence[int] | None,
        connection: TakenConnection | None,
    ) -> None:
        """Run a session's program. Raises Conflict: it was started before; NotRunning; ExecError with ``detach``."""
        one = self.get(exec_id)
        if one.started:
            state = "is already running" if one.running else "has already run"
            raise Conflict(f"Error: Exec command {one.id} {state}")
        run = one.container.run
        if run is None:
            raise NotRunning(one.container.id)
        size = console_size or one.body.console_size
        launch = self._launch(one, (size[0], size[1]) if size and any(size) else None)
        one.started = True
        await self._core.run(self._begin(one, run.monitor, launch, None if detach else connection, tty=tty))

    def _launch(self, one: Exec, size: tuple[int, int] | None) -> ExecLaunch:
        return ExecLaunch(
            id=one.id,
            process=process(one.container, one.body, self._core),
            open_stdin=one.body.attach_stdin,
            console_size=size if one.body.tty else None,
            meta={"body": schema.to_json(one.body)},
        )

    async def _begin(
        self, one: Exec, monitor: Monitor, launch: ExecLaunch, connection: TakenConnection | None, *, tty: bool
    ) -> None:
        self._event(one, f"exec_start: {_command(one.body)}")
        voice: socket.socket | None = None
        try:
            if connection is not None:
                sock, early = await connection.detach()
                voice = sock.dup()  # to say why, if the program can't be run
                launch.attachment = self._attachment(one, sock, early)
            one.pid = await monitor.exec(launch)
        except (StartFailed, MonitorGone) as error:
            self._failed(one)
            why = exec_text(error)
            if voice is None:
                raise ExecError(error) from error
            await _say(voice, why, framed=not tty)
        except BaseException:  # among them: the client left before its session began
            self._failed(one)
            raise
        else:
            self._follow(one, monitor)
        finally:
            if voice is not None:
                voice.close()

    def _failed(self, one: Exec) -> None:
        """Its program will never run."""
        one.code = FAILED
        self._retire(one)
        self._event(one, "exec_die", exitCode=str(FAILED))

    def _attachment(self, one: Exec, sock: socket.socket, early: bytes) -> Attachment:
        body = one.body
        return Attachment(
            socket=sock,
            early=early,
            stdin=body.attach_stdin,
            stdout=body.attach_stdout,
            stderr=body.attach_stderr,
            framed=not body.tty,
            detach_keys=one.keys if body.tty else b"",
        )

    def _follow(self, one: Exec, monitor: Monitor) -> None:
        future = monitor.exec_exit(one.id)

        def ended(done: asyncio.Future[int]) -> None:
            if done.cancelled():
                return
            one.code = done.result()
            if one.id in self._execs:
                self._retire(one)
            self._event(one, "exec_die", exitCode=str(one.code))

        future.add_done_callback(ended)

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Set the size of a session's terminal. Raises NotRunning."""
        one = self.get(exec_id)
        run = one.container.run
        if run is None or not one.running:
            raise Conflict(f"exec {one.id} is not running")
        if one.body.tty:
            with contextlib.suppress(MonitorGone):  # it ended meanwhile
                await run.monitor.resize(height, width, one.id)

    async def inspect(self, id: str) -> schema.ExecInspect:  # noqa: A002 (the API's name)
        """Return everything about a session.

        A client asks for the exit code as soon as its stream has ended. The monitor, who serves the stream, told of the
        exit before: what it told is taken in first.
        """
        one = self.get(id)
        if one.running and one.container.run is not None:
            await one.container.run.monitor.sync()
        body = one.body
        return schema.ExecInspect(
            id=one.id,
            running=one.running,
            exit_code=one.code,
            process_config=schema.ExecProcess(
                tty=body.tty,
                entrypoint=body.cmd[0],
                arguments=body.cmd[1:],
                privileged=body.privileged,
                user=body.user,
            ),
            open_stdin=body.attach_stdin,
            open_stderr=body.attach_stderr,
            open_stdout=body.attach_stdout,
            container_id=one.container.id,
            detach_keys=body.detach_keys,
            pid=one.pid,
        )

    def _event(self, one: Exec, action: str, **extra: str) -> None:
        self._core.container_event(one.container, action, execID=one.id, **extra)


def process(container: Container, body: schema.ExecCreate, core: Core) -> dict[str, Any]:
    """Return a session's ``process``: the container's, with what the session changes."""
    result = spec.process(container.stored, core.host)
    linked = [entry for one in plugging.linked(core, container) for entry in one.environment(container.name)]
    environment = spec.environment(container.stored.config, linked, tty=body.tty)
    result["args"] = list(body.cmd)
    result["env"] = merge.override_environment(environment, body.env)
    result["terminal"] = body.tty
    result["cwd"] = body.working_dir or result["cwd"]
    if body.user:
        result["user"] = spec.user(body.user)
    if body.privileged:
        result["capabilities"] = spec.capability_sets(list(core.host.capabilities))
    return result


def _command(body: schema.ExecCreate) -> str:
    return f"{body.cmd[0]} {' '.join(body.cmd[1:])}"


def exec_text(error: StartFailed | MonitorGone) -> str:
    """Return the text of a session that could not be run, as dockerd puts it."""
    if not isinstance(error, StartFailed) or error.step == "user":
        return str(error)
    why = str(error)
    text = f"{_EXEC}{'' if why.startswith('Cwd must') else _START}{why}: unknown"
    if why.endswith("is a directory"):
        return text + ": permission denied"
    return text + NOT_A_DIRECTORY if "not a directory" in why else text


async def _say(voice: socket.socket, text: str, *, framed: bool) -> None:
    data = (text + "\r\n").encode()
    with contextlib.suppress(OSError):  # the client is gone
        await asyncio.get_running_loop().sock_sendall(voice, frame("stdout", data) if framed else data)
