"""search: by the index protocol of Docker Hub where a registry has it, else among the repositories that it lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from sampan.distribution.errors import BadContent, Refused

if TYPE_CHECKING:
    from sampan.distribution.registry import Repository

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 25


@dataclass(frozen=True, slots=True)
class Hit:
    """One repository."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False


def search(registry: Repository, term: str, limit: int) -> list[Hit]:
    """Return at most ``limit`` repositories for a term. Raises DistributionError."""
    try:
        document = registry.get_json(f"/v1/search?{urlencode({'q': term, 'n': limit})}")
    except Refused as error:
        if error.http not in (404, 405):
            raise
        return [Hit(name) for name in registry.catalog() if term in name][:limit]
    results = document.get("results")
    if not isinstance(results, list):
        raise BadContent(f"{registry.endpoint.url}: the answer to a search has no results")
    return [_hit(one) for one in results if isinstance(one, dict) and isinstance(one.get("name"), str)][:limit]


def _hit(one: dict[str, object]) -> Hit:
    stars, description = one.get("star_count"), one.get("description")
    return Hit(
        str(one["name"]),
        description if isinstance(description, str) else "",
        stars if isinstance(stars, int) else 0,
        one.get("is_official") is True,
        one.get("is_automated") is True,
    )
