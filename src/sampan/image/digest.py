"""Digests (``sha256:<hex>``) and the chain IDs that name stacks of layers.

Source: OCI image specification, descriptor.md (digests) and config.md (diff ID, chain ID).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from sampan.image.errors import InvalidReference

HEX_LENGTH: Final = {"sha256": 64, "sha384": 96, "sha512": 128}  # registered algorithms, lower-case hex digits
_SHAPE: Final = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX: Final = re.compile(r"[0-9a-f]+")


def parse(text: str) -> str:
    """Return ``text`` when it is a well-formed digest of an algorithm we know.

    Raises InvalidReference with go-digest's messages otherwise. A parsed digest is safe as a file name.
    """
    if not _SHAPE.fullmatch(text):
        raise InvalidReference("invalid checksum digest format")
    algorithm, _, hexadecimal = text.partition(":")
    length = HEX_LENGTH.get(algorithm)
    if length is None:
        raise InvalidReference("unsupported digest algorithm")
    if len(hexadecimal) != length:
        raise InvalidReference("invalid checksum digest length")
    if not _HEX.fullmatch(hexadecimal):
        raise InvalidReference("invalid checksum digest format")
    return text


def is_digest(text: object) -> bool:
    """Tell whether ``text`` is a string that :func:`parse` would accept."""
    if not isinstance(text, str):
        return False
    try:
        parse(text)
    except InvalidReference:
        return False
    return True


def of(content: bytes) -> str:
    """Return the sha256 digest of ``content``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def hasher(digest: str) -> hashlib._Hash:
    """Return an empty hash object of the digest's algorithm."""
    return hashlib.new(digest.partition(":")[0], usedforsecurity=False)


def chain_ids(diff_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the chain ID of each layer, bottom first: ``sha256(parent chain + " " + diff ID)``."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)
