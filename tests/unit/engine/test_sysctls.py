"""Which sysctls a container may have. Nothing here sets one."""

import pytest

from sampan.engine.errors import BadParameter

from .conftest import stored

HOST = {"NetworkMode": "host"}
REFUSED = [
    ("kernel.core_pattern", {}, 'sysctl "kernel.core_pattern" is not in a separate kernel namespace'),
    ("kernel/core_pattern", {}, 'sysctl "kernel/core_pattern" is not in a separate kernel namespace'),
    ("vm.swappiness", {}, 'sysctl "vm.swappiness" is not in a separate kernel namespace'),
    ("kernel.msgmax.x", {}, 'sysctl "kernel.msgmax.x" is not in a separate kernel namespace'),
    ("network", {}, 'sysctl "network" is not in a separate kernel namespace'),
    ("kernel.hostname", {}, 'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field'),
    ("kernel.domainname", {"UTSMode": "host"}, 'sysctl "kernel.domainname" is not in a separate kernel namespace'),
    ("net.ipv4.ip_forward", HOST, 'sysctl "net.ipv4.ip_forward" not allowed in host network namespace'),
    ("net/ipv4/ip_forward", HOST, 'sysctl "net/ipv4/ip_forward" not allowed in host network namespace'),
    ("kernel.sem", {"IpcMode": "host"}, 'sysctl "kernel.sem" is not allowed in the hosts ipc namespace'),
    ("fs.mqueue.msg_max", {"IpcMode": "host"}, 'sysctl "fs.mqueue.msg_max" is not allowed in the hosts ipc namespace'),
]
NO_NAMES = [
    "../../../kernel/core_pattern",
    "net/../kernel/core_pattern",
    "net.../kernel/core_pattern",
    "net.ipv4.ip_forward\0",
    "net.ipv4.ip_forward\n",
    "net..ip_forward",
    "/net/ipv4/ip_forward",
    "net.ipv4.",
    "net. ",
    "",
]
ALLOWED = [
    ("net.ipv4.ip_forward", {}),
    ("net/ipv4/ip_forward", {}),
    ("kernel.shm_rmid_forced", {"NetworkMode": "host"}),
    ("kernel.domainname", {}),
    ("fs.mqueue.msg_max", {"IpcMode": "none"}),
    ("net.ipv6.conf.eth-0.disable_ipv6", {"IpcMode": "host"}),
]


@pytest.mark.parametrize(("name", "host", "text"), REFUSED)
def test_what_belongs_to_the_machine_is_refused(name: str, host: dict[str, object], text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        stored({**host, "Sysctls": {name: "1"}})
    assert str(caught.value) == text


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadParameter, match="is not in a separate kernel namespace: it is no sysctl's name"):
        stored({"Sysctls": {name: "1"}})


def test_a_value_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(BadParameter, match="it has a NUL byte"):
        stored({"Sysctls": {"net.ipv4.ip_forward": "1\0"}})


@pytest.mark.parametrize(("name", "host"), ALLOWED)
def test_what_is_its_own_it_may_set(name: str, host: dict[str, object]) -> None:
    assert stored({**host, "Sysctls": {name: "1"}}).host.sysctls == {name: "1"}
