"""What only Sampan has about images, below /sampan/v1."""

import json
from pathlib import Path

from .fake import Bench, Refused, request
from .test_http import run


async def _lines(bench: Bench, target: str) -> tuple[int, list[dict[str, object]]]:
    wire = await bench.wire()
    wire.say(request("GET", target))
    status, _ = await wire.head()
    text = b""
    while part := await wire.chunk():
        text += part
    return status, [json.loads(line) for line in text.splitlines()]


SAID = [{"Kind": "A", "Path": "/x", "Size": 3}, {"Kind": "D", "Path": "/y", "Size": 0}]


def test_differences(tmp_path: Path) -> None:
    async def go() -> None:
        async with Bench(tmp_path) as bench:
            answer = await _lines(bench, "/sampan/v1/images/localhost:5000/a/b:1/diff?to=c%2Fd%3A2")
            assert answer == (200, SAID)
            assert bench.engine.calls == [("differences", ("localhost:5000/a/b:1", "c/d:2"))]

    run(go())


def test_an_error_in_the_middle_is_the_last_line(tmp_path: Path) -> None:
    async def go() -> None:
        async with Bench(tmp_path) as bench:
            status, lines = await _lines(bench, "/sampan/v1/images/a/diff?to=broken")
            text = "cannot read the image's layers"
            assert (status, lines) == (200, [*SAID, {"errorDetail": {"message": text}, "error": text}])

    run(go())


def test_what_is_refused_at_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with Bench(tmp_path) as bench:
            assert (await bench.ask("GET", "/sampan/v1/images/a/diff"))[0] == 400
            bench.engine.error = Refused("No such image: a:latest", 404)
            status, body = await bench.ask("GET", "/sampan/v1/images/a/diff?to=b")
            assert (status, json.loads(body)) == (404, {"message": "No such image: a:latest"})

    run(go())


def test_layers(tmp_path: Path) -> None:
    async def go() -> None:
        async with Bench(tmp_path) as bench:
            status, body = await bench.ask("GET", "/sampan/v1/images/layers")
            assert (status, json.loads(body)) == (200, [{"Id": "i", "Layers": [{"ChainId": "c", "Size": 5}]}])

    run(go())
