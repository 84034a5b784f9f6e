"""Puts the parts together: who is given what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sampan
from sampan.daemon import dataroot, machine
from sampan.engine import logoptions
from sampan.engine.core import Core
from sampan.engine.engine import Engine
from sampan.engine.host import Settings
from sampan.image.store import Images
from sampan.network.fabric import Fabric
from sampan.runtime.supervisor import Supervisor
from sampan.state.containers import SqlContainerRows
from sampan.state.database import Database
from sampan.state.images import SqlImageRows
from sampan.state.leases import SqlLeaseRows
from sampan.state.networks import SqlNetworkRows
from sampan.storage import probe
from sampan.storage.containers import ContainerDirectories

if TYPE_CHECKING:
    from sampan.daemon.options import Options


@dataclass(slots=True)
class Parts:
    """What has to be closed in the end."""

    engine: Engine
    core: Core
    database: Database
    supervisor: Supervisor

    async def close(self) -> None:
        """Let go of everything; containers go on."""
        await self.engine.close()
        await self.supervisor.close()
        self.database.close()


def build(options: Options, open_files: tuple[int, int]) -> Parts:
    """Open everything below the data root. Blocking, no event loop needed.

    ``open_files``: the limit (soft, hard) that containers get.
    Raises LostDatabase, UnusableDatabase, DriverUnusable, BadParameter (log options), OSError.
    """
    logoptions.check_all(options.log_driver, options.log_opts)
    data_root = options.data_root
    dataroot.check(data_root)
    database = Database(data_root / "state.db")
    choice = probe.choose(data_root, options.storage_driver or None)
    images = Images(data_root, SqlImageRows(database), choice.snapshots, leases=SqlLeaseRows(database))
    rows = SqlContainerRows(database)
    host = replace(machine.look(data_root), open_files=open_files)
    engine_id = rows.engine_id(str(uuid.uuid4()))
    supervisor = Supervisor(options.exec_root / "containers", [data_root, options.exec_root])
    core = Core(
        host=host,
        settings=_settings(options),
        rows=rows,
        images=images,
        snapshots=choice.snapshots,
        directories=ContainerDirectories(data_root),
        supervisor=supervisor,
        fabric=Fabric(SqlNetworkRows(database), boot_id=host.boot_id, engine_id=engine_id),
        engine_id=engine_id,
        driver_reason="; ".join(choice.notes),
    )
    return Parts(Engine(core), core, database, supervisor)


def _settings(options: Options) -> Settings:
    return Settings(
        data_root=options.data_root,
        exec_root=options.exec_root,
        version=sampan.__version__,
        debug=options.debug,
        log_driver=options.log_driver,
        log_opts=options.log_opts,
        cgroup_parent=options.cgroup_parent,
    )
