"""`Client`: a method for each end point of the Engine API that Sampan's own tools use.

Bodies and answers are the API's plain JSON (dicts and lists with the API's own names). A client may be used from
several threads: each request has a connection to itself, and idle connections are kept for the next one.
"""

from __future__ import annotations

import json
import os

from sampan.api.client.address import Address, find
from sampan.api.client.errors import ApiError, ClientError, ProtocolError, from_status
from sampan.api.client.transport import Connection, Response, query_string, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Any

    Json = dict[str, Any]
    Filters = Mapping[str, Iterable[str]]

API_VERSION = "1.51"  # the newest that this client knows; older daemons are spoken to in theirs
FALLBACK_VERSION = "1.24"  # of a daemon whose ping does not tell
_PATH = "/:@"  # what stays as it is in the name of an image in a path


class Stream:
    """A connection that carries a container's streams; `early` is what came right behind the answer's head."""

    __slots__ = ("early", "multiplexed", "socket")

    def __init__(self, socket: _socket.socket, early: bytes, *, multiplexed: bool) -> None:
        self.socket = socket
        self.early = early
        self.multiplexed = multiplexed


class Waiting:
    """A ``wait`` that the daemon has accepted: what happens from now on is not missed."""

    __slots__ = ("_client", "_response")

    def __init__(self, client: Client, response: Response) -> None:
        self._client = client
        self._response = response

    def result(self) -> Json:
        """Block until the condition holds: ``{"StatusCode": 0, "Error": {"Message": …}|None}``."""
        answer: Json = self._client.decode(self._response)
        return answer


class Client:
    """A client of one daemon.

    `address` is ``unix:///path`` or ``tcp://host:port``; without it SAMPAN_HOST, DOCKER_HOST or the default socket
    is used. `version` fixes the API version (default: the newest that both sides know). `timeout` in seconds bounds
    each wait for the daemon. Every method raises `ApiError` (its `status` and `message` are the daemon's),
    `ConnectionFailed` or `ProtocolError`.
    """

    def __init__(
        self, address: str | Address | None = None, *, version: str | None = None, timeout: float | None = None
    ) -> None:
        environ = os.environ
        if not isinstance(address, Address):
            address = Address(address) if address else find([], environ)
        self.address = address
        self.timeout = timeout
        self.headers: dict[str, str] = {"User-Agent": "Sampan-Client"}
        self.server: dict[str, str] = {}  # headers of the last ping, names in lower case
        self._version = version or environ.get("DOCKER_API_VERSION") or ""
        self._idle: list[Connection] = []

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close idle connections."""
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().close()

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────

    def request(
        self,
        method: str,
        path: str,
        query: Iterable[tuple[str, str]] = (),
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request to `path` (below the version) and return the answer, whose body is still to be read.

        `body` is JSON to encode, bytes, or an iterable of bytes. An answer of 400 and up is raised as ApiError.
        """
        target = f"/v{self.version}{path}{query_string(query)}"
        response = self._exchange(method, target, body, headers)
        if response.status >= 400:
            raise self._error(response, target)
        return response

    def call(self, method: str, path: str, query: Iterable[tuple[str, str]] = (), body: object = None) -> Any:
        """`request`, and the answer's JSON (None for an empty body)."""
        return self.decode(self.request(method, path, query, body))

    def decode(self, response: Response) -> Any:
        """Read the body to its end, keep the connection for the next request, and parse the JSON."""
        data = self.read(response)
        return json.loads(data) if data.strip() else None

    def read(self, response: Response) -> bytes:
        """Read the body to its end and keep the connection for the next request."""
        data = response.read()
        if response.reusable:
            response.connection.reused = True
            self._idle.append(response.connection)
        else:
            response.close()
        return data

    def upgrade(self, path: str, query: Iterable[tuple[str, str]] = (), body: object = None) -> Stream:
        """POST to `path` and take the connection over for a container's streams."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = self.request("POST", path, query, b"" if body is None else body, headers)
        multiplexed = response.headers.get("content-type") != "application/vnd.docker.raw-stream"
        sock, early = response.connection.take_over()
        return Stream(sock, early, multiplexed=multiplexed)

    @property
    def version(self) -> str:
        """The API version that requests are made in; asks the daemon the first time."""
        if not self._version:
            self.ping()
        return self._version

    def _exchange(self, method: str, target: str, body: object, headers: Mapping[str, str] | None) -> Response:
        raw, all_headers = _encode(body), {**self.headers, **(headers or {})}
        if body is not None and raw is not body:
            all_headers["Content-Type"] = "application/json"
        elif headers and "Upgrade" in headers:
            all_headers["Content-Type"] = "text/plain"
        while True:
            connection = self._idle.pop() if self._idle else Connection(self.address, self.timeout)
            try:
                return self._once(connection, method, target, all_headers, raw)
            except (OSError, ProtocolError):
                connection.close()
                # A daemon may close an idle connection at any time; asking again is safe where nothing is changed.
                if not (connection.reused and method in {"GET", "HEAD"}):
                    raise

    @staticmethod
    def _once(
        connection: Connection, method: str, target: str, headers: dict[str, str], body: bytes | Iterable[bytes] | None
    ) -> Response:
        try:
            connection.send_request(method, target, headers, body)
        except (BrokenPipeError, ConnectionResetError):
            # The daemon may refuse an upload before it has read all of it: what it said is more useful than EPIPE.
            if body is None:
                raise
        try:
            return connection.read_response(method)
        except ConnectionResetError as error:
            raise ProtocolError("the daemon closed the connection") from error

    def _error(self, response: Response, target: str) -> ApiError:
        data = self.read(response).strip()
        if not data:
            message = (
                f"request returned {response.status} for API route and version {target}, "
                "check if the server supports the requested API version"
            )
        elif response.headers.get("content-type", "").startswith("application/json"):
            try:
                message = str(json.loads(data)["message"]).strip()
            except (ValueError, KeyError, TypeError):
                message = data.decode(errors="replace")
        else:
            message = data.decode(errors="replace")
        return from_status(response.status, message)

    # ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────────

    def ping(self) -> dict[str, str]:
        """The headers of HEAD /_ping: ``api-version``, ``ostype``, ``builder-version`` … Settles the API version."""
        response = self._exchange("HEAD", "/_ping", None, None)
        self.read(response)
        self.server = response.headers
        if not self._version:
            theirs = response.headers.get("api-version") or FALLBACK_VERSION
            self._version = min(theirs, API_VERSION, key=_version_key)
        return response.headers

    def server_version(self) -> Json:
        """GET /version."""
        answer: Json = self.call("GET", "/version")
        return answer

    def info(self) -> Json:
        """GET /info."""
        answer: Json = self.call("GET", "/info")
        return answer

    def events(self, *, since: str = "", until: str = "", filters: Filters | None = None) -> Iterator[Json]:
        """GET /events: each event as it comes; ends at `until`. Times are seconds since the epoch, or RFC 3339."""
        query = [(k, v) for k, v in (("since", since), ("until", until)) if v] + _filters(filters)
        return json_stream(self.request("GET", "/events", query).chunks())

    def stop_daemon(self) -> None:
        """POST /sampan/v1/stop: the daemon ends; containers go on."""
        response = self._exchange("POST", "/sampan/v1/stop", None, None)
        if response.status >= 400:
            raise self._error(response, "/sampan/v1/stop")
        self.read(response)

    # ── containers ───────────────────────────────────────────────────────────────────────────────────────────────

    def containers(
        self, *, everything: bool = False, limit: int = -1, size: bool = False, filters: Filters | None = None
    ) -> list[Json]:
        """GET /containers/json: summaries, newest first; `limit` takes the last so many, ended ones too."""
        flags = (
            ("all", "1" if everything else ""),
            ("limit", str(limit) if limit > 0 else ""),
            ("size", "1" if size else ""),
        )
        answer: list[Json] = self.call("GET", "/containers/json", [f for f in flags if f[1]] + _filters(filters))
        return answer

    def create_container(self, body: Json, *, name: str = "", platform: str = "") -> Json:
        """POST /containers/create: ``{"Id": …, "Warnings": […]}``."""
        query = [(k, v) for k, v in (("name", name), ("platform", platform)) if v]
        endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        if _version_key(self.version) < (1, 44) and any((e or {}).get("MacAddress") for e in endpoints.values()):
            needs = "requires API version 1.44, but the Docker daemon API version is"
            raise ClientError(f'"specify mac-address per network" {needs} {self.version}')
        answer: Json = self.call("POST", "/containers/create", query, body)
        return answer

    def inspect_container(self, ref: str, *, size: bool = False) -> Json:
        """GET /containers/{ref}/json."""
        answer: Json = json.loads(self.inspect_container_raw(ref, size=size))
        return answer

    def inspect_container_raw(self, ref: str, *, size: bool = False) -> bytes:
        """`inspect_container` as the daemon's own bytes."""
        return self.read(self.request("GET", f"/containers/{_ref(ref)}/json", [("size", "1")] if size else []))

    def start_container(self, ref: str) -> list[str]:
        """POST /containers/{ref}/start; nothing happens when it runs already. Returns a sampand's warnings."""
        response = self.request("POST", f"/containers/{_ref(ref)}/start")
        self.read(response)
        warnings: list[str] = json.loads(response.headers.get("sampan-warnings") or "[]")
        return warnings

    def stop_container(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        """POST /containers/{ref}/stop: `signal`, then SIGKILL after `timeout` seconds (-1: never)."""
        self.call("POST", f"/containers/{_ref(ref)}/stop", _stop_query(timeout, signal))

    def restart_container(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        """POST /containers/{ref}/restart."""
        self.call("POST", f"/containers/{_ref(ref)}/restart", _stop_query(timeout, signal))

    def kill_container(self, ref: str, signal: str = "") -> None:
        """POST /containers/{ref}/kill: send `signal` (name or number; default SIGKILL)."""
        self.call("POST", f"/containers/{_ref(ref)}/kill", [("signal", signal)] if signal else [])

    def remove_container(self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        """DELETE /containers/{ref}; `volumes` takes its anonymous volumes too."""
        query = [(k, "1") for k, on in (("v", volumes), ("link", link), ("force", force)) if on]
        self.call("DELETE", f"/containers/{_ref(ref)}", query)

    def rename_container(self, ref: str, name: str) -> None:
        """POST /containers/{ref}/rename."""
        self.call("POST", f"/containers/{_ref(ref)}/rename", [("name", name)])

    def wait_container(self, ref: str, condition: str = "") -> Waiting:
        """POST /containers/{ref}/wait: `condition` is "" (not running), "next-exit" or "removed"."""
        query = [("condition", condition)] if condition else []
        return Waiting(self, self.request("POST", f"/containers/{_ref(ref)}/wait", query))

    def attach_container(
        self, ref: str, *, stdin: bool, stdout: bool, stderr: bool, detach_keys: str = "", logs: bool = False
    ) -> Stream:
        """POST /containers/{ref}/attach, taken over."""
        flags = (("stdin", stdin), ("stdout", stdout), ("stderr", stderr), ("logs", logs))
        query = [("stream", "1")] + [(name, "1") for name, on in flags if on]
        if detach_keys:
            query.append(("detachKeys", detach_keys))
        return self.upgrade(f"/containers/{_ref(ref)}/attach", query)

    def resize_container(self, ref: str, height: int, width: int) -> None:
        """POST /containers/{ref}/resize, in characters."""
        self.call("POST", f"/containers/{_ref(ref)}/resize", [("h", str(height)), ("w", str(width))])

    def logs(self, ref: str, **options: str | bool) -> Response:
        """GET /containers/{ref}/logs: the stream, framed unless the container has a terminal.

        Options are the API's: stdout, stderr, follow, timestamps, details, since, until, tail.
        """
        query = [(k, "1" if v is True else v) for k, v in options.items() if v]
        return self.request("GET", f"/containers/{_ref(ref)}/logs", query)

    def top(self, ref: str, ps_args: str = "") -> Json:
        """GET /containers/{ref}/top: ``{"Titles": […], "Processes": [[…], …]}``."""
        answer: Json = self.call("GET", f"/containers/{_ref(ref)}/top", [("ps_args", ps_args)] if ps_args else [])
        return answer

    def export_container(self, ref: str) -> Response:
        """GET /containers/{ref}/export: a tar stream."""
        return self.request("GET", f"/containers/{_ref(ref)}/export")

    def container_changes(self, ref: str) -> list[Json]:
        """GET /containers/{ref}/changes: ``[{"Path": …, "Kind": 0 | 1 | 2}]``."""
        return self.call("GET", f"/containers/{_ref(ref)}/changes") or []

    def commit_container(self, query: Iterable[tuple[str, str]]) -> str:
        """POST /commit with the API's parameters: the new image's ID."""
        return str(self.call("POST", "/commit", query)["Id"])

    def create_exec(self, ref: str, body: Json) -> str:
        """POST /containers/{ref}/exec: the new session's ID."""
        return str(self.call("POST", f"/containers/{_ref(ref)}/exec", (), body)["Id"])

    def start_exec(self, exec_id: str, body: Json) -> Stream:
        """POST /exec/{id}/start, taken over."""
        return self.upgrade(f"/exec/{exec_id}/start", (), body)

    def start_exec_detached(self, exec_id: str, body: Json) -> None:
        """POST /exec/{id}/start with ``"Detach": true``."""
        self.call("POST", f"/exec/{exec_id}/start", (), body)

    def inspect_exec(self, exec_id: str) -> Json:
        """GET /exec/{id}/json."""
        answer: Json = self.call("GET", f"/exec/{exec_id}/json")
        return answer

    def resize_exec(self, exec_id: str, height: int, width: int) -> None:
        """POST /exec/{id}/resize, in characters."""
        self.call("POST", f"/exec/{exec_id}/resize", [("h", str(height)), ("w", str(width))])

    # ── images ───────────────────────────────────────────────────────────────────────────────────────────────────

    def images(self, *, everything: bool = False, filters: Filters | None = None) -> list[Json]:
        """GET /images/json: summaries, newest first."""
        answer: list[Json] = self.call(
            "GET", "/images/json", ([("all", "1")] if everything else []) + _filters(filters)
        )
        return answer

    def inspect_image(self, ref: str) -> Json:
        """GET /images/{ref}/json."""
        answer: Json = json.loads(self.inspect_image_raw(ref))
        return answer

    def inspect_image_raw(self, ref: str) -> bytes:
        """`inspect_image` as the daemon's own bytes."""
        return self.read(self.request("GET", f"/images/{quote(ref, _PATH)}/json"))

    def image_history(self, ref: str) -> list[Json]:
        """GET /images/{ref}/history: newest layer first."""
        answer: list[Json] = self.call("GET", f"/images/{quote(ref, _PATH)}/history")
        return answer

    def tag_image(self, ref: str, repo: str, tag: str) -> None:
        """POST /images/{ref}/tag."""
        self.call("POST", f"/images/{quote(ref, _PATH)}/tag", [("repo", repo), ("tag", tag)])

    def remove_image(self, ref: str, *, force: bool = False, prune: bool = True) -> list[dict[str, str]]:
        """DELETE /images/{ref}: what was done, each ``{"Untagged": …}`` or ``{"Deleted": …}``."""
        query = ([("force", "1")] if force else []) + ([] if prune else [("noprune", "1")])
        answer: list[dict[str, str]] = self.call("DELETE", f"/images/{quote(ref, _PATH)}", query)
        return answer

    def save_images(self, refs: Iterable[str]) -> Response:
        """GET /images/get: one archive of all these images, a tar stream."""
        return self.request("GET", "/images/get", [("names", ref) for ref in refs])

    def load_images(self, archive: Iterable[bytes], *, quiet: bool = False) -> Response:
        """POST /images/load: `archive` is sent as it comes; the answer is a stream of JSON messages."""
        headers = {"Content-Type": "application/x-tar"}
        return self.request("POST", "/images/load", [("quiet", "1" if quiet else "0")], archive, headers)

    def import_image(self, query: Iterable[tuple[str, str]], archive: Iterable[bytes]) -> Response:
        """POST /images/create?fromSrc=…: a stream of JSON messages."""
        return self.request("POST", "/images/create", query, archive, {"Content-Type": "text/plain"})

    def pull_image(self, name: str, tag: str, *, platform: str = "", auth: str = "") -> Response:
        """POST /images/create?fromImage=…: a stream of JSON messages; `auth` goes as X-Registry-Auth."""
        query = [("fromImage", name), ("tag", tag)] + ([("platform", platform)] if platform else [])
        return self.request("POST", "/images/create", query, None, _auth(auth))

    def push_image(self, name: str, tag: str, *, auth: str = "") -> Response:
        """POST /images/{name}/push: a stream of JSON messages; without a tag all are pushed."""
        query = [("tag", tag)] if tag else []
        return self.request("POST", f"/images/{quote(name, _PATH)}/push", query, None, _auth(auth))

    def search_images(self, term: str, limit: int, *, filters: Filters | None = None, auth: str = "") -> list[Json]:
        """GET /images/search: `limit` 0 is the daemon's own."""
        query = [("term", term)] + ([("limit", str(limit))] if limit else []) + _filters(filters)
        answer: list[Json] = json.loads(self.read(self.request("GET", "/images/search", query, None, _auth(auth))))
        return answer

    # ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────

    def networks(self, *, filters: Filters | None = None) -> list[Json]:
        """GET /networks: without the containers on them."""
        answer: list[Json] = self.call("GET", "/networks", _filters(filters))
        return answer

    def create_network(self, body: Json) -> Json:
        """POST /networks/create: ``{"Id": …, "Warning": …}``."""
        if _version_key(self.version) < (1, 44):  # there, two networks of one name are refused only where this says so
            body = {**body, "CheckDuplicate": True}
        answer: Json = self.call("POST", "/networks/create", (), body)
        return answer

    def inspect_network(self, ref: str) -> Json:
        """GET /networks/{ref}."""
        answer: Json = json.loads(self.inspect_network_raw(ref))
        return answer

    def inspect_network_raw(self, ref: str, *, verbose: bool = False) -> bytes:
        """`inspect_network` as the daemon's own bytes; `verbose` asks for a swarm's services too."""
        return self.read(self.request("GET", _network(ref), [("verbose", "true")] if verbose else []))

    def connect_network(self, ref: str, container: str, endpoint: Json | None = None) -> None:
        """POST /networks/{ref}/connect: a container, running or not, gets an endpoint on the network."""
        path = f"{_network(ref)}/connect"
        self.call("POST", path, (), {"Container": _named(container), "EndpointConfig": endpoint})

    def disconnect_network(self, ref: str, container: str, *, force: bool = False) -> None:
        """POST /networks/{ref}/disconnect."""
        path = f"{_network(ref)}/disconnect"
        self.call("POST", path, (), {"Container": _named(container), "Force": force})

    def remove_network(self, ref: str) -> None:
        """DELETE /networks/{ref}."""
        self.call("DELETE", _network(ref))

    def prune_networks(self, filters: Filters | None = None) -> Json:
        """POST /networks/prune: ``{"NetworksDeleted": [names]|None}``."""
        answer: Json = self.call("POST", "/networks/prune", _filters(filters))
        return answer

    # ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────

    def disk_usage(self) -> Json:
        """GET /system/df: ``LayersSize`` in bytes, and the lists Images, Containers, Volumes, BuildCache."""
        answer: Json = self.call("GET", "/system/df")
        return answer

    def disk_holdings(self) -> Json:
        """GET /sampan/v1/system/disk: ``{"Root": …, "Size": …, "Holdings": [{"Kind", "Name", "Size", "HeldBy"}]}``."""
        response = self._exchange("GET", "/sampan/v1/system/disk", None, None)
        if response.status >= 400:
            raise self._error(response, "/sampan/v1/system/disk")
        answer: Json = self.decode(response)
        return answer

    def prune(self, what: str, filters: Filters | None = None, *, everything: bool = False) -> Json:
        """POST /{what}/prune, of "containers", "images", "volumes", "build": what went, and ``SpaceReclaimed``."""
        query = ([("all", "1")] if everything else []) + _filters(filters)
        answer: Json = self.call("POST", f"/{what}/prune", query)
        return answer

    def explain_ports(self, ref: str) -> list[Json]:
        """GET /sampan/v1/containers/{ref}/ports: for each port who reaches it, and which rule decides that."""
        target = f"/sampan/v1/containers/{_ref(ref)}/ports"
        response = self._exchange("GET", target, None, None)
        if response.status >= 400:
            raise self._error(response, target)
        answer: list[Json] = self.decode(response)
        return answer

    def image_layers(self) -> list[Json]:
        """GET /sampan/v1/images/layers: of each image ``{"Id": …, "Layers": [{"ChainId": …, "Size": …}, …]}``."""
        target = "/sampan/v1/images/layers"
        response = self._exchange("GET", target, None, None)
        if response.status >= 400:
            raise self._error(response, target)
        answer: list[Json] = self.decode(response)
        return answer

    def image_differences(self, first: str, second: str) -> Response:
        """GET /sampan/v1/images/{first}/diff: JSON lines ``{"Kind": "A"|"C"|"D", "Path": …, "Size": …}``."""
        target = f"/sampan/v1/images/{quote(_named(first, 'image'), _PATH)}/diff{query_string([('to', second)])}"
        response = self._exchange("GET", target, None, None)
        if response.status >= 400:
            raise self._error(response, target)
        return response

    def inspect_raw(self, path: str) -> bytes:
        """GET `path` (``/networks/x``, ``/volumes/x`` …) as the daemon's own bytes."""
        return self.read(self.request("GET", path))


def _named(text: str, kind: str = "container") -> str:
    """The name or ID of a container or network. Raises ClientError for none: a path without it is another end point."""
    text = text.strip()
    if not text:
        raise ClientError(f"invalid {kind} name or ID: value is empty")
    return text


def _ref(text: str) -> str:
    """The name or ID of a container as a part of a path."""
    return quote(_named(text))


def _network(text: str) -> str:
    """The path of a network."""
    return f"/networks/{quote(_named(text, 'network'), _PATH)}"


def json_stream(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The JSON values of a stream that has one after another (with or without line ends). Raises ProtocolError."""
    decoder = json.JSONDecoder()
    text, pending = "", b""
    for chunk in chunks:
        pending += chunk
        cut = _utf8_boundary(pending)
        text = (text + pending[:cut].decode("utf-8", "replace")).lstrip()
        pending = pending[cut:]
        while text:
            try:
                value, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break  # the rest of this value is still to come
            yield value
            text = text[end:].lstrip()
    if text:
        raise ProtocolError(f"unexpected end of JSON input: {text[:80]!r}")


def _utf8_boundary(data: bytes) -> int:
    """How much of `data` ends between two characters."""
    for back in range(1, min(4, len(data)) + 1):
        octet = data[-back]
        if octet < 0x80:
            break
        if octet >= 0xC0:  # the first octet of a character of 2 to 4
            size = 2 if octet < 0xE0 else 3 if octet < 0xF0 else 4
            return len(data) - back if size > back else len(data)
    return len(data)


def _encode(body: object) -> bytes | Iterable[bytes] | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, (dict, list)):
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        try:
            return text.encode()
        except UnicodeEncodeError:  # bytes of the command line that are no UTF-8: U+FFFD, as Go's encoder does
            return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
    return body  # type: ignore[return-value]  # an iterable of bytes


def _auth(auth: str) -> dict[str, str]:
    return {"X-Registry-Auth": auth} if auth else {}


def _filters(filters: Filters | None) -> list[tuple[str, str]]:
    if not filters:
        return []
    wanted = {name: dict.fromkeys(values, True) for name, values in filters.items()}
    return [("filters", json.dumps(wanted, separators=(",", ":"), sort_keys=True))]


def _stop_query(timeout: int | None, signal: str) -> list[tuple[str, str]]:
    return ([("signal", signal)] if signal else []) + ([("t", str(timeout))] if timeout is not None else [])


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
