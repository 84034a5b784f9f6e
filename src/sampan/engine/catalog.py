"""All containers in memory, found by id, unambiguous prefix of it, or name.

Cost.   By name or full id O(1), by prefix O(containers).
Races.  A name is taken by `reserve` before the container exists, so that two creations can't both have it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sampan.engine.errors import AmbiguousPrefix, BadParameter, NameTaken, NoSuchContainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.engine.container import Container

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def check_name(name: str, shown: str | None = None) -> str:
    """Return the name without a leading slash. Raises BadParameter for what Docker's grammar refuses."""
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        text = name if shown is None else shown
        raise BadParameter(f"Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


class Catalog:
    """The containers of one data root."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, ref: str) -> Container:
        """The container that ``ref`` means. Raises NoSuchContainer or AmbiguousPrefix."""
        if not ref:
            raise BadParameter("Container name cannot be empty")
        found = self._by_id.get(ref) or self._by_id.get(self._names.get(ref.removeprefix("/"), ""))
        if found is not None:
            return found
        matches = [one for key, one in self._by_id.items() if key.startswith(ref)]
        if len(matches) > 1:
            raise AmbiguousPrefix(ref)
        if not matches:
            raise NoSuchContainer(ref)
        return matches[0]

    def find(self, ref: str) -> Container | None:
        """The container that ``ref`` means, or None."""
        try:
            return self.get(ref)
        except (NoSuchContainer, AmbiguousPrefix):
            return None

    def reserve(self, name: str, container_id: str) -> None:
        """Take a name for an id. Raises NameTaken."""
        holder = self._names.setdefault(name, container_id)
        if holder != container_id:
            raise NameTaken(name, holder)

    def taken(self, name: str) -> bool:
        """Whether someone has the name."""
        return name in self._names

    def release(self, name: str) -> None:
        """Give a name back."""
        self._names.pop(name, None)

    def add(self, container: Container) -> None:
        """Let a container be found."""
        self._by_id[container.id] = container
        self._names[container.name] = container.id

    def remove(self, container: Container) -> None:
        """Let it be found no longer, and free its name."""
        self._by_id.pop(container.id, None)
        if self._names.get(container.name) == container.id:
            del self._names[container.name]
