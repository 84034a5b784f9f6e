"""Files of ``KEY=value`` lines: --env-file and --label-file."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BOM = b"\xef\xbb\xbf"


def read_pairs(path: str, look_up: Callable[[str], str | None] | None) -> list[str]:
    """The pairs of a file; a key alone takes its value from `look_up`, or is left out. Raises ValueError."""
    try:
        with open(path, "rb") as file:
            lines = file.read().removeprefix(BOM).split(b"\n")
    except OSError as error:
        raise ValueError(f"open {path}: {(error.strerror or '').lower()}") from None
    pairs = []
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            octets = " ".join(str(octet) for octet in raw)
            raise ValueError(f"invalid env file ({path}): invalid utf8 bytes at line {number}: [{octets}]") from None
        pair = _pair(line, path, look_up)
        if pair is not None:
            pairs.append(pair)
    return pairs


def _pair(line: str, path: str, look_up: Callable[[str], str | None] | None) -> str | None:
    if not line or line[0] == "#":
        return None
    key, separator, _ = line.partition("=")
    if not key:
        raise ValueError(f"invalid env file ({path}): no variable name on line '{line}'")
    if " " in key or "\t" in key:
        raise ValueError(f"invalid env file ({path}): variable '{key}' contains whitespaces")
    if separator:
        return line
    value = look_up(line) if look_up else None
    return None if value is None else f"{key}={value}"
