"""Patterns as Go's ``path.Match`` has them, for whole texts.

``*`` and ``?`` do not cross a slash, ``[a-z]`` and ``[^a]`` are classes, a backslash takes away a meaning.
In Python's fnmatch classes, escapes and faults are others, hence this.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sampan.engine.errors import Internal

_BAD: Final = "syntax error in pattern"


@lru_cache(maxsize=64)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern as a regular expression, for `fullmatch`. Raises Internal for a faulty one, as dockerd."""
    out, index = [], 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            text, index = _class(pattern, index)
            out.append(text)
        else:
            literal, index = _literal(pattern, index - 1)
            out.append(re.escape(literal))
    return re.compile("".join(out), re.DOTALL)


def _literal(pattern: str, index: int) -> tuple[str, int]:
    """Return one character, escaped or not, and where the next begins."""
    if pattern[index : index + 1] == "\\":
        index += 1
    if index >= len(pattern):
        raise Internal(_BAD)
    return pattern[index], index + 1


def _class(pattern: str, index: int) -> tuple[str, int]:
    """Return a class whose bracket was read as a regular expression, and where what follows begins."""
    negated = pattern[index : index + 1] == "^"
    index += negated
    ranges: list[str] = []
    while pattern[index : index + 1] != "]" or not ranges:
        low, index = _bound(pattern, index)
        high = low
        if pattern[index : index + 1] == "-":
            high, index = _bound(pattern, index + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")  # a range that goes down holds nothing
    body = "".join(ranges)
    if not body:
        return ("." if negated else "(?!)"), index + 1
    return f"[{'^' if negated else ''}{body}]", index + 1


def _bound(pattern: str, index: int) -> tuple[str, int]:
    if pattern[index : index + 1] in ("", "-", "]"):
        raise Internal(_BAD)
    return _literal(pattern, index)
