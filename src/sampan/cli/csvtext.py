"""A record of comma-separated values, read as Go's encoding/csv does: --subnet, --network and others are such."""

from __future__ import annotations


def split_csv(text: str) -> list[str]:
    """The fields of `text`; those with commas in them stand in double quotes. Raises ValueError in Go's words."""
    if '"' not in text:
        return text.split(",") if text else []
    fields: list[str] = []
    at = 0
    while True:
        field, at = _quoted(text, at + 1) if text[at : at + 1] == '"' else _bare(text, at)
        fields.append(field)
        if at >= len(text):
            return fields
        at += 1


def _bare(text: str, at: int) -> tuple[str, int]:
    """The field that begins at `at`, and where its comma is."""
    end = text.find(",", at)
    end = len(text) if end < 0 else end
    quote = text.find('"', at, end)
    if quote >= 0:
        raise ValueError(f'parse error on line 1, column {quote + 1}: bare " in non-quoted-field')
    return text[at:end], end


def _quoted(text: str, at: int) -> tuple[str, int]:
    """The field whose opening quote is before `at`, and where its comma is; two quotes in it are one."""
    field = ""
    while True:
        end = text.find('"', at)
        if end < 0:
            raise ValueError(_fault(len(text) + 1))
        field += text[at:end]
        if text[end + 1 : end + 2] != '"':
            break
        field, at = field + '"', end + 2
    if text[end + 1 : end + 2] not in {"", ","}:
        raise ValueError(_fault(end + 1))
    return field, end + 1


def _fault(column: int) -> str:
    return f'parse error on line 1, column {column}: extraneous or missing " in quoted-field'
