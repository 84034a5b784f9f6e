"""Variables in a Dockerfile instruction: ``$NAME``, ``${NAME}``, ``${NAME:-word}``, ``${NAME:+word}``.

They are expanded where a shell would, not between single quotes and not behind a backslash; what comes in their place
is quoted, so that it stays part of its word. An unknown variable is empty.

Source: the Dockerfile reference, "Environment replacement".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_PIECE: Final = re.compile(
    r"""\\.|'[^']*'|"|\$(?:\{(?P<braced>\w+)(?:(?P<how>:[-+])(?P<word>[^}]*))?\}|(?P<name>[A-Za-z_]\w*))""", re.DOTALL
)
_PLAIN: Final = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


def environment(entries: Iterable[str]) -> dict[str, str]:
    """Return ``NAME=value`` entries as a mapping."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with its variables replaced by their (quoted) values."""
    quoted = False

    def replace(match: re.Match[str]) -> str:
        nonlocal quoted
        piece = match[0]
        if piece == '"':
            quoted = not quoted
        if piece[0] == "'" and quoted:  # an apostrophe within double quotes is just that
            return "'" + expand(piece[1:], values)
        return _quote(_value(match, values), quoted=quoted) if piece[0] == "$" else piece

    return _PIECE.sub(replace, text)


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(match["braced"] or match["name"], "")
    if match["how"] == ":-":
        return value or match["word"]
    if match["how"] == ":+":
        return match["word"] if value else ""
    return value


def _quote(value: str, *, quoted: bool) -> str:
    if quoted:
        return re.sub(r'(["\\])', r"\\\1", value)
    return value if _PLAIN.fullmatch(value) else re.sub(r"([^\w@%+=:,./-])", r"\\\1", value, flags=re.ASCII)
