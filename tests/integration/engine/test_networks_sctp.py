"""SCTP through published ports, where the kernel has it: ``VM_TESTS=tests/integration/engine/test_networks_sctp.py
make test-vm``. By the bare API: the machine has no docker CLI.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from support import daemon
from support.daemon import Sampand
from support.http import ask, load
from support.images import BUSYBOX, busybox_archive
from support.netlab import Box, Netlab, Space, netlab

SCTP = 132  # IPPROTO_SCTP
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Netlab]:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError as error:
        pytest.skip(f"SCTP: {error}")
    with netlab() as one:
        yield one


def created(engine: str, path: str, body: dict[str, Any]) -> Any:
    status, answer = ask(engine, "POST", path, body)
    assert status < 300, answer
    return answer


@contextlib.contextmanager
def served(box: Space, clients: int) -> Iterator[None]:
    """A server in a namespace that tells so many clients their address."""
    with box.call(socket.socket, socket.AF_INET, socket.SOCK_STREAM, SCTP) as server:
        server.settimeout(PATIENCE_S)
        server.bind(("", 80))
        server.listen()

        def serve() -> None:
            with contextlib.suppress(TimeoutError):
                for _ in range(clients):
                    one, peer = server.accept()
                    with one:
                        one.sendall(peer[0].encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def heard(space: Space, address: str, port: int) -> str:
    """What a server says to a client in a namespace."""
    with space.call(socket.socket, socket.AF_INET, socket.SOCK_STREAM, SCTP) as one:
        one.settimeout(PATIENCE_S)
        one.connect((address, port))
        return one.recv(100).decode()


def test_sctp_reaches_a_published_port(lab: Netlab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "START_S", 120.0)  # in an emulated machine
    with Sampand(space=lab.host) as sampand:
        engine = sampand.engine.host
        load(engine, busybox_archive())
        body = {
            "Image": BUSYBOX,
            "Cmd": ["sleep", "1000"],
            "ExposedPorts": {"80/sctp": {}},
            "HostConfig": {"PortBindings": {"80/sctp": [{"HostPort": "8080"}]}},
        }
        container = created(engine, "/containers/create", body)["Id"]
        created(engine, f"/containers/{container}/start", {})
        state = ask(engine, "GET", f"/containers/{container}/json")[1]["State"]
        box = Box("web", state["Pid"])
        with contextlib.closing(box), served(box, 4):
            assert heard(lab.outside, Netlab.HOST4, 8080) == Netlab.OUTSIDE4
            assert heard(lab.host, "127.0.0.1", 8080) == "172.17.0.1"
            assert heard(lab.host, Netlab.HOST4, 8080) == Netlab.HOST4
            assert heard(box, Netlab.HOST4, 8080) == "172.17.0.1"
