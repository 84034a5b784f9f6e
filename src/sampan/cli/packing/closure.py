"""Which libraries come with a program: those that the loader would find, in its order, breadth first.

Source: ld.so(8) for the order (RPATH of the object and of those that wanted it, RUNPATH, cache, default directories)
and for a library that is loaded already, which every later one of the same process gets.
"""

from __future__ import annotations

import os

from sampan.cli.packing import elf as elves
from sampan.cli.packing.search import System, expanded, is_musl, means_musl, musl_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.cli.packing.elf import Elf
    from sampan.cli.packing.tree import Tree

MAX_LIBRARIES = 5000  # in one process; a desktop program has a few hundred


class Missing(Exception):
    """Libraries that are not there: `names`, each with the object that wants it."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__(", ".join(f"{name} (for {wanting})" for name, wanting in names.items()))
        self.names = names


class Process:
    """A program as it would be loaded: its loader, and the libraries by the names that they are known by."""

    def __init__(self, path: str, elf: Elf, loaded: dict[str, str] | None = None) -> None:
        self.path = path
        self.elf = elf
        self.loaded = dict(loaded or {})


class Closures:
    """Puts programs with all that they are linked with into a tree."""

    def __init__(self, tree: Tree, system: System) -> None:
        self.tree = tree
        self.cached: dict[tuple[str, int], tuple[str, Elf]] = {}  # what is to be in the image's cache of libraries
        self.files: dict[str, Elf] = {}  # every object that was taken in, by its path without links
        self.loaders: set[str] = set()  # as programs name them
        self._system = system
        self._elves: dict[str, Elf | None] = {}

    def look(self, path: str) -> Elf | None:
        """`elf.read`, each file once. Raises BadElf, OSError."""
        if path not in self._elves:
            self._elves[path] = elves.read(path)
        return self._elves[path]

    def program(self, real: str, elf: Elf) -> Process:
        """Take in what the program `real` (a path without links, in the tree already) starts with.

        Raises Missing, BadElf, OSError.
        """
        process = Process(real, elf)
        self.files[real] = elf
        if elf.interpreter:
            self._loader(process)
        self._follow(process, real, elf)
        return process

    def _loader(self, process: Process) -> None:
        path = process.elf.interpreter
        found = self._fitting(path, process.elf) if path.startswith("/") else None
        if found is None:
            raise Missing({path: process.path})
        self.loaders.add(path)
        self.files[self.tree.add(path)] = found
        if found.soname:
            process.loaded[found.soname] = path
        if is_musl(path) and os.path.exists(musl_path(path)):
            self.tree.add(musl_path(path))

    def plugin(self, process: Process, real: str, elf: Elf) -> None:
        """Take in what an object needs that `process` opens while it runs. Raises as `program`."""
        self.files[real] = elf
        self._follow(Process(process.path, process.elf, process.loaded), real, elf)

    def library(self, process: Process, name: str) -> str | None:
        """Take in a library by its name as `process` would open it; None where there is none. Raises as `program`."""
        found = self._find(process, name, process.path, process.elf, ())
        if found is None:
            return None
        path, elf = found
        real = self._accept(path, elf)
        self.plugin(process, real, elf)
        return real

    def _follow(self, process: Process, path: str, elf: Elf) -> None:
        """Everything that an object is linked with."""
        missing: dict[str, str] = {}
        waiting: list[tuple[str, Elf, tuple[str, ...]]] = [(path, elf, ())]
        for wanting, one, inherited in waiting:
            for name in one.needed:
                if name in process.loaded or (is_musl(process.elf.interpreter) and means_musl(name)):
                    continue
                found = self._find(process, name, wanting, one, inherited)
                if found is None:
                    missing.setdefault(name, wanting)
                    continue
                process.loaded[name] = found[0]
                if found[1].soname:
                    process.loaded.setdefault(found[1].soname, found[0])
                self._accept(*found)
                mine = () if one.runpath else tuple(expanded(one.rpath, os.path.dirname(wanting), one))
                waiting.append((*found, mine + inherited))
            if len(waiting) > MAX_LIBRARIES:
                raise elves.BadElf(f"it wants more than {MAX_LIBRARIES} libraries")
        if missing:
            raise Missing(missing)

    def _accept(self, path: str, elf: Elf) -> str:
        real = self.tree.add(path)
        self.files[real] = elf
        return real

    def _find(
        self, process: Process, name: str, wanting: str, elf: Elf, inherited: tuple[str, ...]
    ) -> tuple[str, Elf] | None:
        """The path and the object that a name means for `wanting`; remembered for the cache where that leads to it."""
        if "/" in name:
            found = self._fitting(name, elf) if name.startswith("/") else None
            return (name, found) if found else None
        for path in self._own(name, wanting, elf, inherited):
            if found := self._fitting(path, elf):
                return path, found
        for path in self._system.places(name, elf, process.elf.interpreter):
            if found := self._fitting(path, elf):
                if process.elf.interpreter and not is_musl(process.elf.interpreter):
                    self.cached.setdefault((name, elf.bits), (path, found))
                return path, found
        return None

    @staticmethod
    def _own(name: str, wanting: str, elf: Elf, inherited: tuple[str, ...]) -> Iterator[str]:
        """Where the object itself, or one that wanted it, sends the loader."""
        origin = os.path.dirname(wanting)
        directories = [*expanded(elf.runpath or elf.rpath, origin, elf), *(() if elf.runpath else inherited)]
        return (f"{directory}/{name}" for directory in directories)

    def _fitting(self, path: str, elf: Elf) -> Elf | None:
        """The object at `path`, if there is one of the same machine as `elf`; others are passed over, as ld.so does."""
        try:
            found = self.look(path)
        except (OSError, elves.BadElf):
            return None
        return found if found is not None and found.kind == elf.kind else None
