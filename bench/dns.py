"""How many DNS answers a second one core gives: the resolver in a process of its own, asked by another.

    python bench/dns.py [SECONDS]

Prints answers per second of processor time of the resolver, for one address, for a name with three, for a reverse
look-up, and for the codec alone. Needs no root: the sockets are of this network namespace, on 127.0.0.11.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import struct
import sys
import time
from multiprocessing.connection import Connection

from sampan.network.dns import sockets
from sampan.network.dns.forward import Exits, Forwarder
from sampan.network.dns.server import Resolver
from sampan.network.model import Endpoint, Network, Pool
from sampan.network.names import Names

WINDOW = 16  # questions on the way at once

CASES = (("A", "web", 1), ("A, three addresses", "www", 1), ("PTR", "2.0.0.10.in-addr.arpa", 12))


def query(name: str, kind: int) -> bytes:
    """Return a question as a client sends it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def resolver() -> Resolver:
    """Return a resolver that knows three containers on one network."""
    names = Names()
    network = Network("a" * 64, "mynet", ipv4=(Pool("10.0.0.0/24", "10.0.0.1"),))
    names.add_network(network)
    for number, name in enumerate(("web", "web2", "web3")):
        address = f"10.0.0.{number + 2}/24"
        names.put(Endpoint(name, network.id, name, ipv4=address, dns_names=(name, "www")))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    udp.bind(("127.0.0.11", 0))
    tcp.bind(("127.0.0.11", 0))
    netns = os.open("/proc/self/ns/net", os.O_RDONLY)
    forwarder = Forwarder(Exits(), netns, (), external=False)
    os.close(netns)
    return Resolver("web", sockets.Sockets(udp, tcp), names, forwarder)


def serve(pipe: Connection) -> None:
    """Answer until told to stop; tell the port, then the processor time at each request."""

    async def run() -> None:
        one = resolver()
        await one.start()
        pipe.send(one.sockets.udp_port)
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def told() -> None:
            if pipe.recv():
                pipe.send(time.process_time())
            else:
                done.set()

        loop.add_reader(pipe.fileno(), told)
        await done.wait()
        await one.close()

    asyncio.run(run())


def ask(port: int, packet: bytes, seconds: float) -> int:
    """Keep questions on the way for some time; return how many were answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.11", port))
        client.settimeout(1)
        for _ in range(WINDOW):
            client.send(packet)
        answered, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            client.recv(4096)
            client.send(packet)
            answered += 1
    return answered


def main() -> None:
    """Run every case."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,))
    server.start()
    port = ours.recv()
    for title, name, kind in CASES:
        ours.send(True)
        before = ours.recv()
        answered = ask(port, query(name, kind), seconds)
        ours.send(True)
        spent = ours.recv() - before
        print(f"{title:20} {answered / spent:9,.0f} answers a second of one core ({answered / seconds:,.0f} seen)")
    ours.send(False)
    server.join()
    one, packet = resolver(), query("web", 1)
    begin = time.process_time()
    for _ in range(20_000):
        one.answer(packet)
    print(f"{'A, without sockets':20} {20_000 / (time.process_time() - begin):9,.0f}")


if __name__ == "__main__":
    main()
