"""Docker's json-file format, one JSON object a line: ``{"log":"\\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}``.

Words.  *line*: what the container wrote up to a newline.  *piece*: a part of a line that is longer than LINE_LIMIT; its
        ``log`` has no newline at its end.  *stamp*: a time in RFC 3339 with nanoseconds, trailing zeros trimmed.
Cost.   ``entries`` is a handful of passes over the whole text, none per line: millions of lines a second.

Equal to dockerd's jsonfilelog byte for byte (tests/peer/logs.json): ``<``, ``>`` and ``&`` become ``\\u003c`` and so
on, control characters ``\\u00xx`` (tab and backspace too; newline and carriage return are ``\\n`` and ``\\r``), U+2028
and U+2029 their escapes, and every byte that is not UTF-8 becomes ``\\ufffd``. Binary output, full of different control
characters, is written in other bytes that read the same, but for U+FFFD standing once for each broken character.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Final

LINE_LIMIT: Final = 16384  # bytes of one entry's text, newline included; dockerd's copier buffer
_NANO: Final = 1_000_000_000

_ESCAPES: Final[dict[int, bytes]] = {
    **{code: b"\\u%04x" % code for code in (*range(0x20), *b"<>&")},
    ord("\r"): b"\\r",
    ord('"'): b'\\"',
    ord("\\"): b"\\\\",
}
del _ESCAPES[ord("\n")]  # ends an entry; `entries` escapes it
_ORDINARY: Final = bytes(code for code in range(256) if code not in _ESCAPES)
_DENSE: Final = 8  # different characters to escape, beyond which one pass of the encoder beats one pass for each
_HTML: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]")


def escape(text: bytes) -> bytes:
    """Return ``text`` as the inside of a JSON string, newlines left as they are."""
    special = set(text.translate(None, _ORDINARY))
    if len(special) > _DENSE:
        return _escape_dense(text)
    if not text.isascii():
        text = _valid(text)
    if special:
        if 0x5C in special:  # the backslash first: the other escapes begin with one
            special.remove(0x5C)
            text = text.replace(b"\\", b"\\\\")
        for code in special:
            text = text.replace(b"%c" % code, _ESCAPES[code])
    if b"\xe2\x80" in text:
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    # A placeholder stands for a byte that is no UTF-8 until the backslashes are done: 0xff is in no UTF-8 text.
    return text.replace(b"\xff", b"\\ufffd") if b"\xff" in text else text


def _valid(text: bytes) -> bytes:
    """Return ``text`` with 0xff for every byte that is not part of UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        marked = _NOT_UTF8.sub("\udcff", text.decode("utf-8", "surrogateescape"))
        return marked.encode("utf-8", "surrogateescape")
    return text


def _escape_dense(text: bytes) -> bytes:
    """Escape what is no text at all: the interpreter's own JSON encoder takes any bytes at one speed.

    A lone surrogate, which no UTF-8 decodes to, keeps the newlines' places meanwhile.
    """
    marked = text.decode("utf-8", "replace").replace("\n", "\ud800")
    escaped = encode_basestring(marked)[1:-1].replace("\ud800", "\n")
    for character, sequence in _HTML.items():
        escaped = escaped.replace(character, sequence)
    return str.encode(escaped)


def entries(lines: bytes, ending: bytes) -> bytes:
    """Return the entries of ``lines``, whole lines each ended by a newline; ``ending`` is what `entry_ending` made."""
    body = escape(lines).replace(b"\n", b"\\n" + ending + b'{"log":"')
    return b'{"log":"' + body[:-8]


def piece(text: bytes, ending: bytes) -> bytes:
    """Return the entry of a text that has no newline: a part of a long line, or the last words of a stream."""
    return b'{"log":"' + escape(text) + ending


def entry_ending(stream: bytes, now: bytes, attrs: bytes = b"") -> bytes:
    """Return what follows the text in an entry; ``attrs`` is a JSON object or nothing, ``now`` a stamp."""
    extra = b'"attrs":' + attrs + b"," if attrs else b""
    return b'","stream":"' + stream + b'",' + extra + b'"time":"' + now + b'"}\n'


def attributes(pairs: Mapping[str, str]) -> bytes:
    """Return the JSON object of an entry's attributes (labels, environment, tag), sorted; nothing for none."""
    members = (b'"%b":"%b"' % (_text(name), _text(value)) for name, value in sorted(pairs.items()))
    return b"{" + b",".join(members) + b"}" if pairs else b""


def _text(value: str) -> bytes:
    return escape(value.encode("utf-8", "surrogateescape")).replace(b"\n", b"\\n")


def piece_end(text: bytes, start: int) -> int:
    """Return where the piece of LINE_LIMIT bytes from ``start`` ends.

    dockerd cuts characters in two, and both halves become U+FFFD; here a cut never falls inside a character.
    """
    end = start + LINE_LIMIT
    for back in range(4):
        if text[end - back] & 0xC0 != 0x80:
            return end - back
    return end


_second = -1
_second_text = b""


def stamp(time_ns: int) -> bytes:
    """Return ``time_ns`` (nanoseconds since 1970, UTC) as Go's RFC3339Nano writes it."""
    global _second, _second_text  # noqa: PLW0603 - the text of the current second, made once a second
    seconds, nanoseconds = divmod(time_ns, _NANO)
    if seconds != _second:
        _second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
        _second = seconds
    fraction = (b".%09d" % nanoseconds).rstrip(b"0") if nanoseconds else b""
    return _second_text + fraction + b"Z"
