"""Go's ways of writing things, where Docker's output shows them: quoted strings, number errors, sizes, durations."""

from __future__ import annotations

_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def quote(text: str) -> str:
    """`text` as strconv.Quote writes it: ``%q``."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_quoted(c) for c in text) + '"'


def quote_char(char: str) -> str:
    """A character as ``%q`` writes a rune: ``'x'``."""
    return "'" + ("\\'" if char == "'" else '"' if char == '"' else _quoted(char)) + "'"


def _quoted(char: str) -> str:
    point = ord(char)
    if point in _ESCAPES:
        return _ESCAPES[point]
    if char.isprintable():
        return char
    if 0xDC80 <= point <= 0xDCFF:  # an octet that is no UTF-8, as Python carries it
        return f"\\x{point - 0xDC00:02x}"
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def human_size(size: float, precision: int = 4) -> str:
    """`size` in bytes with decimal units: ``1.98MB``."""
    return _sized(size, 1000.0, _DECIMAL, precision)


def binary_size(size: float) -> str:
    """`size` in bytes with binary units: ``23.54GiB``."""
    return _sized(size, 1024.0, _BINARY, 4)


def _sized(size: float, base: float, units: tuple[str, ...], precision: int) -> str:
    step = 0
    while size >= base and step < len(units) - 1:
        size /= base
        step += 1
    return format_g(size, precision) + units[step]


def format_g(number: float, precision: int) -> str:
    """``%.*g``: Python writes it as Go does, exponents too."""
    return f"{number:.{precision}g}"


def human_duration(seconds: float) -> str:
    """A time span in Docker's words: ``2 minutes``, ``About an hour``."""
    whole, minutes = int(seconds), int(seconds / 60)
    hours = int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    for limit, size, name in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if days < limit:
            return f"{days // size} {name}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def local_time(seconds: int) -> str:
    """A time as Go's time.Time prints itself, in the local zone: ``2026-11-24 08:14:01 +0000 UTC``."""
    import time

    moment = time.localtime(seconds)
    offset = moment.tm_gmtoff
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 3600:02d}{abs(offset) % 3600 // 60:02d}"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', moment)} {zone} {moment.tm_zone}"


def rfc3339(seconds: int, nanoseconds: int | None = None) -> str:
    """A time in the local zone, RFC 3339; with nine digits of fraction where `nanoseconds` is given."""
    import time

    moment = time.localtime(seconds)
    fraction = "" if nanoseconds is None else f".{nanoseconds:09d}"
    offset = moment.tm_gmtoff
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 3600:02d}:{abs(offset) % 3600 // 60:02d}" if offset else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}{fraction}{zone}"


def go_time(text: str) -> str:
    """A time of the API (RFC 3339) as Go's time.Time prints itself: ``2026-11-24 11:13:33.86164848 +0000 UTC``."""
    day, _, rest = text.partition("T")
    clock, zone = (rest[:-1], "") if rest.endswith("Z") else (rest[:-6], rest[-6:])
    if not zone:
        return f"{day} {clock} +0000 UTC"
    offset = zone.replace(":", "")
    return f"{day} {clock} {offset} {_zone_name(text) or offset}"


def _zone_name(text: str) -> str:
    """The local zone's name, where it is the zone of `text`; Go gives other offsets no name."""
    import time
    from datetime import datetime

    moment = datetime.fromisoformat(text[:19] + text[-6:])
    local, offset = time.localtime(moment.timestamp()), moment.utcoffset()
    return local.tm_zone if offset is not None and offset.total_seconds() == local.tm_gmtoff else ""


def natural(text: str) -> list[tuple[int, int, int]]:
    """A key that sorts texts with the numbers in them by their value."""
    import re

    key: list[tuple[int, int, int]] = []
    for part in re.findall(r"[0-9]+|[^0-9]", text):
        # A digit stands among other characters where "0" does; of two equal numbers that with fewer zeros comes first.
        number = part.isascii() and part.isdecimal()
        key.append((ord("0"), int(part), len(part)) if number else (ord(part), 0, 0))
    return key


def ellipsis(text: str, width: int) -> str:
    """`text` cut to `width` columns, with ``…`` at its end where it was cut."""
    from sampan.cli.output.tabwriter import char_width

    if text.isascii():
        return text if len(text) <= width else text[: width - 1] + "…"
    total, cut = 0, 0
    for index, char in enumerate(text):
        total += char_width(char)
        if total <= width - 1:
            cut = index + 1
    return text if total <= width else text[:cut] + "…"
