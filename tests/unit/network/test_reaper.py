"""The reaper: what comes while it is busy is done together."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from sampan.network.model import Endpoint, Publication
from sampan.network.reaper import Reaper

ONES = [Endpoint(f"{number:064x}", "a" * 64, f"{number:064x}") for number in range(9)]
PORT = Publication("a" * 64, "udp", "0.0.0.0", 53, 53)


def test_many_are_buried_together() -> None:
    done: list[tuple[list[Endpoint], list[Endpoint], list[Publication]]] = []
    may_go = threading.Event()

    def reap(ends: Sequence[Endpoint], served: Sequence[Endpoint], published: Sequence[Publication]) -> None:
        done.append((list(ends), list(served), list(published)))
        may_go.wait(10)

    async def many() -> None:
        reaper = Reaper(reap)
        first = asyncio.create_task(reaper.bury(ONES[:1], []))
        while not done:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(reaper.bury([one], [one])) for one in ONES[1:]]
        reaper.follow([PORT])
        await asyncio.sleep(0)
        assert not first.done()
        may_go.set()
        await asyncio.gather(first, *rest)
        assert done == [(ONES[:1], [], []), (ONES[1:], ONES[1:], [PORT])]
        reaper.close()

    asyncio.run(many())


def test_an_error_is_told() -> None:
    def reap(ends: Sequence[Endpoint], served: Sequence[Endpoint], published: Sequence[Publication]) -> None:
        raise OSError("no")

    async def one() -> None:
        reaper = Reaper(reap)
        with pytest.raises(OSError, match="no"):
            await reaper.bury(ONES, [])
        await reaper.bury([], [])
        reaper.close()

    asyncio.run(one())
