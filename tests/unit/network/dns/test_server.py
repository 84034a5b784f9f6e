"""What a resolver answers by itself, and what it hands on; without sockets."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from dnslib import DNSRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.network.dns.forward import Exits, Forwarder
from sampan.network.dns.server import Resolver
from sampan.network.dns.sockets import Sockets
from sampan.network.dns.wire import Question
from sampan.network.model import Endpoint, Network, Pool
from sampan.network.names import Names

NET = Network("a" * 64, "mynet", ipv4=(Pool("10.0.0.0/16", "10.0.0.1"),))


def make(*, ndots_given: bool = False) -> Resolver:
    names = Names()
    names.add_network(NET)
    for number in range(1, 201):
        one = Endpoint(f"e{number}", NET.id, f"s{number}", ipv4=f"10.0.1.{number}/16", dns_names=(f"c{number}", "all"))
        names.put(one)
    exits = Exits(1)
    netns = os.open("/dev/null", os.O_RDONLY)
    forwarder = Forwarder(exits, netns, (), external=False)
    one = Resolver("s1", Sockets(socket.socket(), socket.socket()), names, forwarder, ndots_given=ndots_given)
    os.close(netns)
    return one


def shut(one: Resolver) -> None:
    one.sockets.close()
    one.forwarder.close()


@pytest.fixture(scope="module")
def resolver() -> Iterator[Resolver]:
    one = make()
    yield one
    shut(one)


def answered(resolver: Resolver, name: str, kind: str = "A", *, tcp: bool = False) -> DNSRecord | None:
    """The answer; None when it is handed on."""
    found = resolver.answer(bytes(DNSRecord.question(name, kind).pack()), tcp=tcp)
    assert found is not None
    return None if isinstance(found, Question) else DNSRecord.parse(found)


def data(record: DNSRecord | None) -> list[str]:
    assert record is not None and record.header.rcode == 0 and record.header.ra
    assert all(one.ttl == 600 for one in record.rr)
    return [str(one.rdata) for one in record.rr]


def test_names_of_containers(resolver: Resolver) -> None:
    assert data(answered(resolver, "c7")) == ["10.0.1.7"]
    assert data(answered(resolver, "C7.MyNet.")) == ["10.0.1.7"]
    assert data(answered(resolver, "7.1.0.10.in-addr.arpa", "PTR")) == ["c7.mynet."]
    assert data(answered(resolver, "7.1.0.10.IN-ADDR.ARPA", "PTR")) == ["c7.mynet."]


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "HTTPS", "ANY", "SRV", "PTR"])
def test_other_records_of_a_container_are_none_and_no_error(resolver: Resolver, kind: str) -> None:
    assert data(answered(resolver, "c7", kind)) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("c999", "A"),
        ("c7.other", "A"),
        ("example.com", "A"),
        ("1.1.1.1.in-addr.arpa", "PTR"),
        ("", "NS"),
        ("mynet", "A"),
    ],
)
def test_what_is_not_ours_is_handed_on(resolver: Resolver, name: str, kind: str) -> None:
    assert answered(resolver, name, kind) is None


def test_another_class_is_handed_on(resolver: Resolver) -> None:
    packet = bytes(DNSRecord.question("c7").pack())[:-1] + b"\3"
    assert isinstance(resolver.answer(packet), Question)


def test_many_addresses_are_cut_over_udp_and_whole_over_tcp(resolver: Resolver) -> None:
    cut, whole = answered(resolver, "all"), answered(resolver, "all", tcp=True)
    assert cut is not None and cut.header.tc and 0 < len(data(cut)) < 200
    assert whole is not None and not whole.header.tc
    assert sorted(data(whole)) == sorted(f"10.0.1.{number}" for number in range(1, 201))


def test_several_addresses_are_shuffled(resolver: Resolver) -> None:
    firsts = {data(answered(resolver, "all"))[0] for _ in range(50)}
    assert len(firsts) > 5


def test_with_ndots_given_a_single_label_is_not_asked_outside() -> None:
    one = make(ndots_given=True)
    assert data(answered(one, "nobody")) == [] and data(answered(one, "nobody", "AAAA")) == []
    assert answered(one, "nobody", "TXT") is None and answered(one, "nobody.example") is None
    assert data(answered(one, "c7")) == ["10.0.1.7"]
    shut(one)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packet=st.binary(max_size=5000), tcp=st.booleans())
def test_any_packet_gets_an_answer_a_question_or_nothing(resolver: Resolver, packet: bytes, tcp: bool) -> None:
    found = resolver.answer(packet, tcp=tcp)
    assert found is None or isinstance(found, Question) or len(DNSRecord.parse(found).rr) <= 200


def test_addresses_are_packed() -> None:
    assert ip_address("10.0.1.7").packed == bytes([10, 0, 1, 7])
