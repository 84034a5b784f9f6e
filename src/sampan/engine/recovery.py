"""At sampand's start: what became of the containers of the last one, and what of it is left over.

| row       | run directory says | then                                                        |
| --------- | ------------------ | ----------------------------------------------------------- |
| any       | a monitor lives    | it runs: carry on, its exec sessions too                    |
| any       | it ended, so       | recorded, told, --rm carried out                            |
| running   | nothing, same boot | the start was cut off: as it was before, with the reason    |
| running   | another boot       | exited 255: the machine was restarted                       |
| otherwise | nothing            | as the row says                                             |
| none      | anything           | ended and cleared: its creation or removal was cut off      |
| damaged   | anything           | told, and left as it is                                     |

Full.   What the database does not take (the disk is full) is logged, and the run directory stays: the next start sees
        the same and tries again. What can't be done for one container never keeps the others from being served.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.engine import reason
from sampan.engine.container import Container, State, encode, from_row
from sampan.network.errors import NetworkError
from sampan.runtime.supervisor import Exit, Monitor, MonitorGone

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.engine.containers import Containers
    from sampan.engine.core import Core
    from sampan.engine.execs import Execs
    from sampan.engine.rows import ContainerRow

log = logging.getLogger(__name__)

CUT_OFF_CODE: Final = 128  # of a start that was never finished
REBOOTED_CODE: Final = 255  # dockerd's exit code for a container whose machine went down
AT_ONCE: Final = 32  # run directories looked at side by side


async def recover(core: Core, containers: Containers, execs: Execs) -> None:
    """Bring back what there was, and clear what nothing refers to."""
    await _Recovery(core, containers, execs).run()


class _Recovery:
    """One look at everything, a limited number of containers side by side."""

    def __init__(self, core: Core, containers: Containers, execs: Execs) -> None:
        self._core = core
        self._containers = containers
        self._execs = execs
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Recover, then sweep."""
        rows = await self._core.thread(self._core.rows.all)
        found = [(container, row) for row in rows if (container := self._read(row)) is not None]
        for container, _row in found:
            self._core.catalog.add(container)
        await self._core.fabric.load()
        await self._core.fabric.remember()
        await asyncio.gather(*(self._recover(container, row) for container, row in found))
        known = {row.id for row in rows}
        orphans = [one for one in await self._core.thread(self._core.run_dirs) if one.name not in known]
        await asyncio.gather(*(self._end_orphan(run_dir) for run_dir in orphans))
        await self._settle_networks()
        await self._core.thread(_sweep_files, self._core, known)

    async def _settle_networks(self) -> None:
        try:
            await self._core.fabric.settle()
        except (NetworkError, OSError) as error:  # containers of other networks must be served all the same
            log.error("networks: %s", error)

    def _read(self, row: ContainerRow) -> Container | None:
        """Read a row; a damaged one, nobody knows by what, is left as it is with all that belongs to it."""
        try:
            return from_row(row)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            database = self._core.settings.data_root / "state.db"
            log.error(
                "container %s (%s) can't be served: its record in %s is damaged: %s; nothing of it is touched. "
                "Restore the file from a copy; or give the container up: stop sampand, then "
                "sqlite3 %s \"DELETE FROM containers WHERE id = '%s'\"",
                *(row.id[:12], row.name, database, error, database, row.id),
            )
            self._core.catalog.reserve(row.name, row.id)
            return None

    async def _recover(self, container: Container, row: ContainerRow) -> None:
        core = self._core
        async with self._limit:
            if await core.thread(core.has_run_dir, container.id):
                await self._with_run(container, row)
            else:
                await self._without_run(container, row)
        if container.stored.host.auto_remove and not container.running and _was_started(row, container):
            container.removing = True
            core.background(self._containers.finish_removal(container), f"removing container {container.short_id}")

    async def _with_run(self, container: Container, row: ContainerRow) -> None:
        core, run_dir = self._core, self._core.run_dir(container.id)
        try:
            outcome = await core.supervisor.adopt(run_dir)
        except (OSError, MonitorGone) as error:  # TimeoutError is one of them
            log.error("container %s: %s", container.short_id, error)
            return
        if isinstance(outcome, Monitor):
            await self._carry_on(container, row, outcome)
        elif isinstance(outcome, Exit) and outcome.started:
            await self._containers.lifecycle.record_exit(container, outcome, None)
        elif await self._without_run(container, row, outcome):
            await self._forget(run_dir)
        else:
            container.unrecorded = True

    async def _forget(self, run_dir: Path) -> None:
        try:
            await self._core.supervisor.forget(run_dir)
        except OSError as error:
            log.error("container %s: its run directory stays: %s", run_dir.name[:12], error)

    async def _carry_on(self, container: Container, row: ContainerRow, monitor: Monitor) -> None:
        container.state = State(status="running", started=monitor.started_at_ns, finished=container.state.finished)
        self._containers.lifecycle.watch(container, monitor)
        self._execs.adopt(container, monitor)
        await self._plug_again(container, monitor)
        if row.state != encode(container.state):
            await self._record(container)

    async def _plug_again(self, container: Container, monitor: Monitor) -> None:
        fabric = self._core.fabric
        sandbox = fabric.sandbox(container.id)
        if sandbox is None:
            return
        kept: dict[str, int] = {}
        try:
            kept = await monitor.kept()
        except MonitorGone as error:  # it is ending, or somebody has stopped it: then its place is its own all the same
            log.warning("container %s: its network: %s", container.short_id, error)
        try:
            await fabric.adopt(container.id, monitor.init_pid, kept, self._core.inner_resolution(container, sandbox))
        except OSError as error:
            log.warning("container %s: its network: %s", container.short_id, error)

    async def _record(self, container: Container) -> bool:
        written = self._core.rows.set_state(container.id, encode(container.state), self._core.host.boot_id)
        return await self._core.recorded(written, f"the state of container {container.short_id}")

    async def _without_run(self, container: Container, row: ContainerRow, outcome: Exit | None = None) -> bool:
        """Nothing runs and no end of a run was recorded: decide by the row and the boot; tell whether it is kept."""
        core = self._core
        if container.state.status != "running" and outcome is None:
            return True
        if row.boot_id != core.host.boot_id:
            container.state = _rebooted(container.state)
        else:
            container.state = _cut_off(container.state, outcome)
        kept = await self._record(container)
        if container.state.status == "exited":
            core.container_event(container, "die", exitCode=str(container.state.exit_code))
        return kept

    async def _end_orphan(self, run_dir: Path) -> None:
        async with self._limit:
            log.warning("container %s is left over from an operation that was cut off: ending it", run_dir.name[:12])
            try:
                outcome = await self._core.supervisor.adopt(run_dir)
                if isinstance(outcome, Monitor):
                    await outcome.signal(signal.SIGKILL)
                    await outcome.exit
                await self._core.supervisor.forget(run_dir)
            except (OSError, MonitorGone) as error:
                log.error("container %s: %s", run_dir.name[:12], error)


def _rebooted(state: State) -> State:
    return State(
        status="exited",
        started=state.started,
        finished=state.started,
        exit_code=REBOOTED_CODE,
        reason=reason.REBOOTED,
    )


def _cut_off(state: State, outcome: Exit | None) -> State:
    """What it was before its last start, and why it is that again."""
    return State(
        status="exited" if state.finished else "created",
        started=state.started if state.finished else 0,
        finished=state.finished,
        exit_code=outcome.code if outcome else CUT_OFF_CODE,
        error=outcome.error if outcome else reason.CUT_OFF,
        reason=reason.start_failed(outcome.step, outcome.error) if outcome else reason.CUT_OFF,
    )


def _was_started(row: ContainerRow, container: Container) -> bool:
    """Tell whether --rm applies: a container that was only created waits for its start."""
    return container.state.status == "exited" or b'"running"' in row.state or bool(container.state.error)


def _sweep_files(core: Core, known: set[str]) -> None:
    for container_id in {*core.snapshots.keys(), *core.directories.ids()} - known:
        log.info("files of container %s are left over from a creation or removal that was cut off", container_id[:12])
        try:
            core.snapshots.discard(container_id)
            core.directories.set_aside(container_id)
        except OSError as error:
            log.error("files of container %s stay until the next start: %s", container_id[:12], error)
    for container_id in core.directories.left_behind():
        core.directories.delete(container_id)
