"""Containers: configuration, creation, state, inspect, list, wait and top."""

from typing import Any

import msgspec

from sampan.api.schema.base import ZERO_TIME, Int64, StrSlice, Struct, omitted, shown
from sampan.api.schema.hostconfig import HostConfig
from sampan.api.schema.networks import NetworkingConfig, NetworkSettings, Port, SummaryNetworkSettings


class HealthConfig(Struct):
    """A health check; times in nanoseconds, 0: the default. `test` is ["CMD-SHELL", "…"], ["CMD", …] or ["NONE"]."""

    test: list[str] = omitted([])
    interval: Int64 = 0
    timeout: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0
    retries: Int64 = 0


class ContainerConfig(Struct):
    """What of a container does not depend on the machine it runs on."""

    hostname: str = shown("")
    domainname: str = shown("")
    user: str = shown("")
    attach_stdin: bool = shown(False)
    attach_stdout: bool = shown(False)
    attach_stderr: bool = shown(False)
    exposed_ports: dict[str, dict[str, Any]] = omitted({})
    tty: bool = shown(False)
    open_stdin: bool = shown(False)
    stdin_once: bool = shown(False)
    env: list[str] | None = shown(None)
    cmd: StrSlice | None = shown(None)
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = shown("")
    volumes: dict[str, dict[str, Any]] | None = shown(None)
    working_dir: str = shown("")
    entrypoint: StrSlice | None = shown(None)
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = shown(None)
    labels: dict[str, str] | None = shown(None)
    stop_signal: str = ""
    stop_timeout: Int64 | None = None
    """Seconds; -1 waits for ever."""
    shell: StrSlice = omitted([])


class ContainerCreate(ContainerConfig):
    """The body of POST /containers/create: a ContainerConfig with two more keys beside its own."""

    host_config: HostConfig = shown(HostConfig())
    networking_config: NetworkingConfig = shown(NetworkingConfig())

    def config(self) -> ContainerConfig:
        """The portable half, as kept and as shown by inspect."""
        return ContainerConfig(**{name: getattr(self, name) for name in ContainerConfig.__struct_fields__})


class ContainerCreated(Struct):
    """The answer to a creation."""

    id: str = shown("")
    warnings: list[str] = shown([])


class HealthcheckResult(Struct):
    """One probe: when (RFC 3339), its exit code and output."""

    start: str = shown(ZERO_TIME)
    end: str = shown(ZERO_TIME)
    exit_code: Int64 = shown(0)
    output: str = shown("")


class Health(Struct):
    """Status is "starting", "healthy", "unhealthy" or "none"."""

    status: str = shown("")
    failing_streak: Int64 = shown(0)
    log: list[HealthcheckResult] | None = shown(None)


class ContainerState(Struct):
    """Status is "created", "running", "paused", "restarting", "removing", "exited" or "dead"."""

    status: str = shown("created")
    running: bool = shown(False)
    paused: bool = shown(False)
    restarting: bool = shown(False)
    oom_killed: bool = shown(False, "OOMKilled")
    dead: bool = shown(False)
    pid: Int64 = shown(0)
    exit_code: Int64 = shown(0)
    error: str = shown("")
    started_at: str = shown(ZERO_TIME)
    finished_at: str = shown(ZERO_TIME)
    health: Health | None = None
    reason: str = shown("")
    """Sampan's own: one sentence that says why the last run ended."""
    warnings: list[str] | None = None
    """Sampan's own: what is to be said of its published ports, such as that a rule of the host drops what comes."""


class GraphDriver(Struct):
    """The snapshot driver and its directories."""

    data: dict[str, str] | None = shown(None)
    name: str = shown("")


class MountPoint(Struct):
    """A mount as it is in a container."""

    type: str = ""
    name: str = ""
    source: str = shown("")
    destination: str = shown("")
    driver: str = ""
    mode: str = shown("")
    rw: bool = shown(False, "RW")
    propagation: str = shown("")


class ContainerInspect(Struct):
    """GET /containers/{id}/json."""

    id: str = shown("")
    created: str = shown(ZERO_TIME)
    path: str = shown("")
    args: list[str] = shown([])
    state: ContainerState = shown(ContainerState())
    image: str = shown("")
    resolv_conf_path: str = shown("")
    hostname_path: str = shown("")
    hosts_path: str = shown("")
    log_path: str = shown("")
    name: str = shown("")
    """With a leading slash."""
    restart_count: Int64 = shown(0)
    driver: str = shown("")
    platform: str = shown("linux")
    mount_label: str = shown("")
    process_label: str = shown("")
    app_armor_profile: str = shown("")
    exec_ids: list[str] | None = shown(None, "ExecIDs")
    host_config: HostConfig = shown(HostConfig())
    graph_driver: GraphDriver = shown(GraphDriver())
    size_rw: Int64 | None = None
    size_root_fs: Int64 | None = None
    mounts: list[MountPoint] = shown([])
    config: ContainerConfig = shown(ContainerConfig())
    network_settings: NetworkSettings = shown(NetworkSettings())


class SummaryHostConfig(Struct):
    """The little of HostConfig that `ps` has."""

    network_mode: str = ""
    annotations: dict[str, str] = omitted({})


class ContainerSummary(Struct):
    """One element of GET /containers/json; `created` is in seconds since 1970."""

    id: str = shown("")
    names: list[str] = shown([])
    image: str = shown("")
    image_id: str = shown("", "ImageID")
    command: str = shown("")
    created: Int64 = shown(0)
    ports: list[Port] = shown([])
    size_rw: Int64 = 0
    size_root_fs: Int64 = 0
    labels: dict[str, str] = shown({})
    state: str = shown("")
    status: str = shown("")
    host_config: SummaryHostConfig = shown(SummaryHostConfig())
    network_settings: SummaryNetworkSettings = shown(SummaryNetworkSettings())
    mounts: list[MountPoint] = shown([])


class WaitError(Struct):
    """Why waiting failed."""

    message: str = shown("")


class ContainerWait(Struct):
    """The answer to a wait: sent when the container has ended."""

    status_code: Int64 = shown(0)
    error: WaitError | None = None


class ContainerTop(Struct):
    """The output of ps(1), cut into columns."""

    titles: list[str] = shown([])
    processes: list[list[str]] = shown([])


class FilesystemChange(Struct):
    """One element of GET /containers/{id}/changes; `kind` is 0 for changed, 1 for added, 2 for removed."""

    path: str = shown("")
    kind: Int64 = shown(0)


class Committed(Struct):
    """The answer to POST /commit: the new image's id."""

    id: str = shown("")


CONFIG_KEYS = frozenset(field.encode_name.lower() for field in msgspec.structs.fields(ContainerConfig))
"""Lower-cased JSON names of ContainerConfig: a create request without any of them has no config."""
