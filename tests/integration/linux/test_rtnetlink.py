"""rtnetlink against a real kernel, with `ip` as the oracle."""

import errno
import os
import re
import threading
from collections.abc import Iterator

import pytest

from sampan.linux import rtnetlink
from sampan.linux.netlink import NetlinkError, inside
from sampan.linux.rtnetlink import Route, Rtnetlink, new_address, new_veth, set_link
from support.netlab import Netlab, Space


@pytest.fixture
def host(lab: Netlab) -> Iterator[Rtnetlink]:
    """The door to the lab's host."""
    with Rtnetlink(lab.host.fd) as door:
        yield door


def links(space: Space) -> dict[str, dict]:
    """What `ip` says of every link, by name."""
    return {link["ifname"]: link for link in space.ip("link")}


def test_a_bridge_is_made_as_asked(lab: Netlab, host: Rtnetlink) -> None:
    made = host.add_bridge("br0", mtu=1400, mac="02:42:ac:12:00:01")
    seen = links(lab.host)["br0"]
    assert (seen["ifindex"], seen["mtu"], seen["address"]) == (made.index, 1400, "02:42:ac:12:00:01")
    assert seen["linkinfo"]["info_kind"] == made.kind == "bridge" and not made.up and "UP" not in seen["flags"]
    host.apply([set_link("br0", up=True, alias="x y")])
    assert "UP" in links(lab.host)["br0"]["flags"] and lab.host.ip("link", "show", "br0")[0]["ifalias"] == "x y"
    assert host.delete_link("br0") is True and host.delete_link("br0") is False
    assert host.delete_link(made.index) is False and "br0" not in links(lab.host)


def test_one_message_makes_a_veth_into_a_bridge_and_another_namespace(lab: Netlab, host: Rtnetlink) -> None:
    bridge, box = host.add_bridge("br0"), lab.space("box")
    host.apply([new_veth("v0", "eth7", netns=box.fd, master=bridge.index, mtu=1300, mac="02:42:ac:12:00:02", up=True)])
    seen, other = links(lab.host)["v0"], links(box)["eth7"]
    assert (seen["master"], seen["mtu"], "UP" in seen["flags"]) == ("br0", 1300, True)
    assert (other["address"], other["mtu"], "UP" in other["flags"]) == ("02:42:ac:12:00:02", 1300, False)
    assert (seen["link_index"], other["link_index"]) == (other["ifindex"], seen["ifindex"])
    assert (seen["num_tx_queues"], other["num_rx_queues"]) == (1, 1)
    mine = host.link("v0")
    assert mine and (mine.parent, mine.master) == (other["ifindex"], bridge.index) and mine.netnsid >= 0
    assert [one.name for one in host.links(master=bridge.index)] == ["v0"]
    assert {one.name for one in host.links(kind="veth")} == {"v0", "eth0"}
    assert len(host.links()) == 4


def test_links_are_changed(lab: Netlab, host: Rtnetlink) -> None:
    bridge, box = host.add_bridge("br0"), lab.space("box")
    host.apply([new_veth("a", "b")])
    index = links(lab.host)["a"]["ifindex"]
    host.apply([set_link(index, master=bridge.index, mtu=1280, mac="02:00:00:00:00:09", name="c")])
    seen = links(lab.host)["c"]
    assert (seen["master"], seen["mtu"], seen["address"]) == ("br0", 1280, "02:00:00:00:00:09")
    host.apply([set_link("c", master=0), set_link("b", netns=box.fd, name="")])
    assert "master" not in links(lab.host)["c"] and "b" in links(box)


def test_no_link_local(lab: Netlab, host: Rtnetlink) -> None:
    host.apply([new_veth("a", "b"), set_link("a", up=True, no_link_local=True), set_link("b", up=True)])
    addresses = {link["ifname"]: link["addr_info"] for link in lab.host.ip("address") if "ifname" in link}
    assert addresses["a"] == [] and addresses["b"][0]["scope"] == "link"


def test_addresses(lab: Netlab, host: Rtnetlink) -> None:
    index = host.add_bridge("br0").index
    for one in ("172.18.0.1/16", "10.0.0.1/31", "fd00::1/64"):
        host.add_address(index, one)
    [seen] = lab.host.ip("address", "show", "br0")
    found = [(one["local"], one["prefixlen"], one.get("broadcast"), one.get("nodad")) for one in seen["addr_info"]]
    assert found == [
        ("172.18.0.1", 16, "172.18.255.255", None),
        ("10.0.0.1", 31, None, None),
        ("fd00::1", 64, None, True),
    ]
    assert [one.interface for one in host.addresses(index)] == ["172.18.0.1/16", "10.0.0.1/31", "fd00::1/64"]
    assert {one.interface for one in host.addresses()} >= {"127.0.0.1/8", f"{lab.HOST4}/24", f"{lab.HOST6}/64"}
    host.apply([rtnetlink.delete_address(index, "172.18.0.1/16"), rtnetlink.delete_address(index, "fd00::1/64")])
    assert [one.interface for one in host.addresses(index)] == ["10.0.0.1/31"]


def test_routes(lab: Netlab, host: Rtnetlink) -> None:
    eth0 = links(lab.host)["eth0"]["ifindex"]
    host.add_route(Route("10.9.0.0/16", via=lab.OUTSIDE4, index=eth0, metric=5, source=lab.HOST4))
    host.add_route(Route("10.8.0.0/16", index=eth0))
    host.add_route(Route("fd09::/64", via=lab.OUTSIDE6, index=eth0))
    assert lab.host.ip("route", "show", "10.9.0.0/16")[0].items() >= {
        "gateway": lab.OUTSIDE4, "dev": "eth0", "metric": 5, "prefsrc": lab.HOST4,
    }.items()  # fmt: skip
    assert lab.host.ip("route", "show", "10.8.0.0/16")[0]["scope"] == "link"
    found = {route.dst: route for route in host.routes()}
    assert (found["0.0.0.0/0"].via, found["::/0"].via) == (lab.OUTSIDE4, lab.OUTSIDE6)
    assert found["fd09::/64"].metric == 1024 and found["192.0.2.0/24"].via == ""
    host.apply([rtnetlink.delete_route(found["10.8.0.0/16"]), rtnetlink.delete_route(found["fd09::/64"])])
    assert {"10.8.0.0/16", "fd09::/64"}.isdisjoint(route.dst for route in host.routes())
    assert host.routes(table=1000) == []


def test_a_default_route_is_replaced_in_one_step(lab: Netlab, host: Rtnetlink) -> None:
    eth0 = links(lab.host)["eth0"]["ifindex"]
    for dst, via in (("0.0.0.0/0", "192.0.2.77"), ("::/0", "2001:db8:1::77")):
        host.add_route(Route(dst, via=via, index=eth0), replace=True)
        assert [route.via for route in host.routes() if route.dst == dst] == [via]


def test_the_way_to_an_address(lab: Netlab, host: Rtnetlink) -> None:
    eth0 = links(lab.host)["eth0"]["ifindex"]
    lab.host.batch(f"route add 203.0.113.0/24 via {lab.OUTSIDE4} mtu 1300", "route add blackhole 198.51.100.0/24")
    assert (way := host.route_to("1.1.1.1")) and (way.index, way.via, way.mtu) == (eth0, lab.OUTSIDE4, 0)
    assert (way := host.route_to("203.0.113.1")) and way.mtu == 1300
    assert host.route_to("198.51.100.1") is None
    lab.host.batch("route del default", "route del ::/0")
    assert host.route_to("1.1.1.1") is None and host.route_to("2606:4700:4700::1111") is None


def test_a_route_with_two_next_hops(lab: Netlab, host: Rtnetlink) -> None:
    lab.host.batch(
        "link add d0 type veth peer d1", "address add 192.0.3.2/24 dev d0", "link set d0 up", "link set d1 up"
    )
    hops = "nexthop via 192.0.2.1 dev eth0 nexthop via 192.0.3.1 dev d0"
    lab.host.batch(f"route add 10.7.0.0/16 {hops}")
    [route] = [one for one in host.routes() if one.dst == "10.7.0.0/16"]
    assert route.via == "192.0.2.1" and len(set(route.indexes)) == 2 and route.index == route.indexes[0]


REFUSALS = [
    (rtnetlink.new_bridge("eth0"), errno.EEXIST, "add bridge eth0: File exists"),
    (set_link("nope", up=True), errno.ENODEV, "set link nope: up True: No such device"),
    (new_address(999, "10.0.0.1/8"), errno.ENODEV, "add address 10.0.0.1/8: No such device"),
    (rtnetlink.new_route(Route("10.0.0.0/8", via="10.99.0.1")), errno.ENETUNREACH, "Nexthop has invalid gateway"),
    (new_veth("v", "w", master=999), errno.EINVAL, "add veth v with w"),
    (new_veth("v", "w", netns=0), errno.EINVAL, "add veth v with w"),
    (set_link("eth0", mtu=10), errno.EINVAL, "mtu less than device minimum"),
]


@pytest.mark.parametrize(("message", "code", "words"), REFUSALS, ids=[words for _, _, words in REFUSALS])
def test_what_the_kernel_refuses_is_told_in_its_words(host: Rtnetlink, message, code: int, words: str) -> None:
    with pytest.raises(NetlinkError, match=f"asked for: .*{re.escape(words)}") as caught:
        host.apply([message], "asked for")
    assert caught.value.errno == code


def test_every_message_of_many_is_carried_out(lab: Netlab, host: Rtnetlink) -> None:
    errors = host.attempt([new_veth(f"a{n % 150}", f"b{n % 150}") for n in range(151)])
    assert [n for n, error in enumerate(errors) if error] == [150] and errors[150].errno == errno.EEXIST
    assert len(host.links()) == len(links(lab.host)) == 302  # a dump of several datagrams
    host.delete_links([f"a{n}" for n in range(150)])
    assert list(links(lab.host)) == ["lo", "eth0"]


def test_many_links_are_deleted_together(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    host.apply([new_veth(f"v{n}", f"e{n}", netns=box.fd) for n in range(20)])
    host.delete_links(["gone", *(f"v{n}" for n in range(19)), "gone too"])
    assert set(links(lab.host)) == {"lo", "eth0", "v19"} and set(links(box)) == {"lo", "e19"}
    host.delete_links([])
    host.delete_links(["gone"])


def test_macvlan(lab: Netlab, host: Rtnetlink) -> None:
    box, eth0 = lab.space("box"), links(lab.host)["eth0"]["ifindex"]
    for number, mode in enumerate(("bridge", "private", "vepa")):
        host.apply([rtnetlink.new_macvlan(f"mv{number}", eth0, mode, netns=box.fd, mac=f"02:00:00:00:00:0{number}")])
        seen = links(box)[f"mv{number}"]
        assert (seen["linkinfo"]["info_data"]["mode"], seen["link_index"]) == (mode, eth0)
        assert seen["address"] == f"02:00:00:00:00:0{number}"


def test_several_threads_use_one_door(lab: Netlab, host: Rtnetlink) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                name = f"br{number}-{turn}"
                assert host.add_bridge(name).name == name
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == [] and len(links(lab.host)) == 82


def test_the_thread_comes_back_after_an_error(lab: Netlab) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    with pytest.raises(RuntimeError, match=r"inside net:"), inside(lab.host.fd):
        raise RuntimeError("inside " + os.readlink("/proc/thread-self/ns/net").replace(before, "the old one"))
    assert os.readlink("/proc/thread-self/ns/net") == before
