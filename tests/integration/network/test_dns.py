"""The resolver in a container's network namespace, asked by dig, busybox and the C library; servers beyond a wire."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from dnslib import RR, A, DNSRecord

from sampan.network.dns import forward, server, sockets
from sampan.network.dns.forward import Exits, Forwarder
from sampan.network.dns.redirect import redirect
from sampan.network.dns.server import Resolver
from sampan.network.dns.sockets import Sockets
from sampan.network.model import Endpoint, Network, Pool
from sampan.network.names import Names
from sampan.network.resolvconf import Upstream
from support.netlab import Netlab, Space

MYNET = Network("a" * 64, "mynet", ipv4=(Pool("10.0.0.0/24", "10.0.0.1"),))
FAR, NEAR = "10.9.0.1", "10.9.0.2"  # the ends of a wire between the outside and the container
Answer = Callable[[bytes, bool], list[bytes]]
SILENT = Upstream("10.9.0.77")  # nobody there: ARP finds none


def names() -> Names:
    known = Names()
    known.add_network(MYNET)
    for number in range(1, 101):
        known.put(
            Endpoint(f"e{number}", MYNET.id, f"s{number}", ipv4=f"10.0.0.{number}/24", dns_names=(f"c{number}", "all"))
        )
    return known


class Running:
    """A resolver on an event loop in a thread of its own."""

    def __init__(
        self, space: Space, bound: Sockets, upstream: Sequence[Upstream], *, external: bool, limit: int
    ) -> None:
        self.space, self.exits = space, Exits(limit)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        forwarder = Forwarder(self.exits, space.fd, upstream, external=external)
        self.resolver = Resolver("s1", bound, names(), forwarder)
        self.call(self.resolver.start())

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def dig(self, *args: str) -> str:
        return self.space.run("dig", "@127.0.0.11", "+tries=1", "+time=8", *args, check=False)

    def short(self, *args: str) -> list[str]:
        return self.dig("+short", *args).split()

    def close(self) -> None:
        self.call(self.resolver.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        self.exits.close()


@pytest.fixture
def box(lab: Netlab) -> Space:
    """A container's namespace with a wire to the outside."""
    one = lab.space("box")
    lab.outside.batch(
        f"link add wire type veth peer name eth0 netns {one.path}", f"address add {FAR}/24 dev wire", "link set wire up"
    )
    one.batch(f"address add {NEAR}/24 dev eth0", "link set eth0 up")
    return one


@contextlib.contextmanager
def running(
    space: Space, *upstream: Upstream, bound: Sockets | None = None, external: bool = True, limit: int = 1000
) -> Iterator[Running]:
    made = bound or sockets.bind(space.fd)
    redirect(space.fd, made)
    one = Running(space, made, upstream, external=external, limit=limit)
    try:
        yield one
    finally:
        one.close()


class Authority:
    """A server somewhere: ``answer`` makes the packets for a query; what came is in ``seen`` with its sender."""

    def __init__(self, space: Space | None, address: str, answer: Answer) -> None:
        self.answer, self.seen = answer, list[tuple[bytes, tuple[str, int], bool]]()
        with space.inside() if space else contextlib.nullcontext():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.udp.bind((address, 0))
        self.tcp.bind((address, self.udp.getsockname()[1]))
        self.tcp.listen()
        self.udp.settimeout(0.2)
        self.tcp.settimeout(0.2)
        self.ended = False
        self.threads = [threading.Thread(target=one) for one in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def upstream(self, *, from_host: bool = False) -> Upstream:
        address, port = self.udp.getsockname()
        return Upstream(address, from_host, port)

    def _serve_udp(self) -> None:
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                query, sender = self.udp.recvfrom(65535)
                self.seen.append((query, sender, False))
                for one in self.answer(query, False):
                    self.udp.sendto(one, sender)

    def _serve_tcp(self) -> None:
        while not self.ended:
            with contextlib.suppress(TimeoutError, ConnectionError):
                client, sender = self.tcp.accept()
                with client:
                    query = client.recv(int.from_bytes(client.recv(2), "big"))
                    self.seen.append((query, sender, True))
                    for one in self.answer(query, True):
                        client.sendall(len(one).to_bytes(2, "big") + one)

    def close(self) -> None:
        self.ended = True
        for thread in self.threads:
            thread.join(20)
        self.udp.close()
        self.tcp.close()


def address(text: str) -> Answer:
    def answer(query: bytes, tcp: bool) -> list[bytes]:
        record = DNSRecord.parse(query)
        made = record.reply()
        made.add_answer(RR(record.q.qname, rdata=A(text), ttl=5))
        return [bytes(made.pack())]

    return answer


def code(number: int) -> Answer:
    def answer(query: bytes, tcp: bool) -> list[bytes]:
        made = DNSRecord.parse(query).reply()
        made.header.rcode = number
        return [bytes(made.pack())]

    return answer


@pytest.fixture
def far(lab: Netlab, box: Space) -> Iterator[Callable[[Answer], Authority]]:
    """Makes servers in the outside."""
    with contextlib.ExitStack() as stack:

        def make(answer: Answer) -> Authority:
            one = Authority(lab.outside, FAR, answer)
            stack.callback(one.close)
            return one

        yield make


# --- clients ---------------------------------------------------------------------------------------------------------


def test_dig(box: Space) -> None:
    with running(box) as one:
        assert one.short("c7") == one.short("+tcp", "c7") == one.short("C7.MyNet") == ["10.0.0.7"]
        assert one.short("-x", "10.0.0.7") == ["c7.mynet."]
        nothing = one.dig("c7", "AAAA")
        assert "status: NOERROR" in nothing and "ANSWER: 0" in nothing and "flags: qr rd ra;" in nothing
        assert "\t600\t" in one.dig("c7").replace(" ", "\t")
        everyone = one.dig("all")  # 100 addresses: cut over UDP, so dig asks again over TCP
        assert ";; Truncated, retrying in TCP mode." in everyone and "(TCP)" in everyone and "ANSWER: 100" in everyone
        assert "ANSWER: 100" in one.dig("all", "+bufsize=4096") and "SERVFAIL" in one.dig("elsewhere.example")


def test_busybox(box: Space) -> None:
    with running(box) as one:
        assert "Address: 10.0.0.7" in one.space.run("busybox", "nslookup", "c7", "127.0.0.11", check=False)
        assert "name = c7.mynet" in one.space.run("busybox", "nslookup", "10.0.0.7", "127.0.0.11", check=False)


LOOK_UP = """
import socket, sys
print(sorted({one[4][0] for one in socket.getaddrinfo("c7", 80)}), socket.gethostbyaddr("10.0.0.7")[0],
      len(socket.gethostbyname_ex("all")[2]))
"""


def test_the_c_library(box: Space, tmp_path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.11\noptions ndots:0\n")
    script = f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec {sys.executable} -c '{LOOK_UP}'"
    with running(box):
        assert box.run("unshare", "--mount", "sh", "-c", script).strip() == "['10.0.0.7'] c7.mynet 100"


def test_a_container_may_run_a_server_on_every_address(box: Space) -> None:
    with running(box) as one:
        with box.inside():
            udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        with udp, tcp:
            udp.bind(("0.0.0.0", 53))
            tcp.bind(("0.0.0.0", 53))
            tcp.listen()
            assert one.short("c7") == one.short("+tcp", "c7") == ["10.0.0.7"]
            udp.settimeout(5)
            with box.inside():
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with client:
                client.sendto(b"its own", ("127.0.0.1", 53))
                assert udp.recv(100) == b"its own"


def test_the_rules_are_replaced_and_nothing_tracks_connections(box: Space) -> None:
    for _ in range(2):
        with running(box) as one:
            assert one.short("c7") == one.short("+tcp", "c7") == ["10.0.0.7"]
            port = one.resolver.sockets.udp_port
            assert f"ip daddr 127.0.0.11 udp dport 53 udp dport set {port}" in box.run("nft", "list", "ruleset")
    assert box.run("nft", "list", "ruleset").count("dport set") == 2
    with contextlib.suppress(FileNotFoundError):  # no such file where the kernel has no connection tracking loaded
        assert box.sysctl("netfilter/nf_conntrack_count") == "0"


# --- servers outside -------------------------------------------------------------------------------------------------


def test_what_is_not_ours_goes_on_as_it_came(box: Space, far) -> None:
    there = far(address("192.0.2.80"))
    with running(box, there.upstream()) as one:
        for args in (("+edns=0", "+bufsize=1400", "+dnssec"), ("+noedns",), ("+tcp",)):
            assert one.short("Www.Example.Com", *args) == ["192.0.2.80"]
        plain, edns = one.dig("x.example", "+noedns", "+qr"), there.seen[0][0]
    assert "192.0.2.80" in plain
    assert b"\0\0\x29" + struct.pack("!H", 1400) + bytes.fromhex("00008000") in edns and b"\3Www\7Example" in edns
    assert {sender[0] for _, sender, _ in there.seen} == {NEAR}  # from the container, not from the host
    assert len({sender[1] for _, sender, _ in there.seen}) == len(there.seen)  # each from a port of its own
    assert [tcp for _, _, tcp in there.seen] == [False, False, True, False]


def test_numbers_and_ports_are_random(box: Space, far) -> None:
    there = far(address("192.0.2.80"))
    with running(box, there.upstream()) as one:
        packet = bytes(DNSRecord.question("x.example").pack())
        for _ in range(40):
            assert ask(one, packet)[:2] == packet[:2]
    assert len({query[:2] for query, _, _ in there.seen}) > 35
    assert len({sender[1] for _, sender, _ in there.seen}) > 35


def ask(one: Running, packet: bytes, timeout: float = 8) -> bytes:
    with one.space.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(timeout)
        client.connect(("127.0.0.11", 53))
        client.send(packet)
        return client.recv(65535)


def test_the_next_server_is_asked(box: Space, far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "SERVER_S", 0.3)
    failing, refusing, good = far(code(2)), far(code(5)), far(address("192.0.2.80"))
    mute, closed = far(lambda query, tcp: []), Upstream(FAR, port=1)
    with running(box, *(other.upstream() for other in (failing, refusing, good))) as one:
        assert one.short("x.example") == ["192.0.2.80"] and len(failing.seen) == len(refusing.seen) == 1
    for other in (mute.upstream(), closed, SILENT):
        with running(box, other, good.upstream()) as one:
            assert one.short("x.example") == one.short("+tcp", "x.example") == ["192.0.2.80"]
    with running(box, failing.upstream(), mute.upstream()) as one:
        assert "SERVFAIL" in one.dig("x.example")
    with running(box, far(code(3)).upstream(), good.upstream()) as one:
        assert "NXDOMAIN" in one.dig("x.example")  # that is an answer


def test_a_cut_answer_is_passed_on_and_the_client_comes_again_over_tcp(box: Space, far) -> None:
    def answer(query: bytes, tcp: bool) -> list[bytes]:
        if tcp:
            return address("192.0.2.80")(query, tcp)
        made = DNSRecord.parse(query).reply()
        made.header.tc = 1
        return [bytes(made.pack())]

    there = far(answer)
    with running(box, there.upstream()) as one:
        assert one.short("+noshort", "x.example")[-1:] != [] and "192.0.2.80" in one.dig("x.example")
    assert [tcp for _, _, tcp in there.seen][:2] == [False, True]


def test_a_forged_answer_is_not_believed(lab: Netlab, box: Space, far) -> None:
    forged = lambda query: address("6.6.6.6")(query, False)[0]  # noqa: E731

    def answer(query: bytes, tcp: bool) -> list[bytes]:
        other = bytes([query[0] ^ 1]) + query[1:]
        wrong_question = forged(bytes(DNSRecord.question("y.example").pack()))
        lies = [forged(other), query[:2] + wrong_question[2:], b"", b"\0", query, query[:2] + os.urandom(30)]
        return [*lies, *address("192.0.2.80")(query, tcp)]

    there = far(answer)
    with running(box, there.upstream()) as one:
        assert one.short("x.example") == ["192.0.2.80"]
        with lab.outside.inside():
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def from_another_port(query: bytes, tcp: bool) -> list[bytes]:
            stranger.sendto(forged(query), there.seen[-1][1])
            return []

        there.answer = from_another_port
        stranger.bind((FAR, 0))
        with stranger, pytest.MonkeyPatch.context() as patch:
            patch.setattr(forward, "SERVER_S", 0.3)
            assert "SERVFAIL" in one.dig("x.example")


def test_a_flood_of_wrong_answers_ends(box: Space, far) -> None:
    def answer(query: bytes, tcp: bool) -> list[bytes]:
        wrong = bytes([query[0] ^ 1]) + query[1:2] + b"\x81\x80" + query[4:]
        return [wrong] * 40 if not tcp else [wrong, query]

    with running(box, far(answer).upstream()) as one:
        begin = time.monotonic()
        assert "SERVFAIL" in one.dig("x.example") and "SERVFAIL" in one.dig("+tcp", "x.example")
        assert time.monotonic() - begin < forward.SERVER_S


def test_the_hosts_loopback_is_asked_from_the_host_and_only_for_who_may_go_out(box: Space) -> None:
    there = Authority(None, "127.0.0.1", address("192.0.2.80"))  # in this process's namespace: sampand's
    with contextlib.closing(there), running(box, there.upstream(from_host=True)) as one:
        assert one.short("x.example") == one.short("+tcp", "x.example") == ["192.0.2.80"]
        one.resolver.forwarder.external = False
        assert "SERVFAIL" in one.dig("x.example") and len(there.seen) == 2


def test_a_given_server_on_loopback_is_the_containers_own(box: Space) -> None:
    hosts = Authority(None, "127.0.0.1", address("192.0.2.80"))
    own = Authority(box, "127.0.0.1", address("192.0.2.81"))
    with contextlib.closing(hosts), contextlib.closing(own), running(box, hosts.upstream(), own.upstream()) as one:
        assert one.short("x.example") == ["192.0.2.81"] and hosts.seen == []


def test_a_container_without_a_way_out_gets_no_name_from_outside(box: Space, far) -> None:
    there = far(address("192.0.2.80"))
    beyond = Upstream("192.0.2.1", port=there.upstream().port)  # the outside's other address: no route to it
    with running(box, beyond) as one:
        begin = time.monotonic()
        assert "SERVFAIL" in one.dig("x.example") and time.monotonic() - begin < forward.SERVER_S
        assert one.short("c7") == ["10.0.0.7"]
    assert there.seen == []


def test_too_many_questions_are_refused_at_once(box: Space, far) -> None:
    held = far(lambda query, tcp: [])
    with running(box, held.upstream(), limit=80) as one, box.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.11", 53))
        client.settimeout(3)
        packet = bytes(DNSRecord.question("x.example").pack())
        with client:
            for _ in range(25):
                client.send(packet)
            refused = [DNSRecord.parse(client.recv(512)).header.rcode for _ in range(5)]
        assert refused == [5] * 5 and one.exits.under_way == 20
        assert one.short("c7") == ["10.0.0.7"]  # ours go on
    assert one.exits.under_way == 0


# --- harm ------------------------------------------------------------------------------------------------------------

HARM = [
    b"",
    b"\0",
    b"\0" * 12,
    b"\xff" * 600,
    os.urandom(60000),
    bytes.fromhex("000101000001000000000000c00c00010001"),
    struct.pack("!6H", 1, 256, 1, 0, 0, 0) + b"\x3f" * 300,
    struct.pack("!6H", 1, 256, 65535, 65535, 65535, 65535) + b"\xc0\x0c" * 2000,
]


def test_harmful_packets_end_nothing(box: Space) -> None:
    with running(box) as one, box.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.connect(("127.0.0.11", 53))
            for packet in HARM * 20:
                client.send(packet)
        assert one.short("c7") == ["10.0.0.7"]


def connect(one: Running) -> socket.socket:
    with one.space.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.settimeout(8)
    client.connect(("127.0.0.11", 53))
    return client


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


C7 = framed(bytes(DNSRecord.question("c7").pack()))


@pytest.mark.parametrize("packet", [b"\xff\xff" + bytes(100), b"\0\0", b"\0\1x", framed(b"\x81" * 40)], ids=range(4))
def test_nonsense_over_tcp_ends_the_connection(box: Space, packet: bytes) -> None:
    with running(box) as one, connect(one) as client:
        client.sendall(packet)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
        assert one.short("+tcp", "c7") == ["10.0.0.7"]


def test_several_questions_in_one_connection_and_in_pieces(box: Space) -> None:
    with running(box) as one, connect(one) as client:
        client.sendall(C7 * 3)
        for piece in C7:
            client.sendall(bytes([piece]))
        found = b""
        while len(found) < 4 * 38:
            found += client.recv(4096)
        assert [DNSRecord.parse(found[at + 2 : at + 38]).rr[0].rdata.data for at in range(0, len(found), 38)] == [
            (10, 0, 0, 7)
        ] * 4


def test_a_slow_client_is_let_go_and_many_are_not_let_in(box: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(box) as one:
        clients = [connect(one) for _ in range(server.CONNECTIONS)]
        for client in clients:
            client.sendall(C7)
            assert client.recv(100)
        with connect(one) as late, contextlib.suppress(ConnectionResetError):
            late.sendall(C7)
            assert late.recv(100) == b""
        assert one.short("c7") == ["10.0.0.7"]
        monkeypatch.setattr(server, "IDLE_S", 0.1)
        for client in clients:
            client.sendall(C7 + C7[:5])  # one whole question, and then it stops
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                while client.recv(100):
                    pass
            client.close()
        monkeypatch.setattr(server, "IDLE_S", 10.0)
        assert one.short("+tcp", "c7") == ["10.0.0.7"]


# --- restarts --------------------------------------------------------------------------------------------------------


def test_names_asked_while_nobody_answers_are_answered_late(box: Space) -> None:
    bound = sockets.bind(box.fd)
    redirect(box.fd, bound)
    kept = [os.dup(bound.udp.fileno()), os.dup(bound.tcp.fileno())]  # as the monitor keeps them
    with running(box, bound=bound) as one:
        assert one.short("c7") == ["10.0.0.7"]
    waiting = [box.popen("dig", "@127.0.0.11", "+short", "+tries=1", "c7", *more, stdout=-1) for more in ([], ["+tcp"])]
    wait_for(lambda: queued(box) > 0)
    with running(box, bound=sockets.adopt(*kept)):
        assert [one.communicate(timeout=8)[0] for one in waiting] == [b"10.0.0.7\n"] * 2


def queued(box: Space) -> int:
    with box.inside(), open("/proc/thread-self/net/udp", encoding="ascii") as file:
        return sum(int(line.split()[4].split(":")[1], 16) for line in list(file)[1:] if "0B00007F" in line.split()[1])


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nothing_is_left_open(lab: Netlab, box: Space, far) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    held = far(lambda query, tcp: [])
    with running(box, held.upstream()) as one:
        assert one.short("c7")
    before = count()
    for _ in range(5):
        with running(box, held.upstream()) as one, connect(one) as client:
            client.sendall(framed(bytes(DNSRecord.question("x.example").pack())))
            with box.inside():
                other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with other:
                other.connect(("127.0.0.11", 53))
                for _ in range(10):
                    other.send(bytes(DNSRecord.question("x.example").pack()))
                wait_for(lambda one=one: one.exits.under_way == 10)
    wait_for(lambda: count() <= before)
