"""Puts the parts together: who is given what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sampan
from sampan.api import schema
from sampan.daemon import dataroot, machine
from sampan.engine import logoptions, resources
from sampan.engine.core import Core
from sampan.engine.engine import Engine
from sampan.engine.host import SHM_SIZE, Settings
from sampan.image.store import Images
from sampan.network.fabric import Fabric
from sampan.network.pools import DEFAULT_RANGES, parse_ranges
from sampan.network.predefined import Configured
from sampan.network.resolvconf import Overrides
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
    Raises LostDatabase, UnusableDatabase, DriverUnusable, BadParameter (log options, ulimits), NetworkError (address
    pools), OSError.
    """
    logoptions.check_all(options.log_driver, options.log_opts)
    settings = _settings(options)
    resources.rlimits(schema.HostConfig(ulimits=list(settings.ulimits)))
    configured = Configured(
        ranges=parse_ranges(options.address_pools) or DEFAULT_RANGES,
        bip=options.bip,
        mtu=options.mtu,
        binding_ip=options.binding_ip,
        icc=options.icc,
        masquerade=options.masquerade,
    )
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
        settings=settings,
        rows=rows,
        images=images,
        snapshots=choice.snapshots,
        directories=ContainerDirectories(data_root),
        supervisor=supervisor,
        fabric=Fabric(SqlNetworkRows(database), boot_id=host.boot_id, configured=configured, engine_id=engine_id),
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
        labels=options.labels,
        registries=options.registries,
        dns=Overrides(options.dns, options.dns_search, options.dns_options),
        ulimits=tuple(schema.Ulimit(one["Name"], one["Soft"], one["Hard"]) for one in options.ulimits),
        shm_size=options.shm_size or SHM_SIZE,
        ipc_mode=options.ipc_mode,
        cgroupns_mode=options.cgroupns_mode,
        no_new_privileges=options.no_new_privileges,
        address_pools=tuple(schema.AddressPool(one["base"], one["size"]) for one in options.address_pools),
    )
