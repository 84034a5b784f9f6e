"""Pull and push over HTTP: where an error is told, and what reaches the engine."""

import json
from pathlib import Path

import pytest

from .fake import Bench, request
from .test_http import run

ASKED = {
    "/images/create?fromImage={}&tag=1&platform=linux/arm64": "{}:1 for linux/arm64 by secret",
    "/images/{}/push?tag=1": "{}:1 for nothing by secret",
}


@pytest.mark.parametrize("target", ASKED)
@pytest.mark.parametrize("image", ["whole", "half", "a/b"])
def test_behind_the_first_message_an_error_is_one_too(tmp_path: Path, target: str, image: str) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            wire.say(request("POST", target.format(image), None, "X-Registry-Auth: secret"))
            assert (await wire.head())[0] == 200
            found = []
            while chunk := await wire.chunk():
                found.append(json.loads(chunk))
            wire.close()
            assert found[0] == {"status": ASKED[target].format(image)}
            broken = [{"errorDetail": {"message": "it broke off"}, "error": "it broke off"}]
            assert found[1:] == (broken if image == "half" else [])

    run(body())
