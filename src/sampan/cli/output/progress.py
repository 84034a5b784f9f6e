"""Streams of JSON messages from the daemon (load, import, pull) as text."""

from __future__ import annotations

from sampan.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def show(messages: Iterable[dict[str, Any]], write: Callable[[str], None], *, terminal: bool) -> None:
    """Write `messages`; on a `terminal` each thing that makes progress keeps a line. Raises CommandError."""
    lines: dict[str, int] = {}  # which line, from the first, belongs to which id
    for message in messages:
        problem = message.get("errorDetail") or ({"message": message["error"]} if message.get("error") else None)
        if problem:
            raise CommandError(str(problem.get("message", "")))
        if message.get("aux") is not None:  # for programs: the digest of what was pushed
            continue
        identity, progress = message.get("id", ""), message.get("progressDetail")
        if progress and not terminal:
            continue
        if not (terminal and identity and (progress is not None or message.get("progress"))):
            lines.clear()
            write(_text(message, terminal=terminal))
            continue
        if identity not in lines:
            lines[identity] = len(lines)
            write("\n")
        up = len(lines) - lines[identity]
        write(f"\x1b[{up}A\x1b[2K\r{_text(message, terminal=True)}\x1b[{up}B\r")


def _text(message: dict[str, Any], *, terminal: bool) -> str:
    if message.get("stream"):
        return str(message["stream"])
    parts = f"{message['id']}: " if message.get("id") else ""
    if message.get("from"):
        parts += f"(from {message['from']}) "
    bar = _bar(message.get("progressDetail") or {}) if terminal else ""
    if bar:
        return f"{parts}{message.get('status', '')} {bar}"
    return f"{parts}{message.get('status', '')}" + (
        "" if terminal and message.get("progressDetail") is not None else "\n"
    )


def _bar(detail: dict[str, Any]) -> str:
    """``[====>    ]  1.2MB/4.5MB``."""
    from sampan.cli.gotext import human_size

    current, total = detail.get("current") or 0, detail.get("total") or 0
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{human_size(current):>8}"
    half = min(int(current / total * 100) // 2, 50)
    bar = "[" + "=" * half + ">" + " " * (50 - half) + "]  " if half < 50 else "[" + "=" * 50 + ">]  "
    return f"{bar}{human_size(current):>8}/{human_size(total)}"
