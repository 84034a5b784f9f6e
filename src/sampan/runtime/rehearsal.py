"""The zygote plays a container's life, without a container, before it forks the first monitor.

Why.    The interpreter rewrites code as it runs (PEP 659): what was run before the fork is quicker in every monitor,
        and the pages that hold it stay shared. That is a sixth of a monitor's own memory.
Cost.   1 ms a round, in the zygote's start.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Final

from sampan.runtime import channels, records, wire
from sampan.runtime.cgroups import Layout
from sampan.runtime.keeper import Head, Keeper
from sampan.runtime.payload import READY
from sampan.runtime.unborn import STANDARD, Unborn
from sampan.runtime.wire import Message

ROUNDS: Final = 12  # code is rewritten from its eighth run on


class _StandIn(Unborn):
    """In the place of an init: it says what an init says."""

    def __init__(self) -> None:
        self._kinds = STANDARD
        self.status, self._theirs = wire.pair()
        self.notes, notes = os.pipe2(os.O_CLOEXEC)
        os.close(notes)
        self.pid = 0  # no child's

    def play(self, kept: Keeper) -> None:
        """Take the request, send the streams with some output, exec and end."""
        for descriptor in wire.receive_bytes(self._theirs)[1]:
            os.close(descriptor)
        stdout, writer = os.pipe2(os.O_CLOEXEC)
        wire.send(self._theirs, {"streams": ["stdout"]}, [stdout])
        os.close(stdout)
        kept.loop.turn()
        wire.send_bytes(self._theirs, READY)
        kept.loop.turn()
        self._theirs.close()
        kept.loop.turn()
        os.write(writer, b"output\n")
        os.close(writer)


def rehearse(layout: Layout, run_dirs: str) -> None:
    """Play some lives; nothing is left of them.

    Args:
        run_dirs: the directory of the run directories, which the zygote may write beside.

    Raises:
        OSError: the file system is full, say.
    """
    place = f"{run_dirs}.rehearsal-{os.getpid()}"
    try:
        for _ in range(ROUNDS):
            _play(layout, place)
            records.remove(place)
    finally:
        records.remove(place)


def _play(layout: Layout, place: str) -> None:
    stand_in = _StandIn()
    ours, theirs = wire.pair()
    with ours, contextlib.ExitStack() as stack:
        own = {"held": records.create(place), "root": _null()}
        own = {"control": channels.listen(f"{place}/{records.CONTROL}").detach(), **own}
        given = {"spec": _null()}
        for descriptor in (*own.values(), *given.values()):
            stack.callback(os.close, descriptor)
        head = Head(place, len(own), 0, 0, standard=True)
        request = json.dumps(_request(place, [*own, *given])).encode()
        kept = Keeper(layout, theirs, stand_in)
        wire.send_bytes(ours, head.encode() + request, [*own.values(), *given.values()])
        kept.launch(*wire.receive_bytes(theirs))
        stand_in.play(kept)
        kept.init_ended(0, 0)
        kept.loop.close()
        theirs.close()


def _request(place: str, names: list[str]) -> Message:
    return {
        "fds": names,
        "id": "rehearsal",
        "run_dir": place,
        "cgroup": {"paths": [f"{place}/none"], "v2": None},
        "terminal": False,
        "open_stdin": False,
        "stdin_once": False,
        "available": 0,
        "log": {"driver": "json-file", "path": f"{place}/log", "max_size": -1, "max_file": 1},
    }


def _null() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
