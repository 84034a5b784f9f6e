"""``--help``, made from the commands' own tables in pflag's and Docker's layout."""

from __future__ import annotations

import os

from sampan.cli.parser import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sampan.cli.parser import Command, Flag

DEFAULT_WIDTH = 80  # columns, where stdin is no terminal
SLOP = 5  # columns that a line may run over to avoid an orphan word
MIN_TEXT = 24  # columns below which text is not wrapped beside its flag
NAME_WIDTH = 11


def terminal_width() -> int:
    """Columns of the terminal on stdin (where Docker looks)."""
    try:
        return os.get_terminal_size(0).columns or DEFAULT_WIDTH
    except OSError:
        return DEFAULT_WIDTH


def command_help(command: Command, width: int) -> str:
    """The help of one command."""
    parts = [f"Usage:  {command.use_line}", command.short]
    if command.aliases:
        names = ", ".join(f"{PROGRAM} {name}" for name in command.aliases)
        parts.append(f"Aliases:\n  {names}")
    if any(not flag.hidden for flag in command.flags):
        parts.append("Options:\n" + flag_usages(command.flags, width - 1).rstrip())
    return "\n\n".join(parts) + "\n"


def list_commands(title: str, entries: Iterable[tuple[str, str]]) -> str:
    """A titled list of commands and what they do."""
    return "\n".join([f"{title}:", *(f"  {name:<{NAME_WIDTH}} {short}" for name, short in entries)])


def flag_usages(flags: Sequence[Flag], columns: int) -> str:
    """The lines of all flags that are not hidden, by name, wrapped at `columns`."""
    shown = [(_left(flag), _right(flag)) for flag in sorted(flags, key=lambda f: f.name) if not flag.hidden]
    indent = max(len(left) for left, _ in shown) + 3
    return "".join(f"{left:<{indent}}{_wrap(indent, columns, right)}\n" for left, right in shown)


def _left(flag: Flag) -> str:
    start = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    return f"{start} {flag.kind.name}" if flag.kind.name else start


def _right(flag: Flag) -> str:
    return f"{flag.usage} (default {flag.kind.shown})" if flag.kind.shown else flag.usage


def _wrap(indent: int, columns: int, text: str) -> str:
    width = columns - indent
    start = ""
    if width < MIN_TEXT:
        indent, width = 16, columns - 16
        start = "\n" + " " * indent
    if width < MIN_TEXT:
        return text.replace("\n", start)
    lines: list[str] = []
    while text or not lines:
        line, text = _first_line(width - SLOP, text)
        lines.append(line.replace("\n", "\n" + " " * indent))
    return start + ("\n" + " " * indent).join(lines)


def _first_line(width: int, text: str) -> tuple[str, str]:
    """Cut `text` at the last white space before `width`, or at a line end before that."""
    if width + SLOP > len(text):
        return text, ""
    cut = max(text.rfind(c, 0, width) for c in " \t\n")
    if cut <= 0:
        return text, ""
    newline = text.rfind("\n", 0, width)
    if 0 < newline < cut:
        cut = newline
    return text[:cut], text[cut + 1 :]
