"""What creation refuses. The texts are those that dockerd 26.1 gave for the same body."""

import pytest

from sampan.api import schema
from sampan.engine import launching, validate
from sampan.engine.errors import BadParameter, EngineError, Unsupported

from .conftest import machine, settings, stored

HOST_REFUSALS = [
    ({"Memory": 1}, "Minimum memory limit allowed is 6MB"),
    ({"Memory": -1}, "Minimum memory limit allowed is 6MB"),
    ({"MemorySwap": 10}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
    ({"Memory": 104857600, "MemorySwap": 10}, "Minimum memoryswap limit should be larger than memory limit, see usage"),
    ({"NanoCpus": -1}, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
    ({"NanoCpus": 999000000000}, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
    ({"NanoCpus": 10**9, "CpuQuota": 5000}, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ({"CpusetCpus": "99"}, "Requested CPUs are not available - requested 99, available: 0-1"),
    ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus: invalid format: a"),
    ({"CpuPeriod": 1}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
    ({"MemorySwappiness": 200}, "Invalid value: 200, valid memory swappiness range is 0-100"),
    ({"OomScoreAdj": 9999}, "Invalid value 9999, range for oom score adj is [-1000, 1000]"),
    ({"ShmSize": -1}, "SHM size can not be less than 0"),
    ({"PidMode": "foo"}, "invalid PID mode: foo"),
    ({"IpcMode": "foo"}, "invalid IPC mode: foo"),
    ({"UTSMode": "foo"}, "invalid UTS mode: foo"),
    ({"CgroupnsMode": "foo"}, "invalid cgroup namespace mode: foo"),
    ({"Runtime": "foo"}, "unknown or invalid runtime name: foo"),
    ({"RestartPolicy": {"Name": "foo"}},
     "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
    ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True},
     "can't create 'AutoRemove' container with restart policy"),
    ({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}},
     "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
    ({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}},
     "invalid restart policy: maximum retry count cannot be negative"),
    ({"CpusetCpus": "9999"}, "Invalid value 9999 for cpuset cpus: value of out range, maximum is 8192"),
    ({"Annotations": {"": "x"}}, "invalid Annotations: the empty string is not permitted as an annotation key"),
    ({"LogConfig": {"Type": "foo"}}, 'error looking up logging plugin foo: plugin "foo" not found'),
    ({"LogConfig": {"Type": "json-file", "Config": {"foo": "1"}}}, "unknown log opt 'foo' for json-file log driver"),
    ({"ExtraHosts": ["x"]}, 'bad format for add-host: "x"'),
    ({"Tmpfs": {"x": ""}}, "invalid mount path: 'x' mount path must be absolute"),
    ({"Binds": ["/a:/b", "/c:/b"]}, "Duplicate mount point: /b"),
    ({"Binds": ["/a:/b:c:d"]}, "invalid volume specification: '/a:/b:c:d'"),
    ({"Mounts": [{"Type": "bind", "Source": "/nono", "Target": "/x"}]},
     'invalid mount config for type "bind": bind source path does not exist: /nono'),
    ({"Mounts": [{"Type": "foo", "Source": "/nono", "Target": "/x"}]},
     'invalid mount config for type "foo": mount type unknown'),
    ({"CgroupParent": "../up"}, "invalid CgroupParent: ../up: it may not lead out of where it is by .."),
    ({"CgroupParent": "/a/../.."}, "invalid CgroupParent: /a/../..: it may not lead out of where it is by .."),
    ({"DeviceCgroupRules": ["x"]}, "invalid device cgroup rule format: 'x'"),
    ({"Ulimits": [{"Name": "nofile", "Hard": 1, "Soft": 2}]},
     "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "text"), HOST_REFUSALS)
def test_a_host_config_is_refused(host: dict[str, object], text: str) -> None:
    with pytest.raises((EngineError, ValueError)) as caught:
        stored(host)
    assert str(caught.value) == text
    assert caught.value.status == 400  # type: ignore[attr-defined,union-attr]


# dockerd answers these with 500, and so do we: its clients may look at the status.
REFUSALS_AS_OWN_FAULTS = [
    ({"Binds": ["/a:/b:zz"]}, "invalid mode: zz"),
    ({"Binds": ["/a:/b:ro,rw"]}, "invalid mode: ro,rw"),
    ({"Binds": ["/a:b"]}, ("invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
     "invalid mount path: 'b' mount path must be absolute")),
    ({"Binds": ["/a:/"]}, ("invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
     "invalid specification: destination can't be '/'")),
    ({"Isolation": "foo"}, "Invalid isolation: \"foo\" - linux only supports 'default'"),
    ({"SecurityOpt": ["foo"]}, 'invalid --security-opt 1: "foo"'),
    ({"SecurityOpt": ["label=x", "foo=1"]}, 'invalid --security-opt 2: "foo=1"'),
    ({"StorageOpt": {"size": "1"}}, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "text"), REFUSALS_AS_OWN_FAULTS)
def test_a_host_config_is_refused_with_500(host: dict[str, object], text: str) -> None:
    with pytest.raises(EngineError) as caught:
        stored(host)
    assert (str(caught.value), caught.value.status) == (text, 500)


def test_what_has_no_effect_here_earns_a_warning() -> None:
    host = schema.convert(
        {"NetworkMode": "none", "BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 100}]}, schema.HostConfig
    )
    warnings = validate.settle(schema.ContainerConfig(), host, machine(), settings())
    assert [warning.endswith("Weight-device discarded.") for warning in warnings] == [True]


def test_a_weight_at_disks_is_discarded_where_the_kernel_has_none() -> None:
    host = schema.HostConfig(network_mode="none", blkio_weight=1)
    warnings = validate.settle(schema.ContainerConfig(), host, machine(), settings())
    assert host.blkio_weight == 0 and [warning.endswith(". Weight discarded.") for warning in warnings] == [True]
    host = schema.HostConfig(network_mode="none", blkio_weight=1)
    with pytest.raises(BadParameter, match="Range of blkio weight is from 10 to 1000"):
        validate.settle(schema.ContainerConfig(), host, machine(block_weight=True), settings())


CONFIG_REFUSALS = [
    ({"WorkingDir": "rel"}, "the working directory 'rel' is invalid, it needs to be an absolute path"),
    ({"StopSignal": "FOO"}, "invalid signal: FOO"),
    ({"Env": ["=x"]}, "invalid environment variable: =x"),
    ({"Env": ["", "B"]}, "invalid environment variable: "),
    ({"Healthcheck": {"Test": ["CMD"], "Interval": 1}}, "Interval in Healthcheck cannot be less than 1ms"),
]


@pytest.mark.parametrize(("config", "text"), CONFIG_REFUSALS)
def test_a_config_is_refused(config: dict[str, object], text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        validate.check_config(schema.convert(config, schema.ContainerConfig))
    assert str(caught.value) == text


SHARED_REFUSALS = [
    ({"Hostname": "x"}, {}, "conflicting options: hostname and the network mode"),
    ({}, {"Dns": ["1.1.1.1"]}, "conflicting options: dns and the network mode"),
    ({}, {"ExtraHosts": ["a:1.1.1.1"]}, "conflicting options: custom host-to-IP mapping and the network mode"),
    ({}, {"PublishAllPorts": True}, "conflicting options: port publishing and the container type network mode"),
    ({"ExposedPorts": {"80/tcp": {}}}, {}, "conflicting options: port exposing and the container type network mode"),
]


@pytest.mark.parametrize(("config", "host", "text"), SHARED_REFUSALS)
def test_what_belongs_to_the_network_that_is_joined(
    config: dict[str, object], host: dict[str, object], text: str
) -> None:
    asked = schema.convert({"NetworkMode": "container:x", **host}, schema.HostConfig)
    with pytest.raises(BadParameter) as caught:
        validate.check_shared_network(schema.convert(config, schema.ContainerConfig), asked)
    assert str(caught.value) == text


@pytest.mark.parametrize("host", [
    {"Init": True}, {"RestartPolicy": {"Name": "always"}}, {"VolumesFrom": ["x"]},
    {"BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1}]},
])  # fmt: skip
def test_what_would_silently_do_nothing_is_refused(host: dict[str, object]) -> None:
    with pytest.raises(Unsupported):
        stored(host)


def test_volumes_are_refused_with_what_to_do() -> None:
    with pytest.raises(BadParameter, match="no volumes yet; mount a directory of the host"):
        stored({"Binds": ["data:/data"]})
    with pytest.raises(BadParameter, match="use absolute path"):
        stored({"Binds": ["a/b:/data"]})
    with pytest.raises(BadParameter, match='"a%b" includes invalid characters for a local volume name'):
        stored({"Binds": ["a%b:/data"]})


def test_defaults_are_filled_in() -> None:
    host = stored({"Memory": 64 << 20, "PidsLimit": 0, "MemorySwappiness": -1}).host
    assert host.shm_size == 67108864
    assert host.memory_swap == 128 << 20
    assert host.pids_limit is None and host.memory_swappiness is None
    assert (host.ipc_mode, host.cgroupns_mode, host.restart_policy.name) == ("private", "host", "no")
    assert (host.log_config.type, host.log_config.config) == ("json-file", {})
    assert host.masked_paths and host.readonly_paths


def test_the_cgroup_namespace_is_private_on_version_2() -> None:
    host = schema.HostConfig(network_mode="none")
    validate.settle(schema.ContainerConfig(), host, machine(cgroup_version=2), settings())
    assert host.cgroupns_mode == "private"


def test_the_daemons_log_options_hold_where_nothing_was_asked() -> None:
    host = schema.HostConfig(network_mode="none")
    validate.settle(schema.ContainerConfig(), host, machine(), settings(log_opts={"max-size": "1m"}))
    assert host.log_config.config == {"max-size": "1m"}


def test_an_oom_killer_that_is_off_without_a_limit_earns_a_warning() -> None:
    host = schema.HostConfig(network_mode="none", oom_kill_disable=True)
    warnings = validate.settle(schema.ContainerConfig(), host, machine(), settings())
    assert warnings == [
        (
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    ]


ATTRIBUTES = [
    ({}, {}),
    ({"labels": "a,c"}, {"a": "1"}),
    ({"env": "E", "labels-regex": "^b"}, {"b": "2", "E": "x=y"}),
    ({"tag": "web"}, {"tag": "web"}),
]


@pytest.mark.parametrize(("options", "wanted"), ATTRIBUTES)
def test_log_attributes(options: dict[str, str], wanted: dict[str, str]) -> None:
    config = stored(Labels={"a": "1", "b": "2"}, Env=["E=x=y", "F"]).config
    assert launching.log_attributes(config, options) == wanted
