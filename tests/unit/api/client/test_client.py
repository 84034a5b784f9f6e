"""The client's HTTP against a server of a few lines that says exactly what a test wants."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan import Client
from sampan.api.client.address import Address, find
from sampan.api.client.client import json_stream
from sampan.api.client.errors import ApiError, ConnectionFailed, InvalidAddress, NotFound, ProtocolError
from sampan.api.client.transport import query_string, quote


class Server:
    """Answers each request with the next of `answers`; keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix://{path}"
        self.answers: list[bytes] = []
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        while self.answers and (line := stream.readline().decode()):
            headers = {}
            while header := stream.readline().strip().decode():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            self.requests.append((line.strip(), self._body(stream, headers)))
            answer = self.answers.pop(0)
            stream.write(answer)
            stream.flush()
            if b"Upgrade" in answer:
                stream.write(b"echo:" + connection.recv(100))
                stream.flush()
                break
        connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _body(stream: object, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return stream.read(int(headers.get("content-length", "0")))
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
        return body

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on a socket of its own."""
    one = Server(tmp_path / "d.sock")
    yield one
    one.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of it that asks for no version."""
    with Client(server.address, version="1.45", timeout=5) as one:
        yield one


def test_connections_are_kept(server: Server, client: Client) -> None:
    server.answers = [answer(b'{"a":1}'), answer(b""), answer(b"[]")]
    assert client.info() == {"a": 1}
    client.start_container("x y/é")
    assert client.containers(everything=True, filters={"name": ["a", "b"]}) == []
    assert server.connections == 1
    filters = quote('{"name":{"a":true,"b":true}}')
    assert [line for line, _ in server.requests] == [
        "GET /v1.45/info HTTP/1.1",
        "POST /v1.45/containers/x%20y%2F%C3%A9/start HTTP/1.1",
        f"GET /v1.45/containers/json?all=1&filters={filters} HTTP/1.1",
    ]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = [
    (CHUNKED + b'5\r\n{"a":\r\n3;x=y\r\n1}\n\r\n0\r\nT: 1\r\n\r\n', {"a": 1}),
    (b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a":1}', {"a": 1}),
    (b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"a":1}', {"a": 1}),
    (b"HTTP/1.1 204 No Content\r\n\r\n", None),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", None),
]


@pytest.mark.parametrize(("raw", "expected"), BODIES)
def test_every_framing(server: Server, client: Client, raw: bytes, expected: object) -> None:
    server.answers = [raw]
    assert client.call("GET", "/x") == expected


TORN = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "unexpected EOF"),
    (CHUNKED + b"5\r\n{", "unexpected EOF"),
    (CHUNKED + b"zz\r\n", "malformed chunk size"),
    (b"HTTP/1.1 200", "unexpected EOF"),
    (b"SSH-2.0-x\r\n\r\n", "malformed HTTP response"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300000, "longer than 256 KiB"),
]


@pytest.mark.parametrize(("raw", "fault"), TORN)
def test_torn_answers(server: Server, client: Client, raw: bytes, fault: str) -> None:
    server.answers = [raw]
    with pytest.raises(ProtocolError, match=fault):
        client.call("GET", "/x")


ERRORS = [
    (answer(b'{"message":"no such x"}\n', "Content-Type: application/json", status="404 N"), 404, "no such x"),
    (answer(b'{"m":1}', "Content-Type: application/json", status="500 E"), 500, '{"m":1}'),
    (answer(b"plain\n", status="400 B"), 400, "plain"),
    (answer(b"", status="503 S"), 503, "request returned 503 for API route and version /v1.45/x, check if the server"),
]


@pytest.mark.parametrize(("raw", "status", "message"), ERRORS)
def test_errors_of_the_daemon(server: Server, client: Client, raw: bytes, status: int, message: str) -> None:
    server.answers = [raw]
    with pytest.raises(ApiError) as caught:
        client.call("GET", "/x")
    assert caught.value.status == status
    assert caught.value.message.startswith(message)
    assert str(caught.value).startswith(f"Error response from daemon: {message}")
    assert isinstance(caught.value, NotFound) == (status == 404)


VERSIONS = [("Api-Version: 1.45", "1.45"), ("Api-Version: 1.99", "1.51"), ("X: y", "1.24"), ("Api-Version: 1.9", "1.9")]


@pytest.mark.parametrize(("header", "version"), VERSIONS)
def test_the_version_that_both_know(server: Server, header: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_API_VERSION", raising=False)
    server.answers = [answer(b"", header)]
    assert Client(server.address, timeout=5).version == version


def test_bodies_are_sent(server: Server, client: Client) -> None:
    server.answers = [answer(b'{"Id":"1"}', status="201 C"), answer(b""), answer(b"")]
    client.create_container({"Cmd": ["\udcff", "é"]}, name="n")
    client.read(client.load_images(iter([b"ab", b"", b"c"])))
    client.read(client.import_image([("fromSrc", "-")], iter(())))
    assert json.loads(server.requests[0][1]) == {"Cmd": ["�", "é"]}
    assert [body for _, body in server.requests[1:]] == [b"abc", b""]


def test_an_idle_connection_that_was_closed_is_made_again(server: Server, client: Client) -> None:
    server.answers = [answer(b"1")]
    assert client.call("GET", "/x") == 1
    server.answers = [answer(b"2")]
    assert client.call("GET", "/x") == 2


def test_taking_over(server: Server, client: Client) -> None:
    head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/vnd.docker."
    server.answers = [head + b"raw-stream\r\n\r\nearly "]
    stream = client.attach_container("x", stdin=True, stdout=True, stderr=False, detach_keys="ctrl-a")
    assert not stream.multiplexed
    stream.socket.send(b"hi")
    data = stream.early
    while piece := stream.socket.recv(100):
        data += piece
    assert data == b"early echo:hi"
    assert "attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a " in server.requests[0][0]


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(
        ConnectionFailed, match=r"^Cannot connect to the Docker daemon at unix:///.*Is the docker daemon"
    ):
        Client(f"unix://{tmp_path}/none.sock", version="1.45").info()


def test_streams_of_json() -> None:
    text = '{"a":"é😀"}\n{"b":2}{"c":[3]}\r\n'.encode()
    for size in (1, 2, 3, 7, 100):
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(json_stream(chunks)) == [{"a": "é😀"}, {"b": 2}, {"c": [3]}]
    with pytest.raises(ProtocolError, match=r"unexpected end of JSON input"):
        list(json_stream([b'{"a":']))


ADDRESSES = [
    ("unix:///x/y.sock", ("unix", "/x/y.sock", "", 0)),
    ("tcp://h:1", ("tcp", "", "h", 1)),
    ("tcp://h", ("tcp", "", "h", 2375)),
    ("tcp://[::1]:5/x", ("tcp", "", "::1", 5)),
    ("tcp://:7", ("tcp", "", "localhost", 7)),
]


@pytest.mark.parametrize(("text", "parts"), ADDRESSES)
def test_addresses(text: str, parts: tuple[str, str, str, int]) -> None:
    address = Address(text)
    assert (address.family, address.path, address.host, address.port) == parts


@pytest.mark.parametrize("text", ["x", "fd://3", "ssh://h", "tcp://h:x"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(InvalidAddress, match=r"^Failed to initialize: unable to resolve docker endpoint: "):
        Address(text)


def test_which_daemon() -> None:
    environ = {"SAMPAN_HOST": "unix:///s", "DOCKER_HOST": "unix:///d", "XDG_RUNTIME_DIR": "/run/user/5"}
    assert find(["h:1"], environ).text == "tcp://h:1"
    assert find([], environ).path == "/s"
    assert find([], {"DOCKER_HOST": "unix:///d"}).chosen
    own = find([], {})
    assert (own.chosen, own.path.endswith("/sampan/sampan.sock")) == (False, True)
    with pytest.raises(InvalidAddress, match=r"Specify only one -H"):
        find(["a", "b"], {})


def test_queries() -> None:
    assert query_string([("a", "b c/&"), ("é", "")]) == "?a=b%20c%2F%26&%C3%A9="
    assert query_string([]) == ""
