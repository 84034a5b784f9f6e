"""The daemon itself: version, info, events, errors."""

from sampan.api.schema.base import Int64, Struct, omitted, shown


class ErrorBody(Struct, rename=None):
    """Every error answer."""

    message: str


class VersionPlatform(Struct):
    """The product's name."""

    name: str = shown("")


class VersionComponent(Struct):
    """A part of the engine and its version."""

    name: str = shown("")
    version: str = shown("")
    details: dict[str, str] = omitted({})


class Version(Struct):
    """GET /version."""

    platform: VersionPlatform = shown(VersionPlatform())
    components: list[VersionComponent] = omitted([])
    version: str = shown("")
    api_version: str = shown("")
    min_api_version: str = shown("", "MinAPIVersion")
    git_commit: str = shown("")
    go_version: str = shown("")
    os: str = shown("linux")
    arch: str = shown("")
    kernel_version: str = ""
    experimental: bool = False
    build_time: str = ""


class Plugins(Struct):
    """What there is to choose from, by kind."""

    volume: list[str] = shown([])
    network: list[str] = shown([])
    authorization: list[str] | None = shown(None)
    log: list[str] = shown([])


class RegistryIndex(Struct):
    """A registry as the daemon treats it."""

    name: str = shown("")
    mirrors: list[str] = shown([])
    secure: bool = shown(False)
    official: bool = shown(False)


class RegistryConfig(Struct):
    """How registries are reached."""

    insecure_registry_cidrs: list[str] = shown([], "InsecureRegistryCIDRs")
    index_configs: dict[str, RegistryIndex] = shown({})
    mirrors: list[str] | None = shown(None)


class Runtime(Struct, rename=None):
    """An OCI runtime."""

    path: str = ""
    runtime_args: list[str] = omitted([], "runtimeArgs")
    status: dict[str, str] = omitted({})


class Commit(Struct):
    """The version of a helper program; `expected` until API 1.48."""

    id: str = shown("", "ID")
    expected: str = ""


class Swarm(Struct):
    """Always inactive: Sampan has no swarm."""

    node_id: str = shown("", "NodeID")
    node_addr: str = shown("")
    local_node_state: str = shown("inactive")
    control_available: bool = shown(False)
    error: str = shown("")
    remote_managers: list[dict[str, str]] | None = shown(None)


class AddressPool(Struct):
    """Addresses that new networks are cut from."""

    base: str = shown("")
    size: Int64 = shown(0)


class Firewall(Struct):
    """How ports are published and networks kept apart."""

    driver: str = shown("")
    info: list[list[str]] = omitted([])


class Info(Struct):
    """GET /info; sizes are bytes."""

    id: str = shown("", "ID")
    containers: Int64 = shown(0)
    containers_running: Int64 = shown(0)
    containers_paused: Int64 = shown(0)
    containers_stopped: Int64 = shown(0)
    images: Int64 = shown(0)
    driver: str = shown("")
    driver_status: list[list[str]] = shown([])
    system_status: list[list[str]] = omitted([])
    plugins: Plugins = shown(Plugins())
    memory_limit: bool = shown(False)
    swap_limit: bool = shown(False)
    kernel_memory_tcp: bool = omitted(False, "KernelMemoryTCP")
    cpu_cfs_period: bool = shown(False)
    cpu_cfs_quota: bool = shown(False)
    cpu_shares: bool = shown(False, "CPUShares")
    cpu_set: bool = shown(False, "CPUSet")
    pids_limit: bool = shown(False)
    ipv4_forwarding: bool = shown(False, "IPv4Forwarding")
    bridge_nf_iptables: bool = shown(False)
    """Until API 1.49, as is the next."""
    bridge_nf_ip6tables: bool = shown(False)
    debug: bool = shown(False)
    n_fd: Int64 = shown(0)
    oom_kill_disable: bool = shown(False)
    n_goroutines: Int64 = shown(0)
    """Tasks of the event loop: the nearest thing."""
    system_time: str = shown("")
    logging_driver: str = shown("json-file")
    cgroup_driver: str = shown("")
    cgroup_version: str = ""
    n_events_listener: Int64 = shown(0)
    kernel_version: str = shown("")
    operating_system: str = shown("")
    os_version: str = shown("", "OSVersion")
    os_type: str = shown("linux", "OSType")
    architecture: str = shown("")
    index_server_address: str = shown("")
    registry_config: RegistryConfig = shown(RegistryConfig())
    n_cpu: Int64 = shown(0, "NCPU")
    mem_total: Int64 = shown(0)
    generic_resources: list[dict[str, str]] | None = shown(None)
    docker_root_dir: str = shown("")
    http_proxy: str = shown("")
    https_proxy: str = shown("")
    no_proxy: str = shown("")
    name: str = shown("")
    labels: list[str] = shown([])
    experimental_build: bool = shown(False)
    server_version: str = shown("")
    runtimes: dict[str, Runtime] = shown({})
    default_runtime: str = shown("")
    swarm: Swarm = shown(Swarm())
    live_restore_enabled: bool = shown(False)
    isolation: str = shown("")
    init_binary: str = shown("")
    containerd_commit: Commit = shown(Commit())
    runc_commit: Commit = shown(Commit())
    init_commit: Commit = shown(Commit())
    security_options: list[str] = shown([])
    product_license: str = ""
    default_address_pools: list[AddressPool] = omitted([])
    firewall_backend: Firewall | None = None
    """From API 1.49."""
    cdi_spec_dirs: list[str] = shown([], "CDISpecDirs")
    warnings: list[str] | None = shown(None)


class EventActor(Struct):
    """The object that an event is about."""

    id: str = shown("", "ID")
    attributes: dict[str, str] = shown({})


class Event(Struct):
    """One line of GET /events. The lower-case keys are for old clients; the last two are seconds and nanoseconds."""

    status: str = omitted("", "status")
    legacy_id: str = omitted("", "id")
    legacy_from: str = omitted("", "from")
    type: str = shown("")
    action: str = shown("")
    actor: EventActor = shown(EventActor())
    scope: str = omitted("local", "scope")
    time: Int64 = shown(0, "time")
    time_nano: Int64 = shown(0, "timeNano")
