"""Sizes and times as people and Docker's clients write them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from sampan.engine.errors import BadParameter

SECOND: Final = 1_000_000_000  # nanoseconds
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_STAMP: Final = re.compile(r"(-?\d+)(?:\.(\d{1,9})\d*)?")


def parse_size(text: str) -> int:
    """Return bytes of ``10m``, ``1.5GB``, ``4096``; powers of 1000, as Docker reads log sizes. Raises BadParameter."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadParameter(f"invalid size: '{text}'")
    return int(float(match[1]) * 1000 ** _POWERS[match[2].lower()])


def parse_timestamp(text: str) -> int:
    """Return nanoseconds of ``seconds[.fraction]`` since 1970, as the API's since and until are; "" is 0.

    Raises BadParameter with the words of dockerd's parser.
    """
    if not text:
        return 0
    match = _STAMP.fullmatch(text)
    if match is None:
        raise BadParameter(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(match[1]) * SECOND + int((match[2] or "").ljust(9, "0"))


def rfc3339(time_ns: int) -> str:
    """Return a time as Go's RFC3339Nano writes it, trailing zeros of the fraction cut; 0 is "never"."""
    if not time_ns:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(time_ns, SECOND)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + f".{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def nine_digits(time_ns: int) -> str:
    """Return a time with all nine digits of its fraction, as /info's SystemTime has it."""
    moment = datetime.fromtimestamp(time_ns // SECOND, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ns % SECOND:09d}Z"


def human_duration(seconds: float) -> str:
    """Return a duration in Docker's words: "Less than a second", "About a minute", "3 hours", "2 weeks"."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    return _long_duration(hours)


def _long_duration(hours: int) -> str:
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


_GO_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def until(text: str, now_ns: int) -> int:
    """Return nanoseconds of a moment: a Go duration back from now, a timestamp, or RFC 3339. Raises BadParameter."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now_ns - int(sum(float(number) * _GO_UNITS[unit] for number, unit in parts) * SECOND)
    if _STAMP.fullmatch(text):
        return parse_timestamp(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadParameter(f'failed to parse value as time or duration: "{text}"') from None
    return int(moment.timestamp() * SECOND)
