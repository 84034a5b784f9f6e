"""daemon.json as the docker CLI sees what it does: a file is written, sampand started with it, and looked at."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sampan.daemon.main import GRACE_S
from support.daemon import Sampand
from support.engine import Engine, docker_or_skip
from support.images import BUSYBOX
from support.netlab import Space
from support.privileges import root_or_skip
from support.processes import wait_for

SETTINGS: dict[str, Any] = {
    "registry-mirrors": ["http://127.0.0.1:5001", "https://m.example/x/"],
    "insecure-registries": ["10.0.0.0/8", "shop.example:5000"],
    "labels": ["a=1", "b=2"],
    "dns": ["10.9.9.9"],
    "dns-search": ["corp.example"],
    "dns-opts": ["ndots:3"],
    "bip": "10.211.0.5/24",
    "default-address-pools": [{"base": "10.99.0.0/16", "size": 24}],
    "mtu": 1400,
    "ip": "127.0.0.1",
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1000, "Hard": 2000}},
    "default-shm-size": "8M",
    "default-ipc-mode": "shareable",
    "default-cgroupns-mode": "private",
    "no-new-privileges": True,
    "icc": False,
    "log-opts": {"max-size": "7m"},
    "live-restore": True,
}


@contextmanager
def started(document: dict[str, Any], *flags: str) -> Iterator[Sampand]:
    """A sampand with such a daemon.json, and busybox."""
    docker_or_skip()
    root_or_skip()
    one = Sampand(*flags)
    one.config.write_text(json.dumps(document))
    with one:
        one.engine.load_busybox()
        yield one


@pytest.fixture(scope="module")
def configured() -> Iterator[Engine]:
    """One with all of SETTINGS, for the tests that look."""
    with started(SETTINGS) as one:
        assert f"{one.config}: live-restore has no effect in Sampan" in one.tail()
        yield one.engine


def inside(engine: Engine, *words: str, flags: tuple[str, ...] = ()) -> str:
    return engine.ok("run", "--rm", *flags, BUSYBOX, *words)


def test_info_tells_of_registries_and_labels(configured: Engine) -> None:
    told = json.loads(configured.ok("info", "--format", "{{json .}}"))
    known = told["RegistryConfig"]
    assert known["Mirrors"] == ["http://127.0.0.1:5001/", "https://m.example/x/"]
    assert known["IndexConfigs"] == {
        "docker.io": {"Name": "docker.io", "Mirrors": known["Mirrors"], "Secure": True, "Official": True},
        "shop.example:5000": {"Name": "shop.example:5000", "Mirrors": [], "Secure": False, "Official": False},
    }
    assert known["InsecureRegistryCIDRs"] == ["10.0.0.0/8", "::1/128", "127.0.0.0/8"]
    assert told["Labels"] == ["a=1", "b=2"]
    assert told["DefaultAddressPools"] == [{"Base": "10.99.0.0/16", "Size": 24}]


@pytest.mark.parametrize("network", ["bridge", "none", "host"])
def test_names_are_asked_where_the_file_says(configured: Engine, network: str) -> None:
    text = inside(configured, "cat", "/etc/resolv.conf", flags=("--network", network))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == ["nameserver 10.9.9.9", "search corp.example", "options ndots:3"]


def test_on_a_network_of_its_own_too_and_a_containers_own_word_counts_more(configured: Engine) -> None:
    configured.ok("network", "create", "cfg")
    try:
        ask = ("--network", "cfg", "--dns-search", "mine.example")
        text = inside(configured, "cat", "/etc/resolv.conf", flags=ask)
    finally:
        configured.ok("network", "rm", "cfg")
    assert "nameserver 127.0.0.11\nsearch mine.example\noptions ndots:3\n" in text
    assert "ExtServers: [10.9.9.9]" in text


def test_networks_are_where_the_file_says(configured: Engine) -> None:
    told = json.loads(configured.ok("network", "inspect", "bridge"))[0]
    assert told["IPAM"]["Config"] == [{"Subnet": "10.211.0.0/24", "Gateway": "10.211.0.5"}]
    assert told["Options"]["com.docker.network.driver.mtu"] == "1400"
    assert told["Options"]["com.docker.network.bridge.host_binding_ipv4"] == "127.0.0.1"
    text = inside(configured, "sh", "-c", "ip route; ip addr show eth0")
    assert "default via 10.211.0.5 dev eth0" in text and "10.211.0.1/24" in text and "mtu 1400" in text
    configured.ok("network", "create", "cfg")
    try:
        told = json.loads(configured.ok("network", "inspect", "cfg"))[0]
    finally:
        configured.ok("network", "rm", "cfg")
    assert told["IPAM"]["Config"] == [{"Subnet": "10.99.0.0/24", "Gateway": "10.99.0.1"}]


def test_ports_are_published_where_the_file_says(configured: Engine) -> None:
    name = configured.name()
    configured.ok("run", "-d", "--name", name, "-p", "28480:80", "-p", "0.0.0.0:28481:81", BUSYBOX, "sleep", "1000")
    try:
        assert configured.ok("port", name) == "80/tcp -> 127.0.0.1:28480\n81/tcp -> 0.0.0.0:28481"
    finally:
        configured.ok("rm", "-f", name)


def test_limits_of_containers_are_the_files(configured: Engine) -> None:
    assert inside(configured, "sh", "-c", "ulimit -Sn; ulimit -Hn").split() == ["1000", "2000"]
    own = inside(configured, "sh", "-c", "ulimit -Sn; ulimit -Hn", flags=("--ulimit", "nofile=5:6"))
    assert own.split() == ["5", "6"]
    assert inside(configured, "sh", "-c", "df -k /dev/shm | tail -1").split()[1] == "8192"
    name = configured.name()
    configured.ok("create", "--name", name, BUSYBOX, "true")
    shown = "{{.HostConfig.IpcMode}} {{.HostConfig.ShmSize}} {{.HostConfig.LogConfig.Config}}"
    assert configured.look(name, shown) == "shareable 8388608 map[max-size:7m]"
    configured.ok("rm", name)


def test_containers_gain_no_privileges_and_have_a_control_group_namespace(configured: Engine) -> None:
    assert "NoNewPrivs:\t1" in inside(configured, "cat", "/proc/self/status")
    own = inside(configured, "cat", "/proc/self/status", flags=("--security-opt", "no-new-privileges=false"))
    assert "NoNewPrivs:\t0" in own
    assert inside(configured, "readlink", "/proc/self/ns/cgroup") != os.readlink("/proc/self/ns/cgroup")


def test_containers_of_the_default_bridge_are_apart(configured: Engine) -> None:
    name = configured.name()
    configured.ok("run", "-d", "--name", name, BUSYBOX, "sleep", "1000")
    try:
        address = configured.look(name, "{{.NetworkSettings.IPAddress}}")
        script = f"ping -c1 -W1 10.211.0.5 >/dev/null && echo gateway; ping -c1 -W1 {address} >/dev/null || echo alone"
        assert inside(configured, "sh", "-c", script).split() == ["gateway", "alone"]
    finally:
        configured.ok("rm", "-f", name)


def test_the_default_bridge_moves_with_the_file_once_nobody_is_on_it() -> None:
    with started({}) as sampand:
        engine = sampand.engine
        name = engine.name()
        engine.ok("run", "-d", "--name", name, BUSYBOX, "sleep", "1000")
        before = engine.ok("network", "inspect", "-f", "{{.Id}} {{(index .IPAM.Config 0).Subnet}}", "bridge")
        assert before.endswith("172.17.0.0/16")
        sampand.config.write_text(json.dumps({"bip": "10.212.0.1/24", "mtu": 1300}))
        sampand.restart()
        assert engine.ok("network", "inspect", "-f", "{{.Id}} {{(index .IPAM.Config 0).Subnet}}", "bridge") == before
        assert "what was configured for it waits" in sampand.tail()
        assert engine.ok("exec", name, "ip", "addr", "show", "eth0").count("172.17.0.2/16")
        engine.ok("rm", "-f", name)
        sampand.restart()
        assert "10.212.0.2/24" in inside(engine, "ip", "addr", "show", "eth0")
        assert "mtu 1300" in inside(engine, "ip", "addr", "show", "eth0")
        after = engine.ok("network", "inspect", "-f", "{{.Id}} {{(index .IPAM.Config 0).Subnet}}", "bridge")
        assert after == before.replace("172.17.0.0/16", "10.212.0.0/24")
        sampand.config.write_text("{}")
        sampand.restart()
        assert "172.17.0.2/16" in inside(engine, "ip", "addr", "show", "eth0")


def test_a_bridge_that_another_network_is_in_the_way_of_is_told_and_containers_run() -> None:
    with started({}) as sampand:
        sampand.engine.ok("network", "create", "--subnet", "10.213.0.0/16", "cfg")
        sampand.config.write_text(json.dumps({"bip": "10.213.9.1/24"}))
        sampand.restart()
        assert "the default bridge can't be had as configured: Pool overlaps" in sampand.tail()
        assert "172.17.0.2/16" in inside(sampand.engine, "ip", "addr", "show", "eth0")


def test_sampand_waits_for_answers_under_way_as_long_as_the_file_says() -> None:
    with started({"shutdown-timeout": 0}) as sampand:
        engine = sampand.engine
        name = engine.start(BUSYBOX, "sleep", "1000")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(sampand.socket))
            client.sendall(f"POST /v1.45/containers/{name}/wait HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(4096).startswith(b"HTTP/1.1 200")  # the head comes at once, the rest with the exit
            began = time.monotonic()
            sampand.stop()
            assert time.monotonic() - began < GRACE_S
        sampand.start()
        assert engine.look(name, "{{.State.Running}}") == "true"


def hangup(sampand: Sampand, line: str) -> None:
    """SIGHUP, and wait until the log has ``line`` once more."""
    before = sampand.log.read_text().count(line)
    os.kill(sampand.pid, signal.SIGHUP)
    wait_for(lambda: sampand.log.read_text().count(line) > before, f"the log says {line}")


def test_a_reload_changes_what_can_change_and_is_an_event() -> None:
    with started({"labels": ["a=1"], "max-concurrent-downloads": 7}) as sampand:
        engine = sampand.engine
        new = {"labels": ["c=3"], "debug": True, "insecure-registries": ["x:1"], "mtu": 1300}
        sampand.config.write_text(json.dumps({**new, "registry-mirrors": ["http://m"], "iptables": False}))
        hangup(sampand, "Reloaded configuration")
        told = json.loads(engine.ok("info", "--format", "{{json .}}"))
        assert (told["Labels"], told["Debug"]) == (["c=3"], True)
        assert told["RegistryConfig"]["Mirrors"] == ["http://m/"] and "x:1" in told["RegistryConfig"]["IndexConfigs"]
        assert "mtu has changed: that takes effect when sampand is started again" in sampand.tail()
        assert "iptables has no effect in Sampan" in sampand.tail()
        until = f"{time.time() + 0.2:.9f}"
        line = engine.ok("events", "--since", "60s", "--until", until, "-f", "type=daemon", "--format", "{{json .}}")
        event = json.loads(line)
        assert (event["Type"], event["Action"]) == ("daemon", "reload")
        attributes = event["Actor"]["Attributes"]
        assert event["Actor"]["ID"] == told["ID"] and attributes["name"] == told["Name"]
        assert attributes["debug"] == "true" and attributes["labels"] == '["c=3"]'
        assert attributes["registry-mirrors"] == '["http://m/"]' and attributes["max-concurrent-downloads"] == "3"
        assert attributes["shutdown-timeout"] == "15"


@pytest.mark.parametrize("text", ["{", '{"nono": 1}', '{"debug": "x"}', '{"registry-mirrors": ["ftp://x"]}'])
def test_a_reload_of_a_bad_file_changes_nothing(text: str) -> None:
    with started({"labels": ["a=1"]}) as sampand:
        sampand.config.write_text(text)
        hangup(sampand, f"unable to configure sampand with file {sampand.config}: ")
        assert sampand.engine.ok("info", "--format", "{{json .Labels}}") == '["a=1"]'
        sampand.config.unlink()
        hangup(sampand, "no such file or directory; nothing is changed")
        assert sampand.engine.ok("info", "--format", "{{json .Labels}}") == '["a=1"]'


BAD = [
    ({"default-address-pools": [{"base": "10.0.0.0/8", "size": 4}]}, "invalid pools size: 4"),
    ({"default-address-pools": [{"base": "x", "size": 4}]}, 'invalid base pool "x": invalid CIDR address: x'),
    ({"default-ulimits": {"nofle": {"Soft": 1, "Hard": 2}}}, "invalid ulimit type: nofle"),
    ({"default-ulimits": {"nofile": {"Soft": 3, "Hard": 2}}}, "ulimit soft limit must be less than or equal to hard"),
    ({"log-driver": "nope"}, "error looking up logging plugin nope"),
    ({"registry-mirrors": ["ftp://x"]}, 'invalid mirror: unsupported scheme "ftp" in "ftp://x"'),
]


@pytest.mark.parametrize(("document", "text"), BAD)
def test_a_wrong_value_stops_sampand_with_one_line(document: dict[str, Any], text: str, tmp_path: Path) -> None:
    root_or_skip()
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(document))
    places = ["--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "run")]
    argv = [sys.executable, "-m", "sampan.daemon.main", "--config-file", str(file), *places]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and text in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "run").glob("*.sock"))


def test_pools_that_the_host_routes_stop_sampand_with_one_line(tmp_path: Path) -> None:
    root_or_skip()
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"default-address-pools": [{"base": "10.98.0.0/16", "size": 24}]}))
    space = Space("sampand")
    try:
        space.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        space.run("ip", "link", "set", "v0", "up")
        space.run("ip", "addr", "add", "10.98.0.1/16", "dev", "v0")
        places = ["--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "run")]
        argv = [sys.executable, "-m", "sampan.daemon.main", "--config-file", str(file), *places]
        with space.inside():
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    finally:
        space.close()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "the default network can't be had: could not find an available, non-overlapping IPv4 address pool"
        in done.stderr
    )
