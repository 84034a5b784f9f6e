"""From HostConfig and Config to the runtime specification: what dockerd 26.1 wrote into its bundles for the same."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.engine import merge, spec
from sampan.engine.errors import Internal
from sampan.runtime.capabilities import CapabilityError
from sampan.runtime.usual import USUAL

from .conftest import container, machine, stored

FILES = Path("/d/containers/x")


def build(host: dict[str, object] | None = None, **config: object) -> dict[str, object]:
    return spec.build(container(host=host, **config), FILES, machine())


def mounts(document: dict[str, object]) -> dict[str, dict[str, object]]:
    return {mount["destination"]: mount for mount in document["mounts"]}  # type: ignore[attr-defined,union-attr]


def test_the_defaults() -> None:
    document = build()
    assert document["ociVersion"] == "1.2.0"
    assert document["hostname"] == "abcdefabcdef"
    process = document["process"]
    assert process["args"] == ["true"]  # type: ignore[index]
    assert process["cwd"] == "/"  # type: ignore[index]
    assert process["capabilities"]["bounding"] == [  # type: ignore[index]
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]  # fmt: skip
    assert "inheritable" not in process["capabilities"]  # type: ignore[index]
    linux = document["linux"]
    assert [one["type"] for one in linux["namespaces"]] == ["mount", "network", "uts", "pid", "ipc"]  # type: ignore[index]
    assert linux["cgroupsPath"] == f"/sampan/{1:064x}"  # type: ignore[index]
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"  # type: ignore[index]
    assert linux["sysctl"] == {  # type: ignore[index]
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
    }


def test_a_waiting_init_makes_what_is_wanted_by_default() -> None:
    wanted = build({"ShmSize": 64 << 20})["mounts"]
    keys = {(one["type"], one["source"], tuple(one["options"])) for one in wanted}  # type: ignore[attr-defined]
    assert {key for key in keys if key[0] not in ("bind", "cgroup")} == set(USUAL)


def test_mounts_stand_in_dockerds_order() -> None:
    document = build({"Binds": ["/a:/b:ro", "/c:/d/e"], "Tmpfs": {"/x": "size=1m"}})
    assert [one["destination"] for one in document["mounts"]] == [  # type: ignore[attr-defined,union-attr]
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
        "/x", "/b", "/d/e", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts",
    ]  # fmt: skip


DEFAULT_MOUNTS = [
    ("/proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"]),
    ("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
    ("/etc/hosts", "bind", ["rbind", "rprivate"]),
]


@pytest.mark.parametrize(("destination", "kind", "options"), DEFAULT_MOUNTS)
def test_a_default_mount(destination: str, kind: str, options: list[str]) -> None:
    mount = mounts(build())[destination]
    assert (mount["type"], mount["options"]) == (kind, options)


RESOURCES = [
    ({"Memory": 64 << 20}, {"memory": {"limit": 67108864, "swap": 134217728}}),
    ({"Memory": 64 << 20, "MemorySwap": -1}, {"memory": {"limit": 67108864, "swap": -1}}),
    ({"MemorySwappiness": 3}, {"memory": {"swappiness": 3}}),
    ({"MemorySwappiness": -1}, {}),
    ({"NanoCpus": 500_000_000}, {"cpu": {"period": 100000, "quota": 50000}}),
    ({"CpuShares": 99, "CpusetCpus": "0"}, {"cpu": {"shares": 99, "cpus": "0"}}),
    ({"PidsLimit": 20}, {"pids": {"limit": 20}}),
    ({"PidsLimit": -1}, {}),
    ({"PidsLimit": 0}, {}),
]


@pytest.mark.parametrize(("host", "wanted"), RESOURCES)
def test_limits(host: dict[str, object], wanted: dict[str, object]) -> None:
    resources = dict(build(host)["linux"]["resources"])  # type: ignore[index]
    del resources["devices"]
    assert resources == wanted


def test_device_rules() -> None:
    rules = build()["linux"]["resources"]["devices"]  # type: ignore[index]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert [(one["major"], one["minor"]) for one in rules[1:] if one["allow"]] == [
        (1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1),
    ]  # fmt: skip


def test_a_device_is_given_by_its_path_inside() -> None:
    document = build(
        {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/mine", "CgroupPermissions": "r"}]}
    )
    linux = document["linux"]
    assert linux["devices"][0]["path"] == "/dev/mine"  # type: ignore[index]
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"} in linux["resources"]["devices"]  # type: ignore[index]


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(Internal, match=r'adding custom device "/dev/nono": no such file or directory'):
        build({"Devices": [{"PathOnHost": "/dev/nono"}]})


def test_privileged() -> None:
    document = build({"Privileged": True})
    linux = document["linux"]
    assert "seccomp" not in linux  # type: ignore[operator]
    assert linux["maskedPaths"] == [] and linux["readonlyPaths"] == []  # type: ignore[index]
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]  # type: ignore[index]
    assert "ro" not in mounts(document)["/sys"]["options"]  # type: ignore[operator]
    assert "CAP_SYS_ADMIN" in document["process"]["capabilities"]["effective"]  # type: ignore[index]
    assert any(one["path"] == "/dev/null" for one in linux["devices"])  # type: ignore[index]


NAMESPACES = [
    ({"NetworkMode": "host"}, "network"),
    ({"PidMode": "host"}, "pid"),
    ({"IpcMode": "host"}, "ipc"),
    ({"UTSMode": "host"}, "uts"),
]


@pytest.mark.parametrize(("host", "kind"), NAMESPACES)
def test_a_namespace_of_the_hosts(host: dict[str, object], kind: str) -> None:
    document = build(host)
    assert kind not in [one["type"] for one in document["linux"]["namespaces"]]  # type: ignore[index]
    assert ("hostname" in document) == (kind != "uts")


def test_ipc_of_the_host_brings_its_shm() -> None:
    assert mounts(build({"IpcMode": "host"}))["/dev/shm"]["source"] == "/dev/shm"
    assert "/dev/shm" not in mounts(build({"IpcMode": "none"}))


def test_a_user_is_left_to_the_runtime() -> None:
    assert build(User="www:adm")["process"]["user"] == {"uid": 0, "gid": 0, "username": "www:adm"}  # type: ignore[index]
    assert build({"GroupAdd": ["33"]})["process"]["user"]["additionalGids"] == ["33"]  # type: ignore[index]


def test_cgroup_parent() -> None:
    assert build({"CgroupParent": "/foo/"})["linux"]["cgroupsPath"] == f"/foo/{1:064x}"  # type: ignore[index]


def test_a_bind_over_one_of_the_engines_files_stands_instead() -> None:
    document = build({"Binds": ["/my/hosts:/etc/hosts"]})
    found = [one for one in document["mounts"] if one["destination"] == "/etc/hosts"]  # type: ignore[attr-defined,union-attr]
    assert [one["source"] for one in found] == ["/my/hosts"]


ENVIRONMENTS = [
    ({}, ["PATH=" + spec.PATH, "HOSTNAME=abcdefabcdef"]),
    ({"Tty": True}, ["PATH=" + spec.PATH, "HOSTNAME=abcdefabcdef", "TERM=xterm"]),
    ({"Env": ["A=1", "PATH=/x"]}, ["PATH=/x", "HOSTNAME=abcdefabcdef", "A=1"]),
    ({"Env": ["HOSTNAME"]}, ["PATH=" + spec.PATH]),
    ({"Env": ["B"]}, ["PATH=" + spec.PATH, "HOSTNAME=abcdefabcdef"]),
]


@pytest.mark.parametrize(("config", "wanted"), ENVIRONMENTS)
def test_environment(config: dict[str, object], wanted: list[str]) -> None:
    assert spec.environment(stored(**config).config) == wanted  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.booleans(), st.sampled_from(["", "1", "=2"]))))
def test_the_last_change_of_a_default_wins(changes: list[tuple[str, bool, str]]) -> None:
    given_changes = [f"{name}={value}" if set_ else name for name, set_, value in changes]
    result = merge.override_environment(["A=0", "B=0"], given_changes)
    for name in "AB":
        last = next((one for one in reversed(given_changes) if one.partition("=")[0] == name), f"{name}=0")
        assert [one for one in result if one.partition("=")[0] == name] == ([last] if "=" in last else [])


SECURITY = [
    (["no-new-privileges"], True, "default"),
    (["no-new-privileges=true", "seccomp=unconfined"], True, "unconfined"),
    (["no-new-privileges:false"], False, "default"),
    (["seccomp={}"], False, "{}"),
    (["label=disable", "apparmor=unconfined"], False, "default"),
]


@pytest.mark.parametrize(("options", "privileges", "seccomp"), SECURITY)
def test_security_options(options: list[str], privileges: bool, seccomp: str) -> None:
    found = spec.security(stored({"SecurityOpt": options}).host)
    assert (found.no_new_privileges, found.seccomp) == (privileges, seccomp)


@pytest.mark.parametrize(("number", "option"), [(1, "foo"), (2, "foo=1"), (2, "no-new-privileges=maybe")])
def test_a_security_option_that_is_none(number: int, option: str) -> None:
    with pytest.raises(Internal, match=f'invalid --security-opt {number}: "{option}"'):
        stored({"SecurityOpt": [option]})


def test_an_unknown_capability() -> None:
    with pytest.raises(CapabilityError, match='invalid CapAdd: unknown capability: "CAP_FOO"'):
        stored({"CapAdd": ["FOO"]})


def test_rlimits() -> None:
    limits = build({"Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": -1}]})["process"]["rlimits"]  # type: ignore[index]
    assert limits == [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": (1 << 64) - 1}]
