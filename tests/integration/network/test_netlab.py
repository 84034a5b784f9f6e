"""The lab itself: two namespaces that reach each other and nothing else."""

import os
from pathlib import Path

from support.netlab import Netlab, netlab


def test_neighbours_reach_each_other(lab: Netlab) -> None:
    for address in (lab.HOST4, lab.HOST6):
        assert lab.outside.reaches(address)
    assert [link["ifname"] for link in lab.host.ip("link")] == ["lo", "eth0"]
    assert lab.host.ip("route", "show", "default")[0]["gateway"] == lab.OUTSIDE4


def test_nothing_of_the_machine_is_touched_and_the_thread_comes_back() -> None:
    before = os.readlink("/proc/thread-self/ns/net"), Path("/proc/sys/net/ipv4/ip_forward").read_text()
    with netlab(mtu=1400) as lab:
        lab.host.sysctl("ipv4/ip_forward", "1")
        assert lab.outside.sysctl("ipv4/ip_forward") == "0"
        assert lab.host.ip("link", "show", "eth0")[0]["mtu"] == 1400
        assert (os.readlink("/proc/thread-self/ns/net"), Path("/proc/sys/net/ipv4/ip_forward").read_text()) == before
