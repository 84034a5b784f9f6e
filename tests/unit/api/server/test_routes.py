"""Which path leads where, versions, and the checks that the router makes itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.api.server.messages import Request
from sampan.api.server.routing import NOT_FOUND, Route, Table, resolve

from .fake import Bench, request
from .test_http import run


async def _never(_: Request) -> Any:
    raise AssertionError


PATTERNS = [
    ("GET", "/containers/json"),
    ("GET", "/containers/{name}/json"),
    ("POST", "/containers/{name}/attach"),
    ("GET", "/containers/{name}/attach/ws"),
    ("DELETE", "/containers/{name}"),
    ("GET", "/images/json"),
    ("GET", "/images/{name}/json"),
    ("DELETE", "/images/{name}"),
    ("GET", "/version"),
]
TABLE = Table(Route(method, pattern, _never) for method, pattern in PATTERNS)

FOUND = [
    ("GET", "/containers/json", "/containers/json", ""),
    ("GET", "/v1.45/containers/json", "/containers/json", ""),
    ("GET", "/containers/a/json", "/containers/{name}/json", "a"),
    ("GET", "/containers/json/json", "/containers/{name}/json", "json"),
    ("POST", "/containers/a/attach", "/containers/{name}/attach", "a"),
    ("GET", "/containers/a/attach/ws", "/containers/{name}/attach/ws", "a"),
    ("DELETE", "/containers/a", "/containers/{name}", "a"),
    ("GET", "/images/a/b/c:d/json", "/images/{name}/json", "a/b/c:d"),
    ("GET", "/images/a%2Fb/json", "/images/{name}/json", "a/b"),
    ("GET", "/v1.24/images/r:5000/a@sha256:00/json", "/images/{name}/json", "r:5000/a@sha256:00"),
    ("DELETE", "/images/a/b", "/images/{name}", "a/b"),
    ("GET", "/version", "/version", ""),
]
LOST = [
    ("GET", "/"),
    ("GET", "/nope"),
    ("POST", "/version"),
    ("HEAD", "/version"),
    ("GET", "/version/"),
    ("GET", "/containers/a/nope"),
    ("GET", "/vx/version"),
    ("GET", "/containers"),
    ("DELETE", "/containers/"),
    ("PUT", "/containers/json"),
]


def _request(method: str, path: str) -> Request:
    return Request(method, path, "", {}, None, body_expected=False, take=None, actor=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "path", "pattern", "name"), FOUND)
def test_found(method: str, path: str, pattern: str, name: str) -> None:
    asked = _request(method, path)
    assert (resolve(TABLE, asked).pattern, asked.name) == (pattern, name)


@pytest.mark.parametrize(("method", "path"), LOST)
def test_lost(method: str, path: str) -> None:
    assert resolve(TABLE, _request(method, path)) is NOT_FOUND


TOO_NEW = "client version {} is too new. Maximum supported API version is 1.51"
TOO_OLD = (
    "client version {} is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
)
ANSWERS: list[tuple[str, str, int, str | None]] = [
    ("GET", "/v1.51/_ping", 200, None),
    ("GET", "/v1.24/_ping", 200, None),
    ("GET", "/v1.52/_ping", 400, TOO_NEW.format("1.52")),
    ("GET", "/v1.51.1/_ping", 400, TOO_NEW.format("1.51.1")),
    ("GET", "/v2/_ping", 400, TOO_NEW.format("2")),
    ("GET", "/v1.23/_ping", 400, TOO_OLD.format("1.23")),
    ("GET", "/v1/_ping", 400, TOO_OLD.format("1")),
    ("GET", "/v1.99/nope", 404, "page not found"),
    ("POST", "/_ping", 404, "page not found"),
    ("OPTIONS", "/version", 200, None),
    ("GET", "//version", 301, None),
    ("GET", "/v1.45/../version", 301, None),
    ("POST", "/containers/c/stop?t=abc", 400, 'strconv.Atoi: parsing "abc": invalid syntax'),
    ("POST", "/containers/c/wait?condition=foo", 400, 'invalid condition: "foo"'),
    ("POST", "/containers/c/resize", 400, 'strconv.Atoi: parsing "": invalid syntax'),
    ("GET", "/containers/json?filters=abc", 400, "invalid filter"),
    ("GET", "/containers/json?filters=%zz", 400, 'invalid URL escape "%zz"'),
    ("GET", "/containers/c/logs", 400, "Bad parameters: you must choose at least one stream"),
    ("GET", "/containers/c/logs?stdout=1&since=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("GET", "/events?since=2&until=1", 400, "`since` time (2) cannot be after `until` time (1)"),
    ("POST", "/images/create?fromImage=none", 404, "there is none"),
    ("POST", "/images/none/push?tag=1", 404, "there is none"),
    ("GET", "/images/search?term=x&limit=many", 400, 'strconv.Atoi: parsing "many": invalid syntax'),
]


@pytest.mark.parametrize(("method", "target", "status", "message"), ANSWERS)
def test_answers(tmp_path: Path, method: str, target: str, status: int, message: str | None) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            got, raw = await bench.ask(method, target)
            assert got == status, raw
            if message is not None:
                assert json.loads(raw) == {"message": message}

    run(body())


TEXT_PLAIN = "unsupported Content-Type header (text/plain): must be 'application/json'"
BODIES: list[tuple[bytes | None, tuple[str, ...], int, str | None]] = [
    (b"{}", (), 400, "config cannot be empty in order to create a container"),
    (b"null", (), 400, "config cannot be empty in order to create a container"),
    (b'{"HostConfig":{}}', (), 400, "config cannot be empty in order to create a container"),
    (b"", (), 400, "invalid JSON: got EOF while reading request body"),
    (None, (), 400, "invalid JSON: got EOF while reading request body"),
    (b"{}", ("Content-Type: text/plain",), 400, TEXT_PLAIN),
    (b"{}", ("Content-Type:",), 400, "malformed Content-Type header (): mime: no media type"),
    (b'{"Image":"x"}', ("Content-Type: application/json; charset=utf-8",), 201, None),
    (b'{"image":"x"}', (), 201, None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "fields", "status", "message"), BODIES)
def test_create(tmp_path: Path, body: bytes | None, fields: tuple[str, ...], status: int, message: str | None) -> None:
    async def play() -> None:
        async with Bench(tmp_path) as bench:
            got, raw = await bench.ask("POST", "/v1.45/containers/create?name=n", body, *fields)
            assert got == status, raw
            if message is not None:
                assert json.loads(raw) == {"message": message}
            else:
                assert json.loads(raw) == {"Id": "c" * 64, "Warnings": []}
                ((_, (name, made, platform)),) = bench.engine.calls
                assert (name, made.image, platform) == ("n", "x", None)

    run(play())


def test_stop_ends_the_daemon(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            assert (await bench.ask("POST", "/sampan/v1/stop"))[0] == 204
            assert bench.stopped.is_set()

    run(body())


def test_logs_are_asked_for_as_the_query_says(tmp_path: Path) -> None:
    target = "/containers/c/logs?stdout=1&follow=1&timestamps=1&tail=5&since=1.5&until=0"

    async def body() -> None:
        async with Bench(tmp_path) as bench:
            (await bench.wire()).say(request("GET", target))
            ref, options = await bench.engine.asked_logs.get()
            assert ref == "c"
            assert (options.stdout, options.stderr, options.follow, options.timestamps) == (True, False, True, True)
            assert (options.tail, options.since_ns, options.until_ns) == (5, 1_500_000_000, None)

    run(body())
