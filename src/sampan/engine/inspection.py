"""`docker inspect` of a container: the API's view of what is kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.api import schema
from sampan.engine import places
from sampan.engine.launching import log_path
from sampan.engine.mounts import user_mounts
from sampan.engine.units import rfc3339
from sampan.image.errors import ImageError
from sampan.network.model import DEFAULT_NETWORK
from sampan.storage.snapshots import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.engine.container import Container
    from sampan.engine.core import Core

_LEGACY: Final = (
    "endpoint_id", "gateway", "global_ipv6_address", "global_ipv6_prefix_len", "ip_address", "ip_prefix_len",
    "ipv6_gateway", "mac_address",
)  # fmt: skip  # repeated from the default bridge


def driver_name(name: str) -> str:
    """Return the storage driver's name as Docker's tools know it."""
    return {"overlay": "overlay2", "copy": "vfs"}.get(name, name)


def networks(core: Core, container: Container) -> dict[str, schema.EndpointSettings]:
    """Return the networks that a container is on."""
    shown = places.endpoint_settings(core.fabric, container, core.fabric.sandbox(container.id))
    mode = container.stored.host.network_mode
    if container.running and mode in ("none", "host") and mode in shown:
        shown[mode].endpoint_id = sandbox_id(container.id)
    return shown


def sandbox_id(container_id: str) -> str:
    """Return the id of a container's network namespace."""
    return hashlib.sha256(f"sampan sandbox {container_id}".encode()).hexdigest()


def network_settings(core: Core, container: Container) -> schema.NetworkSettings:
    """Return the network part."""
    shown = networks(core, container)
    settings = schema.NetworkSettings(
        sandbox_id=sandbox_id(container.id) if container.running else "",
        ports=places.port_map(container, core.fabric.sandbox(container.id)),
        networks=dict(shown),
    )
    legacy = shown.get(DEFAULT_NETWORK)
    if legacy is not None and container.running:
        for name in _LEGACY:
            setattr(settings, name, getattr(legacy, name))
    return settings


def mount_points(container: Container) -> list[schema.MountPoint]:
    """Return the mounts that were asked for and that inspect lists."""
    return [mount.point() for mount in user_mounts(container.stored.host) if mount.listed]


def state(container: Container) -> schema.ContainerState:
    """Return the state."""
    kept = container.state
    return schema.ContainerState(
        status=container.status,
        running=container.running,
        oom_killed=kept.oom,
        pid=container.run.monitor.init_pid if container.run is not None else 0,
        exit_code=kept.exit_code,
        error=kept.error,
        started_at=rfc3339(kept.started),
        finished_at=rfc3339(kept.finished),
        reason=kept.reason,
        warnings=container.run.warnings or None if container.run is not None else None,
    )


def inspect(core: Core, container: Container, *, size: tuple[int, int] | None = None) -> schema.ContainerInspect:
    """Return everything about a container; ``size`` are the bytes of its writable layer and of its whole root."""
    stored, directory = container.stored, core.directories.path(container.id)
    driver = driver_name(stored.driver)
    return schema.ContainerInspect(
        id=container.id,
        created=rfc3339(container.created),
        path=stored.path,
        args=stored.args,
        state=state(container),
        image=container.image_id,
        resolv_conf_path=_made(container, directory / "resolv.conf"),
        hostname_path=_made(container, directory / "hostname"),
        hosts_path=_made(container, directory / "hosts"),
        log_path=_made(container, log_path(directory, container.id)) if _has_log(container) else "",
        name="/" + container.name,
        driver=driver,
        exec_ids=list(container.exec_ids) or None,
        host_config=msgspec.structs.replace(stored.host, links=_links(core, container)),
        graph_driver=schema.GraphDriver(name=driver, data=_graph_data(core, container)),
        size_rw=size[0] if size else None,
        size_root_fs=size[1] if size else None,
        mounts=mount_points(container),
        config=msgspec.structs.replace(stored.config, mac_address=_main_mac(container)),
        network_settings=network_settings(core, container),
    )


def _links(core: Core, container: Container) -> list[str] | None:
    """Return the links as dockerd shows them; a container that is gone is linked no longer."""
    found = [(core.catalog.find(other), alias) for other, alias in places.links(container.stored.host)]
    return [f"/{other.name}:/{container.name}/{alias}" for other, alias in found if other is not None] or None


def _main_mac(container: Container) -> str:
    """Return the MAC address that was asked for on the network of the container's mode."""
    main = places.settings_of(container).get(container.stored.host.network_mode)
    return main.mac_address if main is not None else ""


def _made(container: Container, path: Path) -> str:
    """Return the path of a file that the first start makes."""
    return str(path) if container.state.started else ""


def _has_log(container: Container) -> bool:
    return container.stored.host.log_config.type == "json-file"


def _graph_data(core: Core, container: Container) -> dict[str, str] | None:
    if container.stored.driver != "overlay":
        return None
    directory = core.directories.path(container.id)
    data = {"UpperDir": str(directory / "rw"), "WorkDir": str(directory / "work")}
    try:
        chain = core.images.resolve(container.image_id).chain_ids
        data["LowerDir"] = ":".join(str(core.snapshots.layer(one)) for one in reversed(chain))
    except (ImageError, StorageError):  # the image was removed by force; its layers stay as long as they are used
        return data
    return data
