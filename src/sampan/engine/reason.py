"""Why a container ended, in one sentence, from what was recorded when it happened."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sampan.engine.contracts import Actor
    from sampan.runtime.supervisor import Exit

_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def ended(exit_: Exit, *, asked: str = "", unanswered: str = "", memory: int = 0) -> str:
    """Return the sentence.

    Args:
        asked: who asked for the end (`asked_by`), "" if nobody did.
        unanswered: what was tried before in vain, "SIGTERM went unanswered for 10 s".
        memory: the container's limit in bytes, 0 if it has none.
    """
    if not exit_.started:
        return start_failed(exit_.step, exit_.error)
    if exit_.error:
        return exit_.error
    if exit_.oom and exit_.signal == signal.SIGKILL and not asked:
        limit = f"the limit is {size(memory)}" if memory else "the machine or a group above it had no more"
        return f"out of memory: {limit}"
    sentence = f"killed by {signal_name(exit_.signal)}" if exit_.signal else f"exited with code {exit_.code}"
    if exit_.oom:
        sentence += ", after the kernel killed one of its processes for want of memory"
    if unanswered:
        sentence += f" after {unanswered}"
    return f"{sentence}, asked by {asked}" if asked else sentence


def start_failed(step: str, error: str) -> str:
    """Return the sentence for a program that never ran."""
    return f"start failed at {step}: {error}" if step else f"start failed: {error}"


def asked_by(actor: Actor) -> str:
    """Return who asked: "POST /containers/web/stop (docker, pid 4711, uid 0)"."""
    known = [actor.comm] if actor.comm else []
    known += [f"pid {actor.pid}"] if actor.pid else []
    known += [f"uid {actor.uid}"] if actor.uid >= 0 else []
    return f"{actor.what} ({', '.join(known)})" if known else actor.what


def signal_name(number: int) -> str:
    """Return "SIGTERM"; a real-time signal by its distance, an unknown one by its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"signal {number}"


def size(count: int) -> str:
    """Return bytes in the largest unit that leaves a whole or short number: "64 MiB", "1.5 GiB"."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"


REBOOTED: Final = "the machine was restarted while it ran"
CUT_OFF: Final = "the start was cut off: sampand ended in the middle of it"
