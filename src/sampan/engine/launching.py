"""From a stored container to a launch: its files written, its specification built, its root mounted. Blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.engine import netfiles, spec, validate
from sampan.engine.mounts import user_mounts
from sampan.linux import bindsource, hostfiles
from sampan.runtime.supervisor import Launch, LogConfig

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.runtime.supervisor import Attachment


def log_path(directory: Path, container_id: str) -> Path:
    """Return where a container's log is."""
    return directory / f"{container_id}-json.log"


def prepare(core: Core, container: Container, attachments: list[Attachment]) -> Launch:
    """Make all that a start needs; the launch owns the mount.

    Raises BadParameter and its like, SnapshotBusy, OSError; then nothing is left mounted.
    """
    stored, directory = container.stored, core.directories.path(container.id)
    for mount in user_mounts(stored.host):
        if mount.type == "bind" and mount.make_source:
            bindsource.ensure(mount.source)
    document = spec.build(container, directory, core.host, core.settings.cgroup_parent)
    written = netfiles.files(stored, hostfiles.read("/etc/hosts"), hostfiles.read("/etc/resolv.conf"))
    core.directories.write(container.id, written)
    size = stored.host.console_size
    if stored.host.auto_remove and container.state.started:
        core.directories.allow_remount(container.id)
    mounted = core.snapshots.mount(container.id, volatile=stored.host.auto_remove)
    return Launch(
        id=container.id,
        bundle=directory / "bundle",
        run_dir=core.run_dir(container.id),
        spec=document,
        root=mounted.root,
        log=_log(container, directory),
        open_stdin=stored.config.open_stdin,
        stdin_once=stored.config.stdin_once,
        attach=attachments,
        console_size=(size[0], size[1]) if stored.config.tty and any(size) else None,
        lock=mounted.lock,
    )


def _log(container: Container, directory: Path) -> LogConfig:
    log = container.stored.host.log_config
    max_size, max_file = validate.log_limits(log.config or {})
    return LogConfig(str(log_path(directory, container.id)), log.type, max_size, max_file)
