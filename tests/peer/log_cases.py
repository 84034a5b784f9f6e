"""What the peer was given to log; tests/peer/logs.json is what it made of it."""

import re

LINE = 16384  # dockerd's copier buffer


def _log_input() -> bytes:
    lines = [b"x" + bytes([code]) + b"y" for code in range(256) if code != 0x0A]
    lines += ["é\u2028 \u2029 \u2027 😀 \ufeff \ufffd \ud7ff \ue000 \x80 \x9f".encode()]
    lines += [
        b"\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80 \xe2\x80 \xf0\x9f\x98 \xff\xfe \xc3",
        b"\xe2\x80",
        b"\xe2\x80\xa8",
    ]
    lines += [b"", b"", b"\r", b"\"\\/<>&'", b"\\u2028 \\n \\\\", b"a\x00b"]
    lines += [b"A" * (LINE - 1), b"B" * LINE, b"C" * (LINE + 1), b"D" * 40000]
    return b"\n".join([*lines, b"no newline"])


LOG_INPUT = _log_input()


def comparable(line: bytes) -> str:
    """The line without its time, and with ``{A*16383}`` for a long run of one letter."""
    text = re.sub(r'"time":"[^"]*"', '"time":""', line.decode())
    return re.sub(r"([A-Z])\1{99,}", lambda run: f"{{{run[1]}*{len(run[0])}}}", text)
