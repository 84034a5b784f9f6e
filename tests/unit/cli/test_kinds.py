"""Values of flags: sizes, CPUs, durations and the checks of run's flags, with Docker's sentences for faults."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli import container_flags as flags
from sampan.cli.container_mounts import mount
from sampan.cli.container_network import attachment
from sampan.cli.container_ports import port_maps
from sampan.cli.kinds import read_cpus, read_duration, read_size, read_swap

SIZES = [
    ("0", 0),
    ("64m", 64 << 20),
    ("64M", 64 << 20),
    ("1.5GiB", 3 << 29),
    ("1gb", 1 << 30),
    ("10b", 10),
    ("2 k", 2048),
    ("3t", 3 << 40),
]
BAD_SIZES = [
    ("x", "invalid size: 'x'"),
    ("", "invalid size: ''"),
    ("-1", "invalid suffix"),
    ("1mbb", "invalid suffix: 'mbb'"),
    ("1q", "invalid suffix: 'q'"),
    ("1bytes", "invalid suffix: 'bytes'"),
    ("1.2.3m", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes(text, size) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(("text", "fault"), [case for case in BAD_SIZES if case[0] != "-1"])
def test_bad_sizes(text, fault) -> None:
    with pytest.raises(ValueError, match=f"^{fault.replace('(', '[(]')}"):
        read_size(text)


def test_negative_sizes_only_as_unlimited_swap() -> None:
    assert read_swap("-1", 0) == -1
    with pytest.raises(ValueError, match="invalid size: '-5'"):
        read_swap("-5", 0)


@pytest.mark.parametrize(
    ("text", "nano"), [("0.5", 500_000_000), ("2", 2 * 10**9), ("1/2", 500_000_000), ("1e-3", 10**6)]
)
def test_cpus(text, nano) -> None:
    assert read_cpus(text, 0) == nano


@pytest.mark.parametrize(("text", "fault"), [("abc", "failed to parse abc as a rational"), ("1e-10", "too precise")])
def test_bad_cpus(text, fault) -> None:
    with pytest.raises(ValueError, match=fault):
        read_cpus(text, 0)


DURATIONS = [("0", 0), ("1h30m", 5400 * 10**9), ("1.5s", 1_500_000_000), ("300ms", 300 * 10**6), ("-2m", -120 * 10**9)]
BAD_DURATIONS = [
    ("", 'time: invalid duration ""'),
    ("1", 'time: missing unit in duration "1"'),
    ("foo", 'time: invalid duration "foo"'),
    ("1y", 'time: unknown unit "y" in duration "1y"'),
]


@pytest.mark.parametrize(("text", "nanoseconds"), DURATIONS)
def test_durations(text, nanoseconds) -> None:
    assert read_duration(text) == nanoseconds


@pytest.mark.parametrize(("text", "fault"), BAD_DURATIONS)
def test_bad_durations(text, fault) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        read_duration(text)


@given(st.text())
def test_any_text_is_a_duration_or_a_fault(text) -> None:
    with suppress(ValueError):
        assert isinstance(read_duration(text), int)


CHECKS = [
    (flags.check_label, "a=b", "a=b"),
    (flags.check_stream, "STDIN", "stdin"),
    (flags.check_host, "a=[::1]", "a:::1"),
    (flags.check_host, "a:host-gateway", "a:host-gateway"),
    (flags.check_address, "0:0:0:0:0:0:0:1", "::1"),
    (flags.check_domain, "a-b.example.", "a-b.example"),
    (flags.check_sysctl, "net.core.somaxconn=1", "net.core.somaxconn=1"),
]
REFUSED = [
    (flags.check_label, "=x", "invalid label '=x': empty name"),
    (flags.check_label, "a b=x", "label 'a b' contains whitespaces"),
    (flags.check_stream, "foo", "valid streams are STDIN, STDOUT and STDERR"),
    (flags.check_env, "=x", "invalid environment variable: =x"),
    (flags.check_host, "foo", 'bad format for add-host: "foo"'),
    (flags.check_host, "foo:bar", 'invalid IP address in add-host: "bar"'),
    (flags.check_sysctl, "kernel.hostname=x", "sysctl 'kernel.hostname=x' is not allowed"),
    (flags.check_link, "a:b:c", "bad format for links: a:b:c"),
    (flags.check_device_rule, "x 1:1 r", "invalid device cgroup format 'x 1:1 r'"),
    (mount, "foo", "invalid field 'foo' must be a key=value pair"),
    (mount, "type=bind", "target is required"),
    (mount, "type=tmpfs,dst=/a,volume-nocopy", "cannot mix 'volume-\\*' options with mount type 'tmpfs'"),
    (mount, "type=bind,dst=/a,bind-recursive=writable", "option 'bind-recursive=writable' requires 'readonly'"),
    (attachment, "name=a,foo=b", "invalid field key foo"),
    (attachment, "alias=a", "network name/id is not specified"),
]


@pytest.mark.parametrize(("check", "text", "expected"), CHECKS)
def test_checks_normalise(check, text, expected) -> None:
    assert check(text) == expected


@pytest.mark.parametrize(("check", "text", "fault"), REFUSED)
def test_checks_refuse(check, text, fault) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        check(text)


ULIMITS = [
    ("nofile=5:3", "ulimit soft limit must be less than or equal to hard limit: 5 > 3"),
    ("nofile=-1:3", "ulimit soft limit must be less than or equal to hard limit: soft: -1 [(]unlimited[)], hard: 3"),
    ("nofile=a", 'strconv.ParseInt: parsing "a": invalid syntax'),
    ("foo=1", "invalid ulimit type: foo"),
    ("x", "invalid ulimit argument: x"),
    ("core=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two, `soft"),
]


@pytest.mark.parametrize(("text", "fault"), ULIMITS)
def test_bad_ulimits(text, fault) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        flags.read_ulimit(text, None)


PORTS = [
    (["99999"], "invalid containerPort: 99999"),
    (["a:80"], "invalid hostPort: a"),
    (["300.1.1.1:1:80"], "invalid IP address: 300.1.1.1"),
    (["80/foo"], "invalid proto: foo"),
    (["80-81:90-95"], "invalid ranges specified for container and host Ports: 90-95 and 80-81"),
    (["8080:"], "no port specified: 8080:<empty>"),
    (["published=1,target"], "invalid publish opts format"),
]


@pytest.mark.parametrize(("publish", "fault"), PORTS)
def test_bad_ports(publish, fault) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        port_maps(publish, [])


def test_exposed_ports_join_published_ones() -> None:
    exposed, bindings = port_maps(["8080:80"], ["80", "90-91/udp"])
    assert list(exposed) == ["80/tcp", "90/udp", "91/udp"]
    assert bindings == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
