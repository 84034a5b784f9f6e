"""A log on its way to a client: its files are open before the answer begins, and closed whatever happens."""

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.engine import logs
from sampan.engine.core import Core
from sampan.engine.logs import AllOutput, LogStream, open_log
from sampan.logs.writer import LogWriter
from sampan.runtime.supervisor import LogMark
from support.fabrics import nobody

from .conftest import container, machine, settings

EXPECTED = b"".join(b"line %d\n" % number for number in range(3))


class World:
    """One container with a log of three lines; ``over`` ends its run."""

    def __init__(self, root: Path) -> None:
        directories = SimpleNamespace(path=lambda one: root / one)
        self.core = Core(
            machine(), settings(), None, None, None, directories, None, nobody(), "id",  # type: ignore[arg-type]
        )  # fmt: skip
        self.one = container(Tty=True)
        self.directory = root / self.one.id
        self.directory.mkdir()
        self.over = asyncio.Event()
        self.closed = False
        writer = LogWriter(str(self.directory / f"{self.one.id}-json.log"))
        writer.write("stdout", EXPECTED, 1)
        self.size = writer.size
        os.close(writer.descriptor())
        self.one.run = SimpleNamespace(monitor=SimpleNamespace(follow=self._marks))  # type: ignore[assignment]

    async def _marks(self) -> AsyncIterator[LogMark]:
        try:
            yield LogMark(0, self.size, None)
            await self.over.wait()
        finally:
            self.closed = True

    async def open(self, *, follow: bool) -> LogStream:
        return await open_log(self.core, self.one, AllOutput(follow=follow))


def play(root: Path, story: Callable[[World], Awaitable[Any]]) -> None:
    async def main() -> None:
        world = World(root)
        before = sorted(os.listdir("/proc/self/fd"))
        try:
            await story(world)
            await world.core.settle(5)
            assert sorted(os.listdir("/proc/self/fd")) == before
        finally:
            world.core.close()

    asyncio.run(main())


@pytest.mark.parametrize("follow", [False, True])
def test_a_removal_after_the_answer_began_loses_nothing(tmp_path: Path, follow: bool) -> None:
    async def story(world: World) -> None:
        stream = await world.open(follow=follow)
        shutil.rmtree(world.directory)
        world.over.set()
        assert b"".join([chunk async for chunk in stream.chunks]) == EXPECTED

    play(tmp_path, story)


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_nobody_reads_is_closed(tmp_path: Path, follow: bool) -> None:
    async def story(world: World) -> None:
        stream = await world.open(follow=follow)
        await stream.chunks.aclose()
        assert world.closed == follow

    play(tmp_path, story)


@pytest.mark.parametrize("follow", [False, True])
def test_a_request_that_is_cancelled_while_files_are_opened_leaves_none_open(
    tmp_path: Path, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "Follower" if follow else "read_chunks"
    real = getattr(logs, name)
    begun, go_on = threading.Event(), threading.Event()

    class SlowFollower(real if follow else object):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            begun.set()
            go_on.wait(10)

    def slow_chunks(*arguments: Any) -> Any:
        for chunk in real(*arguments):
            begun.set()
            go_on.wait(10)
            yield chunk

    monkeypatch.setattr(logs, name, SlowFollower if follow else slow_chunks)

    async def story(world: World) -> None:
        opening = asyncio.ensure_future(world.open(follow=follow))
        await asyncio.to_thread(begun.wait, 10)
        opening.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await opening

    play(tmp_path, story)
