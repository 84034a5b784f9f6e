"""The fields of an image in ``images``. An item is a row: image, repository, tag, digest."""

from __future__ import annotations

import time

from sampan.cli.gotext import human_duration, human_size, local_time
from sampan.cli.output.listing import Listing
from sampan.cli.references import familiar_name, short_id, take_apart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
DIGEST_COLUMNS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
NONE = "<none>"


class Row:
    """A line of ``images``: an image has one for each of its tags (and digests, where they are shown)."""

    __slots__ = ("digest", "image", "repository", "tag", "trunc")

    def __init__(self, image: dict[str, Any], repository: str, tag: str, digest: str, *, trunc: bool) -> None:
        self.image = image
        self.repository = repository
        self.tag = tag
        self.digest = digest
        self.trunc = trunc


def rows(images: Iterable[dict[str, Any]], *, trunc: bool, digests: bool, need_digest: bool) -> Iterator[Row]:
    """The rows of `images`: `digests` shows a row for each digest, `need_digest` when a template names it."""
    for image in images:
        tags, found = image.get("RepoTags") or [], image.get("RepoDigests") or []
        if (not tags and not found) or (tags == ["<none>:<none>"] and found == ["<none>@<none>"]):
            yield Row(image, NONE, NONE, NONE, trunc=trunc)
            continue
        yield from _named_rows(image, tags, found, trunc=trunc, digests=digests, need_digest=need_digest)


def _named_rows(
    image: dict[str, Any], tags: list[str], found: list[str], *, trunc: bool, digests: bool, need_digest: bool
) -> Iterator[Row]:
    by_name: dict[str, list[str]] = {}
    for reference in tags:
        name, tag, _ = take_apart(reference)
        by_name.setdefault(familiar_name(name), []).append(tag)
    digests_of: dict[str, list[str]] = {}
    for reference in found:
        name, _, digest = take_apart(reference)
        digests_of.setdefault(familiar_name(name), []).append(digest)
    for name, its_tags in by_name.items():
        own = digests_of.pop(name, [])
        shown = own if (digests or need_digest) and own else [NONE]
        for tag in its_tags:
            for digest in shown:
                yield Row(image, name, tag, digest, trunc=trunc)
    for name, own in digests_of.items():
        for digest in own if digests else [""]:
            yield Row(image, name, NONE, digest, trunc=trunc)


def _since(row: Row) -> str:
    return human_duration(time.time() - int(row.image.get("Created") or 0)) + " ago"


def _shared(row: Row) -> str:
    shared = row.image.get("SharedSize", -1)
    return "N/A" if shared == -1 else human_size(shared)


def _unique(row: Row) -> str:
    shared, size = row.image.get("SharedSize", -1), row.image.get("Size", -1)
    return "N/A" if -1 in {shared, size} else human_size(size - shared)


def _containers(row: Row) -> str:
    count = row.image.get("Containers", -1)
    return "N/A" if count == -1 else str(count)


IMAGES = Listing(
    {
        "ID": lambda row: short_id(row.image["Id"]) if row.trunc else row.image["Id"],
        "Repository": lambda row: row.repository,
        "Tag": lambda row: row.tag,
        "Digest": lambda row: row.digest,
        "CreatedSince": _since,
        "CreatedAt": lambda row: local_time(int(row.image.get("Created") or 0)),
        "Size": lambda row: human_size(row.image.get("Size") or 0, 3),
        "Containers": _containers,
        "VirtualSize": lambda row: human_size(row.image.get("Size") or 0),
        "SharedSize": _shared,
        "UniqueSize": _unique,
    },
    {
        "ID": "IMAGE ID",
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
        "Containers": "CONTAINERS",
        "VirtualSize": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
    },
    "*formatter.imageContext",
)
