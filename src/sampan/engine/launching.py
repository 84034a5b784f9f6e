"""From a stored container to a launch: its files written, its specification built, its root mounted. Blocking."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from sampan.engine import logoptions, spec
from sampan.engine.errors import INIT_FAILED, NOT_A_DIRECTORY, BadParameter, Internal
from sampan.engine.mounts import user_mounts
from sampan.linux import bindsource
from sampan.runtime.supervisor import Launch, LogConfig

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.api import schema
    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.engine.mounts import UserMount
    from sampan.engine.plugging import Connection
    from sampan.runtime.supervisor import Attachment


def log_path(directory: Path, container_id: str) -> Path:
    """Return where a container's log is."""
    return directory / f"{container_id}-json.log"


def prepare(core: Core, container: Container, attachments: list[Attachment], network: Connection) -> Launch:
    """Make all that a start needs; the launch owns the mount.

    Raises BadParameter and its like, SnapshotBusy, OSError; then nothing is left mounted.
    """
    stored, directory = container.stored, core.directories.path(container.id)
    for mount in user_mounts(stored.host):
        if mount.type == "bind":
            _check_propagation(mount)
            if mount.make_source:
                _ensure_source(mount.source, mount.destination)
    files = core.directories.path(network.shared.id) if network.shared is not None else directory
    document = spec.build(container, files, core.host, core.settings.cgroup_parent)
    if network.namespace:
        spec.join_network(document, network.namespace)
    document["process"]["env"] = spec.environment(stored.config, network.environment)
    if network.shared is None:
        core.directories.write(container.id, network.files(container))
    size = stored.host.console_size
    if stored.host.auto_remove and container.state.started:
        core.directories.allow_remount(container.id)
    mounted = core.snapshots.mount(container.id, volatile=stored.host.auto_remove)
    return Launch(
        id=container.id,
        bundle=directory,
        run_dir=core.run_dir(container.id),
        spec=document,
        root=mounted.root,
        log=_log(container, directory),
        open_stdin=stored.config.open_stdin,
        stdin_once=stored.config.stdin_once,
        attach=attachments,
        console_size=(size[0], size[1]) if stored.config.tty and any(size) else None,
        lock=mounted.lock,
        plug=network.plug,
        keep=network.keep,
    )


def _check_propagation(mount: UserMount) -> None:
    """Refuse a propagation that the source's own mount can't give. Raises Internal, as dockerd's 500."""
    if mount.propagation in ("private", "rprivate"):
        return
    point, ways = bindsource.mounted_on(mount.source)
    wanted = "shared" if mount.propagation in ("shared", "rshared") else "shared or slave"
    if "shared" not in ways and (wanted == "shared" or "master" not in ways):
        raise Internal(f"path {mount.source} is mounted on {point} but it is not a {wanted} mount")


def _ensure_source(path: str, destination: str) -> None:
    try:
        bindsource.ensure(path)
    except NotADirectoryError:  # dockerd leaves it to the mount
        why = f'error mounting "{path}" to rootfs at "{destination}": create mount destination for {destination} mount'
        stat = f"bind mount source stat: stat {path}: not a directory: unknown"
        raise BadParameter(f"{INIT_FAILED}{why}: {stat}{NOT_A_DIRECTORY}") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BadParameter(f"error while creating mount source path '{path}': mkdir {error.filename}: {why}") from None


def _log(container: Container, directory: Path) -> LogConfig:
    log, options = container.stored.host.log_config, container.stored.host.log_config.config or {}
    max_size, max_file = logoptions.limits(options)
    attributes = log_attributes(container.stored.config, options)
    text = msgspec.json.encode(attributes).decode() if attributes else ""
    return LogConfig(str(log_path(directory, container.id)), log.type, max_size, max_file, text)


def log_attributes(config: schema.ContainerConfig, options: dict[str, str]) -> dict[str, str]:
    """Return what `docker logs --details` shows: the labels and variables that the log options name, and the tag."""
    labels = config.labels or {}
    variables = dict(entry.split("=", 1) for entry in config.env or [] if "=" in entry)
    found: dict[str, str] = {}
    for key, values in (("labels", labels), ("env", variables)):
        names = set(options.get(key, "").split(","))
        pattern = options.get(f"{key}-regex")
        found |= {name: value for name, value in values.items() if name in names or _fits(pattern, name)}
    return found | ({"tag": options["tag"]} if options.get("tag") else {})


def _fits(pattern: str | None, name: str) -> bool:
    return pattern is not None and re.search(pattern, name) is not None
