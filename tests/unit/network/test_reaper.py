"""The reaper: what comes while it is busy is done together."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from sampan.network.model import Endpoint
from sampan.network.reaper import Reaper

ONES = [Endpoint(f"{number:064x}", "a" * 64, f"{number:064x}") for number in range(9)]


def test_many_are_buried_together() -> None:
    done: list[tuple[list[Endpoint], list[Endpoint]]] = []
    may_go = threading.Event()

    def reap(ends: Sequence[Endpoint], published: Sequence[Endpoint]) -> None:
        done.append((list(ends), list(published)))
        may_go.wait(10)

    async def many() -> None:
        reaper = Reaper(reap)
        first = asyncio.create_task(reaper.bury(ONES[:1], []))
        while not done:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(reaper.bury([one], [one])) for one in ONES[1:]]
        await asyncio.sleep(0)
        assert not first.done()
        may_go.set()
        await asyncio.gather(first, *rest)
        assert done == [(ONES[:1], []), (ONES[1:], ONES[1:])]
        reaper.close()

    asyncio.run(many())


def test_an_error_is_told() -> None:
    def reap(ends: Sequence[Endpoint], published: Sequence[Endpoint]) -> None:
        raise OSError("no")

    async def one() -> None:
        reaper = Reaper(reap)
        with pytest.raises(OSError, match="no"):
            await reaper.bury(ONES, [])
        await reaper.bury([], [])
        reaper.close()

    asyncio.run(one())
