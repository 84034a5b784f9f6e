"""GET /system/df as clients of several ages get it, and its parameters."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api import schema
from sampan.api.server import disk
from sampan.api.server.messages import Request, Response
from sampan.api.server.query import Query


class Disk:
    """What was asked for is remembered."""

    def __init__(self) -> None:
        self.types: list[str] | None = None

    async def usage(self, types: list[str]) -> schema.DiskUsage:
        self.types = types
        return schema.DiskUsage(layers_size=7, images=[schema.ImageSummary(id="sha256:1", size=7)], volumes=[])


def ask(one: Disk, version: tuple[int, int], query: str = "") -> Any:
    """The decoded answer."""
    routes = {route.pattern: route for route in disk.routes(SimpleNamespace(disk=one))}  # type: ignore[arg-type]
    request: Request = SimpleNamespace(version=version, query=Query(query))  # type: ignore[assignment]
    answer = asyncio.run(routes["/system/df"].handler(request))
    assert isinstance(answer, Response)
    return json.loads(answer.body)


@pytest.mark.parametrize(("version", "virtual"), [((1, 43), True), ((1, 44), False), ((1, 51), False)])
def test_virtual_sizes_until_1_43(version: tuple[int, int], virtual: bool) -> None:
    found = ask(Disk(), version)
    assert found["Images"][0].get("VirtualSize") == (7 if virtual else None)
    assert (found["Images"][0]["RepoTags"], found["Images"][0]["RepoDigests"]) == (None, None)
    assert (found["LayersSize"], found["Containers"], found["Volumes"], found["BuildCache"]) == (7, None, [], None)


def test_types_are_read_since_1_42() -> None:
    one = Disk()
    ask(one, (1, 42), "type=image&type=volume")
    assert one.types == ["image", "volume"]
    ask(one, (1, 41), "type=image")
    assert one.types == []


def test_no_route_hides_a_container_or_an_image_of_that_name() -> None:
    """``prune`` is a method of the collection; a container called so is reached by other methods only."""
    methods = {(route.method, route.pattern) for route in disk.routes(SimpleNamespace())}  # type: ignore[arg-type]
    assert ("POST", "/containers/prune") in methods
    assert not [one for one in methods if one[0] != "POST" and one[1].endswith("/prune")]
