"""`docker logs`: a container's log as the bytes that clients get, from its file and, with follow, from its monitor.

Cost.   One hop to a thread for each 256 KiB; a slow client makes only its own reader wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sampan.engine.errors import Unsupported
from sampan.engine.launching import log_path
from sampan.engine.units import SECOND
from sampan.logs.decode import Output, Wanted
from sampan.logs.reader import Follower, Mark, read_chunks

if TYPE_CHECKING:
    from sampan.engine.container import Container, Run
    from sampan.engine.contracts import LogOptions
    from sampan.engine.core import Core
    from sampan.runtime.supervisor import LogMark


@dataclass(frozen=True, slots=True)
class LogStream:
    """A log on its way: ``chunks`` are frames unless the container has a terminal."""

    terminal: bool
    chunks: AsyncIterator[bytes]


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


def open_log(core: Core, container: Container, options: LogOptions) -> LogStream:
    """Return a container's log. Raises Unsupported: it keeps none."""
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
    return LogStream(container.tty, chunks)


async def _read(core: Core, what: _What) -> AsyncIterator[bytes]:
    chunks = read_chunks(what.path, what.output, what.wanted, what.tail)
    try:
        while (chunk := await core.thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            await core.thread(close)


async def _follow(core: Core, run: Run, what: _What) -> AsyncIterator[bytes]:
    """Yield what there is and what comes, until the run or the time asked for is over."""
    async with aclosing(_marks(run, what.wanted.until_ns)) as marks:
        first = await anext(marks, None)
        if first is None:  # the run ended while we asked
            async for chunk in _read(core, what):
                yield chunk
            return
        follower = await core.thread(Follower, what.path, _mark(first), what.wanted, what.tail)
        try:
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
    while chunk := await core.thread(follower.chunk, output):
        yield chunk


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
