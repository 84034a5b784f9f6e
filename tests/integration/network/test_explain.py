"""What other people's rules do to a published port: what is told of it, against what happens to packets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sampan.network.explain import (
    AUDIENCES,
    BLOCKED,
    CONTAINERS,
    DEPENDS,
    HOST,
    LOOPBACK,
    OUTSIDE,
    REACHABLE,
    UNKNOWN,
    Answer,
    Surroundings,
    explain,
    lines,
    read_others,
    warning,
)
from sampan.network.model import Publication
from support.cache import find_program
from support.netlab import netlab
from support.town import PUBLICATIONS, Town

HOST4, HOST6 = "192.0.2.2", "2001:db8:1::2"
AROUND = Surroundings("eth0", "sampan0", "172.17.0.1", HOST4, ("172.17.0.0/16", "fd00:1::/64"))
WEB, WEB6 = PUBLICATIONS[0], PUBLICATIONS[1]  # 8080 → a1:80
RELAYED = next(one for one in PUBLICATIONS if one.host_port == 8084)
ALL = dict.fromkeys(AUDIENCES, REACHABLE)


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with netlab() as lab, contextlib.closing(Town(lab)) as one:
        yield one


def told(town: Town, one: Publication = WEB, around: Surroundings = AROUND) -> dict[str, Answer]:
    return {answer.audience: answer for answer in explain(one, read_others(town.host.fd), around)}


def happens(town: Town, audience: str, host: str = HOST4, loopback: str = "127.0.0.1", port: int = 8080) -> bool:
    """Whether an audience really gets an answer."""
    space = {OUTSIDE: town.outside, CONTAINERS: town["a2"]}.get(audience, town.host)
    try:
        return bool(town.ask(space, loopback if audience == LOOPBACK else host, port, wait_s=0.3))
    except OSError:
        return False


@contextlib.contextmanager
def rules(town: Town, text: str) -> Iterator[None]:
    """Other people's tables for the body."""
    town.host.run("nft", "-f", "-", stdin=text.replace("; }", ";\n}\n"))
    try:
        yield
    finally:
        for line in town.host.run("nft", "list", "tables").splitlines():  # 1.0.6 crashes on a dormant one as JSON
            if line != "table inet sampan":
                town.host.run("nft", "delete", *line.split())


ROUTED = {OUTSIDE: BLOCKED, CONTAINERS: BLOCKED}
LOCAL = {HOST: BLOCKED, LOOPBACK: BLOCKED}


def forward(rules: str = "", policy: str = "drop", more: str = "") -> str:
    chain = f"chain forward {{ type filter hook forward priority 0; policy {policy}; {rules}\n}}\n"
    return f"table inet filter {{ {more}\n{chain} }}"


def base(hook: str, priority: int, rules: str, kind: str = "filter", policy: str = "accept") -> str:
    chain = f"chain c {{ type {kind} hook {hook} priority {priority}; policy {policy}; {rules}\n}}\n"
    return f"table inet others {{ {chain} }}"


# rules; what is told where it isn't reachable; what stands in the rule that decides for the first of those
CASES = [
    ("table inet empty", {}, ""),
    (forward(), ROUTED, "table inet filter, chain forward, policy"),
    (
        forward('ct state established,related accept; iifname "eth0" tcp dport 80 accept'),
        {CONTAINERS: BLOCKED},
        "table inet filter, chain forward, policy",
    ),
    (forward('iifname "eth0" tcp dport 80 accept'), ROUTED, "policy"),
    (forward("ct state vmap { established : accept, invalid : drop }; tcp dport { 80, 443 } accept"), {}, ""),
    (forward("ct state established accept; tcp dport 70-90 accept"), {}, ""),
    (forward("ct state established accept; tcp dport != 80 accept"), ROUTED, "policy"),
    (forward("ct state established accept; ip daddr 172.17.0.0/24 accept"), {}, ""),
    (forward("ct state established accept; ct status dnat accept"), {}, ""),
    (forward("ct state established accept; meta l4proto . th dport { tcp . 80 } accept"), {}, ""),
    (
        forward(
            "ct state established accept; tcp dport . ip daddr vmap { 80 . 172.17.0.2 : jump good }",
            more="chain good { accept; }",
        ),
        {},
        "",
    ),
    (
        forward(
            "jump user", "accept", "chain user { tcp dport 22 return; tcp dport 80 jump no; } chain no { reject; }"
        ),
        ROUTED,
        "table inet filter, chain no, handle",
    ),
    (
        forward("jump user; drop", "accept", "chain user { return; accept; }"),
        ROUTED,
        "handle",
    ),
    (forward("goto user; accept", "drop", "chain user { return; }"), ROUTED, "policy"),
    (forward("ip6 daddr ::/0 drop; meta nfproto ipv6 drop", "accept"), {}, ""),
    (forward('oifname "sampan0" limit rate over 100/second burst 1000 packets drop', "accept"), {}, ""),
    (forward('oifname "br-*" drop; oifname { "virbr0", "docker0" } drop', "accept"), {}, ""),
    (base("input", 0, 'iifname "lo" accept; ct state established accept', policy="drop"), {}, ""),
    (base("input", 0, 'iifname "lo" accept', policy="drop"), LOCAL, "policy"),
    (
        base("prerouting", -150, "tcp dport 8080 drop"),
        ROUTED,
        "table inet others, chain c, handle",
    ),
    (base("prerouting", -50, "tcp dport 80 drop"), ROUTED, "handle"),
    (base("prerouting", -50, "tcp dport 8080 drop"), {}, ""),
    (
        base("prerouting", -300, "fib daddr type local tcp dport 8080 drop"),
        ROUTED,
        "handle",
    ),
    (base("prerouting", -300, "fib saddr . iif oif missing drop"), {}, ""),
    (
        base("prerouting", -110, "tcp dport 8080 redirect to :7999", "nat"),
        ROUTED,
        "handle",
    ),
    (base("output", 0, "tcp dport 80 drop"), LOCAL, "handle"),
    (base("output", -150, "ip daddr 127.0.0.1 tcp dport 8080 drop"), {LOOPBACK: BLOCKED}, "handle"),
    (base("output", 0, 'oifname "lo" accept', policy="drop"), {OUTSIDE: REACHABLE}, ""),
    (base("postrouting", 50, 'oifname "sampan0" tcp dport 80 drop'), dict.fromkeys(AUDIENCES, BLOCKED), "handle"),
    (
        forward("ct state established accept").replace("inet filter", "ip filter").replace("forward {", "FORWARD {"),
        ROUTED,
        "table ip filter, chain FORWARD, policy",
    ),
    ("table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy drop; } }", {}, ""),
    ("table inet asleep { flags dormant; chain c { type filter hook forward priority 0; policy drop; } }", {}, ""),
]


@pytest.mark.parametrize(("text", "expected", "rule"), CASES)
def test_what_is_told_is_what_happens(town: Town, text: str, expected: dict[str, str], rule: str) -> None:
    with rules(town, text):
        answers = told(town)
        assert {name: answer.answer for name, answer in answers.items()} == ALL | expected
        assert {name: happens(town, name) for name in AUDIENCES} == {
            name: answer.answer == REACHABLE for name, answer in answers.items()
        }
    if expected:
        assert rule in answers[next(iter(expected))].rule


DOUBTFUL = [
    (forward("ct state established accept; ip saddr 192.0.2.0/24 accept"), DEPENDS, "the client's address"),
    (forward("ct state established accept; tcp sport > 1024 accept"), REACHABLE, ""),
    (forward("meta mark 7 drop", "accept"), DEPENDS, "its mark"),
    (
        forward("ip saddr @bad drop", "accept", "set bad { type ipv4_addr; elements = { 203.0.113.1 } }"),
        DEPENDS,
        "client",
    ),
    (forward("ct state established accept; ip saddr vmap { 192.0.2.1 : accept }"), DEPENDS, "the client's address"),
    (forward("rt mtu 3 drop", "accept"), UNKNOWN, "isn't understood"),
    (forward("ip saddr @none drop", "accept", "set none { type ipv4_addr; }"), REACHABLE, ""),
    (forward("ip saddr 10.0.0.0/8 tcp dport 22 drop", "accept"), REACHABLE, ""),
]


@pytest.mark.parametrize(("text", "answer", "why"), DOUBTFUL)
def test_doubts_are_told(town: Town, text: str, answer: str, why: str) -> None:
    with rules(town, text):
        found = told(town)[OUTSIDE]
    assert found.answer == answer
    assert why in found.why
    assert warning(WEB, [found]) == ""


IPTABLES = [
    ([], {}, ""),
    (["-P FORWARD DROP"], ROUTED, "table ip filter, chain FORWARD, policy"),
    (
        [
            "-P FORWARD DROP",
            "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -i eth0 -p tcp -m multiport --dports 22,80:90 -m comment --comment web -j ACCEPT",
        ],
        {CONTAINERS: BLOCKED},
        "table ip filter, chain FORWARD, policy",
    ),
    (
        [
            "-P FORWARD DROP",
            "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -p tcp --dport 80 -j ACCEPT",
        ],
        {},
        "",
    ),
    (
        ["-N USER", "-A FORWARD -j USER", "-A USER -p tcp -m tcp --dport 80 -j REJECT"],
        ROUTED,
        "chain USER, handle",
    ),
    (["-A FORWARD -m state --state NEW -p tcp --dport 80 -j DROP"], ROUTED, "handle"),
    (["-A FORWARD -p tcp --dport 80 -j LOG", "-A FORWARD -p udp --dport 80 -j DROP"], {}, ""),
    (["-A FORWARD -m conntrack --ctstate DNAT -j DROP"], ROUTED, "handle"),
    (["-t nat -A PREROUTING -p tcp --dport 9 -j REDIRECT --to-ports 7999"], {}, ""),
]


@pytest.mark.parametrize(("commands", "expected", "rule"), IPTABLES)
def test_iptables_of_today_is_explained(town: Town, commands: list[str], expected: dict[str, str], rule: str) -> None:
    if find_program("iptables-nft") is None:
        pytest.skip("needs iptables-nft (Debian: iptables)")
    with rules(town, "table inet empty"):
        for one in commands:
            town.host.run("iptables-nft", *one.split())
        answers = told(town)
        assert {name: answer.answer for name, answer in answers.items()} == ALL | expected
        assert {name: happens(town, name) for name in AUDIENCES} == {
            name: answer.answer == REACHABLE for name, answer in answers.items()
        }
    if expected:
        assert rule in answers[next(iter(expected))].rule


def test_ipv6_is_explained(town: Town) -> None:
    around = replace(AROUND, host=HOST6, gateway="fd00:1::1")
    with rules(town, forward("meta nfproto ipv6 ip6 daddr fd00:1::/64 tcp dport 80 drop", "accept")):
        answers = told(town, WEB6, around)
        assert {name: answer.answer for name, answer in answers.items()} == {
            **ALL,
            OUTSIDE: BLOCKED,
            CONTAINERS: BLOCKED,
        }
        for name in AUDIENCES:
            assert happens(town, name, HOST6, "::1") == (answers[name].answer == REACHABLE), name


def test_the_relay_is_explained(town: Town) -> None:
    around = replace(AROUND, host=HOST6)
    with rules(town, base("input", 0, 'iifname "eth0" tcp dport 8084 drop')):
        answers = told(town, RELAYED, around)
        assert {name: answer.answer for name, answer in answers.items()} == {**ALL, OUTSIDE: BLOCKED}
        for name in AUDIENCES:
            assert happens(town, name, HOST6, "::1", 8084) == (answers[name].answer == REACHABLE), name


@pytest.mark.parametrize(
    ("host_ip", "blocked"),
    [("127.0.0.1", {OUTSIDE, CONTAINERS, HOST}), (HOST4, {LOOPBACK}), ("172.17.0.1", {OUTSIDE, LOOPBACK})],
)
def test_own_rules_are_told(town: Town, host_ip: str, blocked: set[str]) -> None:
    port = {"127.0.0.1": 8082, HOST4: 8081, "172.17.0.1": 8083}[host_ip]
    answers = told(town, replace(WEB, host_ip=host_ip, host_port=port))
    assert {name for name, answer in answers.items() if answer.answer == BLOCKED} == blocked
    for name in AUDIENCES:
        host = host_ip if host_ip != "127.0.0.1" else HOST4
        assert happens(town, name, host, port=port) == (name not in blocked), name


def test_run_warns_where_others_drop(town: Town) -> None:
    with rules(town, forward()):
        answers = list(told(town).values())
    assert warning(WEB, answers) == (
        "port 0.0.0.0:8080/tcp is published, but nobody outside reaches it: "
        "table inet filter, chain forward, policy drops it (forward); to let it in: nft "
        "'insert rule inet filter forward oifname sampan0 accept; "
        "insert rule inet filter forward iifname sampan0 accept'"
    )
    assert lines(WEB, answers)[0] == "0.0.0.0:8080/tcp -> 80"
    assert warning(WEB, list(told(town).values())) == ""
    assert warning(WEB, list(told(town, replace(WEB, host_ip="127.0.0.1")).values())) == ""


def test_legacy_tables_cannot_be_told(town: Town) -> None:
    others = replace(read_others(town.host.fd), legacy=("filter",))
    answers = explain(WEB, others, AROUND)
    assert {answer.answer for answer in answers} == {UNKNOWN}
    assert "filter" in answers[0].why
