"""Signals as `docker kill` and `docker stop` name them.

Source. dockerd 26.1: any number but 0 is understood, also one that Linux can't send; that is told when it is sent.
"""

from __future__ import annotations

import re
import signal
from typing import Final

from sampan.engine.errors import BadParameter

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NAMES: Final = {
    **{one.name.removeprefix("SIG"): int(one) for one in signal.Signals},
    "IOT": int(signal.SIGABRT),
    "POLL": int(signal.SIGIO),
    **{f"RTMIN+{number}": signal.SIGRTMIN + number for number in range(1, 16)},
    **{f"RTMAX-{number}": signal.SIGRTMAX - number for number in range(1, 15)},
}


def parse(text: str) -> int:
    """Return the number of a signal by number or name, with or without SIG. Raises BadParameter."""
    number = int(text) if _NUMBER.fullmatch(text) else _NAMES.get(text.upper().removeprefix("SIG"), 0)
    if not number:
        raise BadParameter(f"invalid signal: {text}")
    return number


def can_be_sent(number: int) -> bool:
    """Tell whether Linux has the signal for programs: 32 and 33 are the C library's own, signal(7)."""
    return number in signal.valid_signals()
