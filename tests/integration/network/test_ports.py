"""Ports of the host, reserved and relayed, with real sockets in a lab; and what another process meets there."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sampan.network import relay
from sampan.network.ports import (
    Binding,
    Owner,
    PortAllocated,
    PortError,
    Ports,
    PortUnavailable,
    Reserved,
)
from sampan.network.relay import Relays
from support.netlab import Netlab, Space

WEB = Owner("1" * 64, "web", "e" * 64)
OTHER = Owner("2" * 64, "other", "f" * 64)
FAILED = f"driver failed programming external connectivity on endpoint web ({'e' * 64}): "
LISTEN = """
import socket, sys, time
kind, address, port, reuse = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                  socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
try:
    s.bind((address, int(port)))
    kind == "udp" or s.listen()
except OSError as error:
    print(error.errno, flush=True)
else:
    print(0, flush=True)
    sys.stdin.read()
"""


@contextmanager
def listener(space: Space, kind: str, address: str, port: int, *, reuse: bool = False) -> Iterator[tuple[int, int]]:
    """Another process that takes a port: its pid, and 0 or the errno that it met."""
    argv = [sys.executable, "-c", LISTEN, kind, address, str(port), str(int(reuse))]
    with space.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        yield one.pid, int(one.stdout.readline())
        one.stdin.close()


@contextmanager
def reserved(
    space: Space, ports: Ports, *bindings: Binding, owner: Owner = WEB, **options: str
) -> Iterator[list[Reserved]]:
    """Ports for the body."""
    with ExitStack() as stack:
        found = space.call(ports.reserve, owner, bindings, **options)
        for one in found:
            if one.socket:
                stack.enter_context(one.socket)
        yield found
    ports.release(owner.sandbox_id)


def facts(found: list[Reserved]) -> list[tuple[str, str, int, int]]:
    all_of_them = [one.publication for one in found]
    return [(one.protocol, one.host_ip, one.host_port, one.container_port) for one in all_of_them]


def test_a_port_is_held_at_every_address(lab: Netlab) -> None:
    with reserved(
        lab.host, Ports(), Binding("tcp", 80, "", 8080, 8080), Binding("udp", 53, lab.HOST4, 53, 53)
    ) as found:
        assert facts(found) == [("tcp", "0.0.0.0", 8080, 80), ("tcp", "::", 8080, 80), ("udp", lab.HOST4, 53, 53)]
        assert all(one.socket and not one.socket.get_inheritable() for one in found)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::", "::1"])
@pytest.mark.parametrize("reuse", [False, True])
def test_nobody_else_takes_it(lab: Netlab, kind: str, address: str, reuse: bool) -> None:
    with (
        reserved(lab.host, Ports(), Binding(kind, 80, "", 8080, 8080)),
        listener(lab.host, kind, address, 8080, reuse=reuse) as (_, met),
    ):
        assert met == errno.EADDRINUSE


def test_it_refuses_while_nothing_is_translated(lab: Netlab) -> None:
    with reserved(lab.host, Ports(), Binding("tcp", 80, "", 8080, 8080)), pytest.raises(ConnectionRefusedError):
        lab.host.call(socket.create_connection, ("127.0.0.1", 8080), 5)


def test_another_containers_port(lab: Netlab) -> None:
    ports = Ports()
    with reserved(lab.host, ports, Binding("tcp", 80, "", 8080, 8080), owner=OTHER):
        for address, shown in (("", "0.0.0.0:8080"), ("127.0.0.1", "127.0.0.1:8080"), ("::1", "[::1]:8080")):
            with pytest.raises(PortAllocated) as refused:
                lab.host.call(ports.reserve, WEB, [Binding("tcp", 80, address, 8080, 8080)])
            assert str(refused.value) == FAILED + f"Bind for {shown} failed: port is already allocated"
            assert refused.value.status == 500
        with reserved(lab.host, ports, Binding("udp", 80, "", 8080, 8080)):
            pass  # of another protocol


def test_adopted_ports_are_another_containers(lab: Netlab) -> None:
    ports, later = Ports(), Ports()
    with reserved(lab.host, ports, Binding("tcp", 80, "", 8080, 8080), owner=OTHER) as found:
        later.adopt([one.publication for one in found])
        with pytest.raises(PortAllocated):
            lab.host.call(later.reserve, WEB, [Binding("tcp", 80, "", 8080, 8080)])
    later.release(OTHER.sandbox_id)
    with reserved(lab.host, later, Binding("tcp", 80, "", 8080, 8080)):
        pass


@pytest.mark.parametrize(
    ("kind", "taken", "wanted", "shown"),
    [
        ("tcp", "0.0.0.0", "", "0.0.0.0:8080/tcp"),
        ("tcp", "127.0.0.1", "", "0.0.0.0:8080/tcp"),
        ("tcp", "::", "", "0.0.0.0:8080/tcp"),
        ("tcp", "::1", "", "[::]:8080/tcp"),
        ("tcp", "0.0.0.0", "192.0.2.2", "192.0.2.2:8080/tcp"),
        ("udp", "127.0.0.1", "127.0.0.1", "127.0.0.1:8080/udp"),
    ],
)
def test_another_processs_port(lab: Netlab, kind: str, taken: str, wanted: str, shown: str) -> None:
    ports = Ports()
    with listener(lab.host, kind, taken, 8080) as (pid, met):
        assert met == 0
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        with pytest.raises(PortUnavailable) as refused:
            lab.host.call(ports.reserve, WEB, [Binding(kind, 80, wanted, 8080, 8080)])
    assert str(refused.value) == (
        FAILED + f"failed to bind host port {shown}: address already in use (process {pid}, {name}, has it)"
    )
    with reserved(lab.host, ports, Binding(kind, 80, wanted, 8080, 8080)):
        pass  # nothing was left behind


def test_an_address_that_isnt_there(lab: Netlab) -> None:
    with pytest.raises(PortUnavailable) as refused:
        lab.host.call(Ports().reserve, WEB, [Binding("tcp", 80, "203.0.113.9", 8080, 8080)])
    assert str(refused.value) == (
        FAILED + "failed to bind host port 203.0.113.9:8080/tcp: cannot assign requested address"
    )


def test_all_or_none(lab: Netlab) -> None:
    ports = Ports()
    with pytest.raises(PortError):
        lab.host.call(ports.reserve, WEB, [Binding("tcp", 80, "", 8080, 8080), Binding("tcp", 81, "203.0.113.9", 1, 1)])
    with pytest.raises(PortError):
        lab.host.call(ports.reserve, WEB, [Binding("tcp", 80, "", 8080, 8080), Binding("tcp", 81, "", 8080, 8080)])
    with reserved(lab.host, ports, Binding("tcp", 80, "", 8080, 8080), owner=OTHER):
        pass


def test_a_range_gives_its_first_free_port(lab: Netlab) -> None:
    ports, wanted = Ports(), Binding("tcp", 80, "", 8080, 8082)
    with (
        listener(lab.host, "tcp", "::1", 8080),
        reserved(lab.host, ports, Binding("tcp", 80, "", 8081, 8081), owner=OTHER),
        reserved(lab.host, ports, wanted) as found,
    ):
        assert [one.publication.host_port for one in found] == [8082, 8082]
        with pytest.raises(PortAllocated):
            lab.host.call(ports.reserve, WEB, [wanted])


def test_any_port_comes_from_the_dynamic_range(lab: Netlab) -> None:
    lab.host.sysctl("ipv4/ip_local_port_range", "40000 40003")
    ports = Ports()
    with (
        listener(lab.host, "tcp", "::1", 40001),
        reserved(lab.host, ports, Binding("tcp", 80), Binding("tcp", 81), Binding("tcp", 82)) as found,
    ):
        assert [one.publication.host_port for one in found] == [40000, 40000, 40002, 40002, 40003, 40003]
        with pytest.raises(PortError):
            lab.host.call(ports.reserve, WEB, [Binding("tcp", 80)])


def test_the_networks_address_is_the_default(lab: Netlab) -> None:
    bindings = Binding("tcp", 80, "", 8080, 8080), Binding("tcp", 80, "0.0.0.0", 8081, 8081)
    with reserved(lab.host, Ports(), *bindings, default_ip="127.0.0.1") as found:
        assert [one.publication.host_ip for one in found] == ["127.0.0.1", "0.0.0.0"]


def test_a_server_that_just_ended_is_no_hindrance(lab: Netlab) -> None:
    """Its connections wait for a minute; nobody may listen beside us nevertheless."""
    server = lab.host.call(socket.create_server, ("127.0.0.1", 8080))
    with server, lab.host.call(socket.create_connection, ("127.0.0.1", 8080)) as client:
        connection = server.accept()[0]
        connection.close()  # the server closes first: TIME_WAIT is at its port
        assert client.recv(1) == b""
    assert "TIME-WAIT" in lab.host.run("ss", "-tan", "sport = :8080")
    with reserved(lab.host, Ports(), Binding("tcp", 80, "", 8080, 8080)):
        for reuse in (False, True):
            with listener(lab.host, "tcp", "0.0.0.0", 8080, reuse=reuse) as (_, met):
                assert met == errno.EADDRINUSE


def test_sctp_is_published_where_the_kernel_lacks_it(lab: Netlab) -> None:
    with reserved(lab.host, Ports(), Binding("sctp", 80, "127.0.0.1", 8080, 8080)) as found:
        assert facts(found) == [("sctp", "127.0.0.1", 8080, 80)]


# --- the relay -------------------------------------------------------------------------------------------------------


def relayed(lab: Netlab, kind: str, target: tuple[str, int], work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run ``work`` while [::]:8080 of the host is relayed to ``target`` in the same namespace."""

    async def run() -> None:
        relays = Relays()
        with reserved(lab.host, Ports(), Binding(kind, 80, "::", 8080, 8080)) as found:
            relays.start("web", found[0].socket.dup(), target)
            try:
                await asyncio.wait_for(work(), 20)
            finally:
                await relays.close()
            if kind == "tcp":
                with pytest.raises(ConnectionRefusedError):  # the socket is held, and listens no more
                    socket.create_connection(("::1", 8080), 5)

    lab.host.call(asyncio.run, run())


def test_the_relay_passes_both_ways_and_half_closes(lab: Netlab) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        everything = await reader.read()
        writer.write(everything[::-1])
        await writer.drain()
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 80)
        async with server:
            reader, writer = await asyncio.open_connection("::1", 8080)
            writer.write(b"abc" * 1_000_000)
            writer.write_eof()
            assert await reader.read() == b"cba" * 1_000_000
            writer.close()

    relayed(lab, "tcp", ("127.0.0.1", 80), work)


def test_the_relay_serves_so_many_at_once(lab: Netlab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_CLIENTS", 2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 80):
            clients = [await asyncio.open_connection("::1", 8080) for _ in range(3)]
            for reader, _ in clients[:2]:
                assert await reader.readexactly(5) == b"hello"
            waiting = asyncio.ensure_future(clients[2][0].readexactly(5))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            clients[0][1].close()
            assert await waiting == b"hello"
            for _, writer in clients[1:]:
                writer.close()

    relayed(lab, "tcp", ("127.0.0.1", 80), work)


def test_the_relay_resets_when_the_application_refuses(lab: Netlab) -> None:
    async def work() -> None:
        with pytest.raises(ConnectionResetError):
            await ask()

    async def ask() -> bytes:
        reader, _ = await asyncio.open_connection("::1", 8080)
        return await reader.read()

    relayed(lab, "tcp", ("127.0.0.1", 80), work)


def test_the_relay_passes_a_reset_on(lab: Netlab) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)  # closing resets
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def work() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 80):
            reader, writer = await asyncio.open_connection("::1", 8080)
            writer.write(b"?")
            with pytest.raises(ConnectionResetError):
                await reader.read()

    relayed(lab, "tcp", ("127.0.0.1", 80), work)


def test_the_relay_passes_datagrams(lab: Netlab) -> None:
    """Answers come from the address that was asked, and go to the client that asked."""
    loop = asyncio.get_running_loop

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
            self.transport.sendto(data.upper(), client)

    async def work() -> None:
        echo, _ = await loop().create_datagram_endpoint(Echo, ("127.0.0.1", 80))
        clients = []
        for address in ("::1", lab.HOST6):
            one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            one.connect((address, 8080))  # takes datagrams of this address only
            clients.append(one)
        for number, one in enumerate(clients):
            one.send(b"hello %d" % number)
        for number, one in enumerate(clients):
            with one:
                assert await loop().sock_recv(one, 100) == b"HELLO %d" % number
        echo.close()

    relayed(lab, "udp", ("127.0.0.1", 80), work)
