"""`docker logs`: a container's log as the bytes that clients get, from its file and, with follow, from its monitor.

Order.  Files opened → `open_log` returns (the head of the answer goes out) → read. A removal of the container
        after that cuts nothing short.
Cost.   One hop to a thread for each 256 KiB; a slow client makes only its own reader wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from sampan.engine.errors import Unsupported
from sampan.engine.launching import log_path
from sampan.engine.units import SECOND
from sampan.logs.decode import Output, Wanted
from sampan.logs.reader import Follower, Mark, read_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from sampan.engine.container import Container, Run
    from sampan.engine.contracts import LogOptions
    from sampan.engine.core import Core
    from sampan.runtime.supervisor import LogMark

T = TypeVar("T")
Chunks = AsyncGenerator[bytes, None]

OPENED = b""  # what a generator of chunks yields first, once its files are open: from then on ``aclose`` closes them


@dataclass(frozen=True, slots=True)
class LogStream:
    """A log on its way: ``chunks`` are frames unless the container has a terminal. To be closed by ``aclose``."""

    terminal: bool
    chunks: Chunks


@dataclass(frozen=True, slots=True)
class _What:
    """A part of one log, and the form it is wanted in."""

    path: str
    output: Output
    wanted: Wanted
    tail: int | None


@dataclass(frozen=True, slots=True)
class AllOutput:
    """The options of an attach that wants to see the log so far."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    timestamps: bool = False
    details: bool = False
    tail: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None


async def open_log(core: Core, container: Container, options: LogOptions) -> LogStream:
    """Return a container's log, its files open. Raises Unsupported: it keeps none; OSError."""
    if container.stored.host.log_config.type == "none":
        raise Unsupported("configured logging driver does not support reading")
    path = str(log_path(core.directories.path(container.id), container.id))
    what = _What(
        path,
        Output(not container.tty, options.timestamps, options.details),
        Wanted(options.since_ns or None, options.until_ns or None, options.stdout, options.stderr),
        options.tail,
    )
    run = container.run
    chunks = _follow(core, run, what) if options.follow and run is not None else _read(core, what)
    await anext(chunks)  # OPENED
    return LogStream(container.tty, chunks)


async def _read(core: Core, what: _What) -> Chunks:
    chunks = cast("Generator[bytes, None, None]", read_chunks(what.path, what.output, what.wanted, what.tail))
    try:
        chunk = await _whole(core, next, chunks, None)
        yield OPENED
        while chunk is not None:
            yield chunk
            chunk = await _whole(core, next, chunks, None)
    finally:
        chunks.close()


async def _follow(core: Core, run: Run, what: _What) -> Chunks:
    """Yield what there is and what comes, until the run or the time asked for is over."""
    async with aclosing(_marks(run, what.wanted.until_ns)) as marks:
        first = await anext(marks, None)
        if first is None:  # the run ended while we asked
            async with aclosing(_read(core, what)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        follower = await _whole(core, Follower, what.path, _mark(first), what.wanted, what.tail, undo=Follower.close)
        try:
            yield OPENED
            async for chunk in _drain(core, follower, what.output):
                yield chunk
            async for mark in marks:
                follower.feed(_mark(mark))
                async for chunk in _drain(core, follower, what.output):
                    yield chunk
                if follower.finished:
                    return
            async for chunk in _drain(core, follower, what.output):
                yield chunk
        finally:
            follower.close()


async def _drain(core: Core, follower: Follower, output: Output) -> AsyncIterator[bytes]:
    while chunk := await _whole(core, follower.chunk, output):
        yield chunk


async def _whole(core: Core, fn: Callable[..., T], *arguments: Any, undo: Callable[[T], object] | None = None) -> T:
    """Run on a thread, to its end even if this is cancelled: what the thread uses can be closed after it.

    ``undo`` gets a result that came too late.
    """
    work = core.spawn(core.thread(fn, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if undo is not None:
            work.add_done_callback(lambda done: undo(done.result()) if _has_result(done) else None)
        await asyncio.wait({work})
        raise


def _has_result(done: asyncio.Task[Any]) -> bool:
    return not done.cancelled() and done.exception() is None


async def _marks(run: Run, until_ns: int | None) -> AsyncGenerator[LogMark, None]:
    """Yield the monitor's marks, until the wall clock (as it goes on from now) would pass ``until_ns``."""
    loop = asyncio.get_running_loop()
    deadline = None if until_ns is None else loop.time() + (until_ns - time.time_ns()) / SECOND
    async with aclosing(cast("AsyncGenerator[LogMark, None]", run.monitor.follow())) as marks:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    mark = await anext(marks, None)
            except TimeoutError:
                return
            if mark is None:
                return
            yield mark


def _mark(mark: LogMark) -> Mark:
    return Mark(mark.generation, mark.size, mark.descriptor)
