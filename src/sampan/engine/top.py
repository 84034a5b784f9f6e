"""`docker top`: the host's ps(1), cut down to a container's processes; without one, made from /proc.

Source. moby daemon/top_unix.go's way: ps runs with the arguments that were given, and its PID column is looked at.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.engine.errors import BadParameter, Internal
from sampan.linux import ps

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT: Final = "-ef"
PS_WAIT_S: Final = 10.0
_PID_FORMAT: Final = re.compile(r"\s+([a-zA-Z]*o\s*=?\s*)?pid=")
_OWN: Final = {
    "-ef": (ps.FULL_TITLES, ps.full),
    "aux": (ps.USER_TITLES, ps.by_user),
    "-aux": (ps.USER_TITLES, ps.by_user),
}


async def top(pids: list[int], arguments: str) -> schema.ContainerTop:
    """Return the table of ``ps ARGUMENTS`` with these processes' rows. Raises BadParameter, Internal."""
    arguments = arguments.strip() or DEFAULT
    bad = _PID_FORMAT.search(" " + arguments)
    if bad:
        raise BadParameter(f'specifying "{bad[0].strip()}" is not allowed')
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise BadParameter(f"ps arguments {arguments!r}: {error}") from None
    output = await _run(words)
    if output is not None:
        return parse(output, pids)
    if arguments not in _OWN:
        raise Internal('ps: exec: "ps": executable file not found in $PATH: without it only -ef and aux can be shown')
    titles, rows = _OWN[arguments]
    return schema.ContainerTop(titles=list(titles), processes=await asyncio.to_thread(rows, pids))


async def _run(words: Sequence[str]) -> str | None:
    """Return what ps says; None if there is no ps."""
    try:
        process = await asyncio.create_subprocess_exec(
            "ps",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        return None
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PS_WAIT_S)
    except TimeoutError:
        process.kill()
        raise Internal(f"ps: no answer within {PS_WAIT_S:g} s") from None
    if process.returncode:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        raise Internal(f"ps: {lines[0] if lines else f'exit status {process.returncode}'}")
    return output.decode("utf-8", "replace")


def parse(output: str, pids: list[int]) -> schema.ContainerTop:
    """Return titles and the rows whose PID is among ``pids``; the last column keeps its spaces.

    Raises Internal: there is no PID column.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Internal("Couldn't find PID field in ps output")
    place, wanted, rows = titles.index("PID"), set(pids), []
    shown = False
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) <= place:
            continue
        if fields[place] == "-":  # a thread's line belongs to the process above it
            if shown:
                rows.append(fields)
            continue
        if not fields[place].isdigit():
            raise Internal(f"Unexpected pid '{fields[place]}': not a number")
        shown = int(fields[place]) in wanted
        if shown:
            rows.append(fields)
    return schema.ContainerTop(titles=titles, processes=rows)
