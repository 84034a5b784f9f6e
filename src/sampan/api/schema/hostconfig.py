"""HostConfig: what a container is allowed and given on this machine."""

from sampan.api.schema.base import Int64, StrSlice, Struct, Uint, Uint16, omitted, shown
from sampan.api.schema.networks import PortMap


class LogConfig(Struct):
    """The log driver and its options; an empty type means the daemon's default."""

    type: str = shown("")
    config: dict[str, str] | None = shown({})


class RestartPolicy(Struct):
    """`name` is "", "no", "always", "unless-stopped" or "on-failure"; the count belongs to the last."""

    name: str = shown("")
    maximum_retry_count: Int64 = shown(0)


class WeightDevice(Struct):
    """A block device's weight, 10 to 1000."""

    path: str = shown("")
    weight: Uint16 = shown(0)


class ThrottleDevice(Struct):
    """A block device's limit, in bytes or operations a second."""

    path: str = shown("")
    rate: Int64 = shown(0)


class DeviceMapping(Struct):
    """A device node given to the container; permissions are of "rwm"."""

    path_on_host: str = shown("")
    path_in_container: str = shown("")
    cgroup_permissions: str = shown("")


class DeviceRequest(Struct):
    """A request for devices by driver or capability (GPUs, CDI names)."""

    driver: str = shown("")
    count: Int64 = shown(0)
    device_ids: list[str] | None = shown(None, "DeviceIDs")
    capabilities: list[list[str]] | None = shown(None)
    options: dict[str, str] | None = shown(None)


class Ulimit(Struct):
    """A resource limit by its name in ulimit(1)'s long form: "nofile"; -1 means unlimited."""

    name: str = shown("")
    soft: Int64 = shown(0)
    hard: Int64 = shown(0)


class BindOptions(Struct):
    """Options of a bind mount."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class VolumeDriverConfig(Struct):
    """The driver that makes a volume that does not exist yet."""

    name: str = ""
    options: dict[str, str] = omitted({})


class VolumeOptions(Struct):
    """Options of a volume mount."""

    no_copy: bool = False
    labels: dict[str, str] = omitted({})
    subpath: str = ""
    driver_config: VolumeDriverConfig | None = None


class ImageOptions(Struct):
    """Options of an image mount."""

    subpath: str = ""


class TmpfsOptions(Struct):
    """Options of a tmpfs mount; the size is in bytes, the mode an octal file mode as a number."""

    size_bytes: Int64 = 0
    mode: Uint = 0
    options: list[list[str]] = omitted([])


class Mount(Struct):
    """One `--mount`."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class HostConfig(Struct):
    """All of v1.51's HostConfig. Sizes are bytes, CPU times microseconds, `nano_cpus` 10⁻⁹ CPUs."""

    binds: list[str] | None = shown(None)
    container_id_file: str = shown("", "ContainerIDFile")
    log_config: LogConfig = shown(LogConfig())
    network_mode: str = shown("")
    port_bindings: PortMap | None = shown(None)
    restart_policy: RestartPolicy = shown(RestartPolicy())
    auto_remove: bool = shown(False)
    volume_driver: str = shown("")
    volumes_from: list[str] | None = shown(None)
    console_size: list[Uint] = shown([0, 0])
    """Height, width."""
    annotations: dict[str, str] = omitted({})

    cap_add: StrSlice | None = shown(None)
    cap_drop: StrSlice | None = shown(None)
    cgroupns_mode: str = shown("")
    dns: list[str] | None = shown(None)
    dns_options: list[str] | None = shown(None)
    dns_search: list[str] | None = shown(None)
    extra_hosts: list[str] | None = shown(None)
    group_add: list[str] | None = shown(None)
    ipc_mode: str = shown("")
    cgroup: str = shown("")
    links: list[str] | None = shown(None)
    oom_score_adj: Int64 = shown(0)
    pid_mode: str = shown("")
    privileged: bool = shown(False)
    publish_all_ports: bool = shown(False)
    readonly_rootfs: bool = shown(False)
    security_opt: list[str] | None = shown(None)
    storage_opt: dict[str, str] = omitted({})
    tmpfs: dict[str, str] = omitted({})
    uts_mode: str = shown("", "UTSMode")
    userns_mode: str = shown("")
    shm_size: Int64 = shown(0)
    sysctls: dict[str, str] = omitted({})
    runtime: str = omitted("", "Runtime")
    isolation: str = shown("")

    cpu_shares: Int64 = shown(0)
    memory: Int64 = shown(0)
    nano_cpus: Int64 = shown(0)
    cgroup_parent: str = shown("")
    blkio_weight: Uint16 = shown(0)
    blkio_weight_device: list[WeightDevice] | None = shown(None)
    blkio_device_read_bps: list[ThrottleDevice] | None = shown(None)
    blkio_device_write_bps: list[ThrottleDevice] | None = shown(None)
    blkio_device_read_iops: list[ThrottleDevice] | None = shown(None, "BlkioDeviceReadIOps")
    blkio_device_write_iops: list[ThrottleDevice] | None = shown(None, "BlkioDeviceWriteIOps")
    cpu_period: Int64 = shown(0)
    cpu_quota: Int64 = shown(0)
    cpu_realtime_period: Int64 = shown(0)
    cpu_realtime_runtime: Int64 = shown(0)
    cpuset_cpus: str = shown("")
    cpuset_mems: str = shown("")
    devices: list[DeviceMapping] | None = shown(None)
    device_cgroup_rules: list[str] | None = shown(None)
    device_requests: list[DeviceRequest] | None = shown(None)
    kernel_memory: Int64 = 0
    kernel_memory_tcp: Int64 = omitted(0, "KernelMemoryTCP")
    memory_reservation: Int64 = shown(0)
    memory_swap: Int64 = shown(0)
    memory_swappiness: Int64 | None = shown(None)
    oom_kill_disable: bool | None = shown(None)
    pids_limit: Int64 | None = shown(None)
    ulimits: list[Ulimit] | None = shown(None)
    cpu_count: Int64 = shown(0)
    cpu_percent: Int64 = shown(0)
    io_maximum_iops: Int64 = shown(0, "IOMaximumIOps")
    io_maximum_bandwidth: Int64 = shown(0, "IOMaximumBandwidth")
    mounts: list[Mount] = omitted([])

    masked_paths: list[str] | None = shown(None)
    """None: the default ones; an empty list: none."""
    readonly_paths: list[str] | None = shown(None)
    init: bool | None = None
