"""Times on the command line (--since, --until): a span before now, RFC 3339 in parts, or seconds since the epoch."""

from __future__ import annotations

import re

from sampan.cli.gotext import quote
from sampan.cli.kinds import read_duration

_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?(Z|z|[+-]\d\d:\d\d)?\Z", re.ASCII
)
_SECONDS = re.compile(r"-?\d+(\.\d+)?\Z", re.ASCII)


def timestamp(text: str) -> str:
    """Seconds since the epoch (with a fraction) as the API takes them; "" for "". Raises ValueError."""
    import time

    if not text:
        return ""
    try:
        if text != "0":
            return str(int(time.time() - read_duration(text) / 1e9))
    except ValueError:
        pass  # not a span of time; the other forms follow
    match = _DATE.match(text)
    if match is not None:
        seconds = _seconds(match)
        return f"{seconds}.{(match[7] or '')[:9]:0<9}"
    if "-" in text.lstrip("-"):
        raise ValueError(f'parsing time {quote(text)} as "2006-01-02": cannot parse {quote(text)} as "2006"')
    if _SECONDS.match(text):
        return text
    raise ValueError(f"failed to parse value as time or duration: {quote(text)}")


def _seconds(match: re.Match[str]) -> int:
    import calendar
    import time

    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    zone = match[8]
    fields = (year, month, day, hour, minute, second, 0, 0, -1)
    if zone is None:
        return int(time.mktime(fields))
    seconds = calendar.timegm(fields)
    if zone in {"Z", "z"}:
        return seconds
    offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return seconds - offset if zone[0] == "+" else seconds + offset
