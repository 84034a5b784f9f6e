"""A request's body as a file for a thread: order, back-pressure, errors."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sampan.engine import pipe
from sampan.engine.pipe import Pipe


class Body:
    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks, self.error, self.taken = chunks, error, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk
        if self.error is not None:
            raise self.error


def test_everything_arrives_in_order() -> None:
    async def main() -> bytes:
        one = Pipe()
        chunks = [bytes([number]) * 100_000 for number in range(200)]
        filling = asyncio.create_task(one.fill(Body(chunks)))
        got = await asyncio.to_thread(lambda: b"".join(iter(lambda: one.read1(65536), b"")))
        await filling
        assert got == b"".join(chunks)
        return got

    assert len(asyncio.run(main())) == 20_000_000


def test_a_reader_that_is_slow_stops_the_client() -> None:
    async def main() -> None:
        one = Pipe()
        body = Body([bytes(1 << 20)] * 64)
        filling = asyncio.create_task(one.fill(body))
        while body.taken < pipe.HIGH >> 20:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert body.taken == pipe.HIGH >> 20
        one.abandon()
        await filling

    asyncio.run(main())


def test_a_client_that_leaves_is_an_error_not_an_end() -> None:
    async def main() -> None:
        one = Pipe()
        with pytest.raises(ValueError, match="cut"):
            await one.fill(Body([b"half"], ValueError("cut")))
        assert one.read1() == b"half"
        with pytest.raises(ConnectionAbortedError):
            one.read1()

    asyncio.run(main())


def test_abandoned_is_no_end_either() -> None:
    async def main() -> None:
        one = Pipe()
        one.abandon()
        with pytest.raises(ConnectionAbortedError):
            one.read1()

    asyncio.run(main())
