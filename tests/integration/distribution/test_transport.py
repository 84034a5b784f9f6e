"""Servers that speak no HTTP, show certificates that nobody trusts, or have no TLS where it is due."""

import contextlib
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from support.daemon import Sampand
from support.fakeregistry import FakeRegistry
from support.netlab import Space


def test_no_http(shared_sampand: Sampand) -> None:
    """Something that listens and says nonsense."""

    def babble(space: Space) -> socket.socket:
        server = space.call(socket.create_server, ("127.0.0.1", 5002))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = server.accept()
                    with one:
                        one.recv(4096)
                        one.sendall(b"\x00\xffnonsense\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        return server

    with babble(shared_sampand.space):
        answer = shared_sampand.engine.docker("pull", "127.0.0.1:5002/x", timeout=60)
    assert answer.code == 1 and "127.0.0.1:5002/v2/" in answer.err


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority (ca.crt) and certificates for 192.0.2.77: good, self-signed, expired."""
    home = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True)

    (home / "san").write_text("subjectAltName=IP:192.0.2.77\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca",
            "-days", "30")  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "csr", "-subj", "/CN=registry")
    openssl("x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "good.crt",
            "-days", "30", "-extfile", "san")  # fmt: skip
    openssl("x509", "-req", "-in", "csr", "-signkey", "key", "-out", "self.crt", "-days", "30", "-extfile", "san")
    openssl("x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", "old.crt", "-days", "-1",
            "-extfile", "san")  # fmt: skip
    return home


@pytest.mark.parametrize(
    ("certificate", "text"),
    [
        ("self", "tls: failed to verify certificate: self-signed certificate"),
        ("good", "tls: failed to verify certificate: unable to get local issuer certificate"),
        ("old", "tls: failed to verify certificate"),
    ],
)
def test_certificates_that_nobody_trusts(
    shared_sampand: Sampand, certificates: Path, certificate: str, text: str
) -> None:
    space = shared_sampand.space
    space.run("ip", "address", "replace", "192.0.2.77/32", "dev", "lo")
    tls = certificates / f"{certificate}.crt", certificates / "key"
    with FakeRegistry(space, 5003, address="192.0.2.77", tls=tls) as fake:
        fake.image("x", "latest", bytes(1024))
        answer = shared_sampand.engine.docker("pull", "192.0.2.77:5003/x", timeout=60)
        assert answer.code == 1 and text in answer.err, answer.err
        assert not fake.seen


def test_plain_http_is_not_tried_where_nobody_said_so(shared_sampand: Sampand) -> None:
    space = shared_sampand.space
    space.run("ip", "address", "replace", "192.0.2.77/32", "dev", "lo")
    with FakeRegistry(space, 5004, address="192.0.2.77") as fake:
        answer = shared_sampand.engine.docker("pull", "192.0.2.77:5004/x", timeout=60)
        assert "http: server gave HTTP response to HTTPS client" in answer.err
        assert not fake.seen


def test_pulls_that_fail_leave_nothing_in_memory(shared_sampand: Sampand) -> None:
    def resident() -> int:
        assert shared_sampand.process is not None
        status = Path(f"/proc/{shared_sampand.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def pulls(count: int) -> None:
        for _ in range(count):
            answer = shared_sampand.engine.docker("pull", "127.0.0.1:5099/x")
            assert "connection refused" in answer.err

    pulls(10)
    before = resident()
    pulls(40)
    assert resident() - before < 6 << 10  # KiB; a TLS context for each was 700
