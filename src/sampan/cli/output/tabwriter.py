"""Text in columns, by the rules of Go's text/tabwriter, which Docker's tables come from.

A cell ends with a tab; what follows a line's last tab belongs to no column. A column is a run of neighbouring lines
that all have a cell there, and is as wide as its widest cell and the padding, or the minimum.
"""

from __future__ import annotations

import unicodedata

TABLE = (10, 3)  # minimum width and padding of Docker's tables


def char_width(char: str) -> int:
    """Columns that a character takes: 2 for wide ones, 0 for those that combine with the one before."""
    if char.isascii():
        return 1
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def text_width(text: str) -> int:
    """Columns that `text` takes."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def align(text: str, minimum: int, padding: int) -> str:
    """`text`, whose cells end with tabs, in columns."""
    lines = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[0] * (len(cells) - 1) for cells in lines]
    _measure(lines, widths, range(len(lines)), 0, (minimum, padding))
    return "\n".join(_put(cells, width) for cells, width in zip(lines, widths, strict=True))


def _measure(
    lines: list[list[str]], widths: list[list[int]], among: range, column: int, sizes: tuple[int, int]
) -> None:
    """Set the widths of `column` and of those to its right, in the lines `among`, run by run."""
    row, end = among.start, among.stop
    while row < end:
        if len(lines[row]) - 1 <= column:
            row += 1
            continue
        stop = row
        width = sizes[0]
        while stop < end and len(lines[stop]) - 1 > column:
            width = max(width, text_width(lines[stop][column]) + sizes[1])
            stop += 1
        for line in range(row, stop):
            widths[line][column] = width
        _measure(lines, widths, range(row, stop), column + 1, sizes)
        row = stop


def _put(cells: list[str], widths: list[int]) -> str:
    padded = (cell + " " * (width - text_width(cell)) for cell, width in zip(cells, widths, strict=False))
    return "".join(padded) + cells[-1]
