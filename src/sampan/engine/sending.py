"""Something that threads make piece by piece, on its way to a client.

One piece is made ahead while the client takes the last one. A slow client holds no thread: each piece is a job of its
own. Whoever stops listening ends the work: the iterator is closed in a thread too, since it may clear up.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sampan.engine.core import Core


async def pieces(core: Core, made: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what ``made`` gives, until it ends; its errors are raised here."""
    ahead = core.spawn(core.thread(next, made, None))
    try:
        while (piece := await ahead) is not None:
            ahead = core.spawn(core.thread(next, made, None))
            yield piece
    finally:
        core.background(_close(core, ahead, made), "clearing up behind a client that left")


async def _close(core: Core, ahead: asyncio.Task[bytes | None], made: Iterator[bytes]) -> None:
    with contextlib.suppress(Exception):  # raised where it was awaited, or of interest to nobody
        await ahead
    close = getattr(made, "close", None)
    if close is not None:
        await core.thread(close)
