"""Ways to a registry: TLS with a private authority and a client's certificate, a token server, mirrors, limits."""

import base64
import contextlib
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support.daemon import Sampand
from support.fakeregistry import FakeRegistry, digest_of, send, serving
from support.images import BUSYBOX, save_archive
from support.privileges import root_or_skip
from support.registry import PASSWORD, USER, Registry

ADDRESS = "192.0.2.77"


def openssl(home: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    return subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True, input=stdin).stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.crt, ca.key; a certificate for ADDRESS (registry.crt) and one for a client (client.crt), both of ``key``."""
    home = tmp_path_factory.mktemp("authority")
    (home / "san").write_text(f"subjectAltName=IP:{ADDRESS}\n")
    request = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(home, *request, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "30")
    openssl(home, *request, "-keyout", "key", "-out", "csr", "-subj", "/CN=someone")
    for name, more in (("registry", ("-extfile", "san")), ("client", ())):
        openssl(home, "x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.crt", "-days", "30", *more)  # fmt: skip
    return home


@contextlib.contextmanager
def configured(tmp_path: Path, **settings: object) -> Iterator[Sampand]:
    """A daemon with a daemon.json, an image, and ADDRESS on its loopback."""
    root_or_skip()
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(settings))
    with Sampand("--config-file", str(file)) as one:
        one.space.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        one.engine.load_busybox()
        yield one


@pytest.fixture
def certs_d(authority: Path) -> Iterator[Path]:
    """The machine's own /etc/sampan/certs.d has ADDRESS:5443 for the time of a test."""
    root_or_skip()
    place = Path("/etc/sampan/certs.d") / f"{ADDRESS}:5443"
    made = [one for one in (place.parent.parent, place.parent, place) if not one.exists()]
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
    try:
        yield place
    finally:
        for one in place.iterdir():
            one.unlink()
        for one in reversed(made):
            one.rmdir()


def test_a_private_authority(authority: Path, certs_d: Path, tmp_path: Path) -> None:
    tls = authority / "registry.crt", authority / "key"
    with configured(tmp_path) as sampand, Registry(sampand.space, 5443, address=ADDRESS, tls=tls):
        name = f"{ADDRESS}:5443/a/b:1"
        sampand.engine.ok("tag", BUSYBOX, name)
        sampand.engine.ok("push", name)
        sampand.engine.ok("rmi", "-f", name, BUSYBOX)
        sampand.engine.ok("pull", name)
        (certs_d / "half.cert").write_bytes((authority / "client.crt").read_bytes())
        answer = sampand.engine.docker("pull", name)
        assert answer.code == 1 and "missing key half.key for client certificate half.cert" in answer.err
        (certs_d / "half.key").write_bytes((authority / "key").read_bytes())
        sampand.engine.ok("pull", name)


def test_an_insecure_registry(tmp_path: Path) -> None:
    """Plain HTTP at an address that isn't the loopback's."""
    settings = {"insecure-registries": [f"{ADDRESS}:5005"]}
    with configured(tmp_path, **settings) as sampand, Registry(sampand.space, 5005, address=ADDRESS):
        name = f"{ADDRESS}:5005/a:1"
        sampand.engine.ok("tag", BUSYBOX, name)
        sampand.engine.ok("push", name)
        assert "up to date" in sampand.engine.ok("pull", name)


class TokenServer(FakeRegistry):
    """Gives tokens, signed as docker-registry wants them, to USER; to nobody else rights."""

    def __init__(self, sampand: Sampand, authority: Path) -> None:
        super().__init__(sampand.space, 5001)
        self.authority = authority
        self.answers["GET /token"] = self.token

    def token(self, handler: Any) -> None:
        given = handler.headers.get("Authorization", "")
        if given and given != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            send(handler, 401)
            return
        asked = parse_qs(urlsplit(handler.path).query)
        rights = []
        for scope in asked.get("scope", []) if given else []:
            kind, name, actions = scope.split(":")
            rights.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": "tests", "sub": USER, "aud": asked["service"][0], "exp": now + 60, "nbf": now - 5, "iat": now,
                  "jti": str(len(self.seen)), "access": rights}  # fmt: skip
        der = openssl(self.authority, "x509", "-in", "registry.crt", "-outform", "DER")
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(packed(json.dumps(one).encode()) for one in (head, claims))
        signature = openssl(self.authority, "dgst", "-sha256", "-sign", "key", stdin=signed)
        send(handler, 200, json.dumps({"token": (signed + b"." + packed(signature)).decode()}).encode())


def packed(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def test_a_token_server(sampand: Sampand, authority: Path, tmp_path: Path) -> None:
    sampand.engine.load_busybox()
    settings = {
        "realm": "http://127.0.0.1:5001/token",
        "service": "tests",
        "issuer": "tests",
        "rootcertbundle": str(authority / "ca.crt"),
    }
    environment = sampand.engine.environment | {"DOCKER_CONFIG": str(tmp_path)}

    def docker(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = sampand.engine.argv(*arguments)
        return subprocess.run(argv, env=environment, input=stdin, capture_output=True, check=False)

    with TokenServer(sampand, authority) as tokens, Registry(sampand.space, token=settings):
        name = "127.0.0.1:5000/a/b:1"
        sampand.engine.ok("tag", BUSYBOX, name)
        assert docker("push", name).returncode == 1
        wrong = docker("login", "-u", USER, "--password-stdin", "127.0.0.1:5000", stdin=b"wrong")
        assert wrong.returncode == 1 and b"incorrect username or password" in wrong.stderr, wrong
        done = docker("login", "-u", USER, "--password-stdin", "127.0.0.1:5000", stdin=PASSWORD.encode())
        assert done.returncode == 0, done
        pushed = docker("push", name)
        assert pushed.returncode == 0, pushed
        sampand.engine.ok("rmi", "-f", name, BUSYBOX)
        assert docker("pull", name).returncode == 0
        scopes = {scope for path in tokens.asked() for scope in parse_qs(urlsplit(path).query).get("scope", [])}
        assert {"repository:a/b:pull", "repository:a/b:pull,push"} <= scopes


def test_mirrors(tmp_path: Path) -> None:
    """One that is down, one that hasn't got it, one that has; for Docker Hub and for another registry."""
    down, empty, full = "http://127.0.0.1:1", "http://127.0.0.1:5010", "http://127.0.0.1:5011"
    settings = {"registry-mirrors": [down, empty, full], "mirrors": {f"{ADDRESS}:5009": [down, full]}}
    with (
        configured(tmp_path, **settings) as sampand,
        FakeRegistry(sampand.space, 5010) as lacking,
        FakeRegistry(sampand.space, 5011) as mirror,
    ):
        layer = b"\0" * 1024
        for repository in ("library/thing", "other"):
            mirror.image(repository, "latest", layer)
        said = sampand.engine.ok("pull", "thing")
        assert said.splitlines()[-1] == "docker.io/library/thing:latest"
        assert "thing:latest" in sampand.engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
        assert lacking.asked() == ["/v2/library/thing/manifests/latest"]
        sampand.engine.ok("pull", f"{ADDRESS}:5009/other")
        assert f"/v2/other/blobs/{digest_of(layer)}" not in mirror.asked()  # it is here already
        assert all("Authorization" not in headers for _, _, headers in mirror.seen)


def test_a_mirror_that_breaks_off_hands_over_to_the_registry(tmp_path: Path) -> None:
    mirrors = {"127.0.0.1:5012": ["http://127.0.0.1:5011"]}
    with (
        configured(tmp_path, mirrors=mirrors) as sampand,
        FakeRegistry(sampand.space, 5011) as mirror,
        FakeRegistry(sampand.space, 5012) as origin,
    ):
        layer = bytes(1 << 20)
        for one in (mirror, origin):
            one.image("x", "latest", layer)
        path = f"/v2/x/blobs/{digest_of(layer)}"

        def breaking(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(layer)))
            handler.end_headers()
            handler.wfile.write(layer[: 1 << 19])
            handler.close_connection = True

        mirror.answers[f"GET {path}"] = breaking
        sampand.engine.ok("pull", "127.0.0.1:5012/x")
        ranges = [headers.get("Range") for _, asked, headers in origin.seen if asked == path]
        assert ranges == [f"bytes={1 << 19}-"]


def test_many_layers_to_a_registry_with_a_password(sampand: Sampand, tmp_path: Path) -> None:
    """Its first requests go at once, all of them without credentials: each is to be asked again."""
    name = "127.0.0.1:5000/many:1"
    archive = tmp_path / "many.tar"
    archive.write_bytes(save_archive([tar_block(number) for number in range(10)], {}, [name]))
    sampand.engine.ok("load", "-i", str(archive))
    environment = sampand.engine.environment | {"DOCKER_CONFIG": str(tmp_path)}

    def docker(*arguments: str, stdin: bytes = b"") -> None:
        argv = sampand.engine.argv(*arguments)
        done = subprocess.run(argv, env=environment, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done

    with Registry(sampand.space, password=True) as registry:
        docker("login", "-u", USER, "--password-stdin", registry.host, stdin=PASSWORD.encode())
        for _ in range(5):
            docker("push", name)
            registry.empty()


def test_so_many_downloads_at_once(tmp_path: Path) -> None:
    with configured(tmp_path, **{"max-concurrent-downloads": 2}) as sampand, FakeRegistry(sampand.space) as fake:
        layers = [tar_block(number) for number in range(6)]
        fake.image("many", "latest", *layers)
        running, most = [0], [0]
        for layer in layers:
            key = f"GET /v2/many/blobs/{digest_of(layer)}"
            plain = fake.answers[key]

            def slowly(handler: Any, plain: Any = plain) -> None:
                running[0] += 1
                most[0] = max(most[0], running[0])
                time.sleep(0.1)
                plain(handler)
                running[0] -= 1

            fake.answers[key] = slowly
        sampand.engine.ok("pull", "127.0.0.1:5000/many")
        assert most[0] == 2


def tar_block(number: int) -> bytes:
    """A tar archive with one empty file of this name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"file{number}"))
    return buffer.getvalue()


# --- import from a web server ----------------------------------------------------------------------------------------


def test_an_archive_from_a_web_server(sampand: Sampand) -> None:
    with FakeRegistry(sampand.space, 5050) as server:
        server.answers["GET /root.tar"] = lambda handler: send(handler, 302, Location="/there.tar")
        server.answers["GET /there.tar"] = serving(tar_block(1), "application/x-tar")
        url = "http://127.0.0.1:5050/root.tar"
        said = sampand.engine.ok("import", "--change", "CMD /file1", "-m", "from there", url, "web:1").splitlines()
        assert said[0] == f"Downloading from {url}"
        assert said[1] == sampand.engine.look("web:1", "{{.Id}}")
        assert sampand.engine.look("web:1", "{{.Comment}} {{.Config.Cmd}}") == "from there [/bin/sh -c /file1]"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("http://127.0.0.1:5050/none.tar", "failed to GET http://127.0.0.1:5050/none.tar with status 404 Not Found"),
        ("http://127.0.0.1:5050/file", 'redirects to "file:///etc/passwd", which is not HTTP'),
        ("http://127.0.0.1:5050/half", "unexpected EOF"),
        ("http://127.0.0.1:5050/html", ""),
        ("http://127.0.0.1:1/x", "dial tcp 127.0.0.1:1: connect: connection refused"),
        ("http://u:p@127.0.0.1:5050/x", "only http and https URLs without credentials"),
    ],
)
def test_web_servers_that_have_none(shared_sampand: Sampand, source: str, text: str) -> None:
    def half(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(tar_block(1)[:700])
        handler.close_connection = True

    before = shared_sampand.engine.ok("images", "-aq")
    with FakeRegistry(shared_sampand.space, 5050) as server:
        server.answers["GET /file"] = lambda handler: send(handler, 302, Location="file:///etc/passwd")
        server.answers["GET /half"] = half
        server.answers["GET /html"] = serving(b"<html>" * 1000, "text/html")
        answer = shared_sampand.engine.docker("import", source, "web:1")
    assert answer.code == 1 and text in answer.err, answer
    assert shared_sampand.engine.ok("images", "-aq") == before
