"""From names of programs to the tree that they run in, with everything that stands against it said at once."""

from __future__ import annotations

import os

from sampan.cli.errors import CommandError, explain
from sampan.cli.packing import programs, runtimes
from sampan.cli.packing.closure import Closures, Missing
from sampan.cli.packing.elf import BadElf
from sampan.cli.packing.furniture import furnish
from sampan.cli.packing.search import System
from sampan.cli.packing.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sampan.cli.packing.closure import Process

# Opened by glibc when it is first asked for a user or a host, or when a thread is cancelled (libgcc_s).
_OF_GLIBC = ("libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1")
_SHELLS = frozenset(("sh", "ash", "bash", "dash", "ksh", "zsh"))
_INSTALL = "install what brings it, or name another program"


class Collector:
    """Collects one image. `path` is a PATH, `directory` the one that relative paths are below."""

    def __init__(self, path: str, directory: str, note: Callable[[str], None]) -> None:
        self.tree = Tree(note)
        self.closures = Closures(self.tree, System())
        self.found: list[str] = []  # the programs' paths, in the order that they were named in
        self._path = path
        self._directory = directory
        self._note = note
        self._done: set[str] = set()

    def collect(self, names: Sequence[str], includes: Sequence[str]) -> None:
        """Take in programs, and files or directories as they are. Raises CommandError that tells all that is wrong."""
        problems: list[CommandError] = []
        named: dict[str, str] = {}
        for name in names:
            try:
                self.found.append(self._named(name, named))
                self._program(self.found[-1], 0)
            except CommandError as problem:
                problems.append(problem)
        for name in includes:
            try:
                self._include(name, named)
            except CommandError as problem:
                problems.append(problem)
        if problems:
            raise CommandError("\n".join(map(str, problems)))
        furnish(self.closures)

    def architecture(self, host: str) -> str:
        """GOARCH name of the image: `host`, unless all programs are for another machine."""
        known = [elf.architecture for elf in self.closures.files.values() if elf.architecture]
        return host if host in known or not known else known[0]

    def _named(self, name: str, named: dict[str, str]) -> str:
        try:
            path = programs.find(name, self._path, self._directory)
        except programs.NotThere as error:
            attempt = "a path, or another PATH" if "/" not in name else "another path"
            raise explain(f"cannot pack {name or 'a program'}", str(error), attempt) from None
        _check_once(name, path, named)
        return path

    def _include(self, name: str, named: dict[str, str]) -> None:
        path = os.path.join(self._directory, name)
        try:
            os.lstat(path)
            _check_once(name, path.rstrip("/") or "/", named)
            self.tree.add_all(path)
        except (OSError, ValueError) as error:
            raise _of_file(name, error) from None

    def _program(self, path: str, depth: int) -> None:
        """Take in a program, or a script with its interpreter."""
        if path in self._done:
            return
        self._done.add(path)
        try:
            real = self.tree.add(path)
            elf = self.closures.look(real)
            if elf is None:
                self._script(path, real, depth)
                return
            process = self.closures.program(real, elf)
            self._plugins(process)
            if runtimes.is_python(real):
                self._modules(process, runtimes.add_python(self.tree, path, real))
        except Missing as error:
            raise _of_libraries(path, error) from None
        except BadElf as error:
            raise explain(f"cannot pack {path}", str(error), _INSTALL) from None
        except (OSError, ValueError) as error:
            raise _of_file(path, error) from None

    def _script(self, path: str, real: str, depth: int) -> None:
        try:
            wanted = programs.interpreters(real)
            if wanted is None:
                because = "it is neither an ELF program nor a script that begins with #!"
                raise explain(f"cannot pack {path}", because, "--include for what is no program")
            if depth >= programs.MAX_SCRIPTS:
                because = f"more than {programs.MAX_SCRIPTS} scripts are one another's interpreters"
                raise explain(f"cannot pack {path}", because, "a program at the end of them")
            found = [programs.checked(wanted[0]), *(programs.find(one, self._path, "/") for one in wanted[1:])]
        except programs.NotThere as error:
            which = wanted[-1] if wanted and _is_there(wanted[0]) else (wanted or [""])[0]
            because = f"its interpreter {which} is missing: {error}" if which else str(error)
            raise explain(f"cannot pack {path}", because, _INSTALL) from None
        if os.path.basename(found[-1]) in _SHELLS:
            self._note(f"{path} is a script: of what it starts only that is in the image which you name too")
        for one in found:
            self._program(one, depth + 1)

    def _plugins(self, process: Process) -> None:
        """What glibc opens."""
        if "libc.so.6" not in process.loaded:
            return
        for name in _OF_GLIBC:
            try:
                self.closures.library(process, name)
            except (Missing, BadElf) as error:
                self._note(f"{name} will not work in it: missing {error}")

    def _modules(self, process: Process, files: Sequence[str]) -> None:
        """What the modules of an interpreter are linked with."""
        for path in files:
            if ".so" not in os.path.basename(path):
                continue
            try:
                if elf := self.closures.look(path):
                    self.closures.plugin(process, path, elf)
            except (Missing, BadElf) as error:
                self._note(f"{path} will not work in it: {error} is missing")


def _check_once(name: str, path: str, named: dict[str, str]) -> None:
    """Raises CommandError for a path that was named before."""
    identity = programs.identity(path)
    if identity in named:
        before = named[identity]
        because = f"{path} is named twice" if before == name else f"{path} is the same path as {before}"
        raise explain(f"cannot pack {name} twice", because, "naming it once")
    named[identity] = name


def _is_there(path: str) -> bool:
    try:
        programs.checked(path)
    except programs.NotThere:
        return False
    return True


def _of_file(name: str, error: OSError | ValueError) -> CommandError:
    because = (error.strerror or "").lower() if isinstance(error, OSError) else str(error)
    about = os.fsdecode(error.filename) if isinstance(error, OSError) and error.filename else ""
    because = f"{about}: {because}" if about and about != name else because
    return explain(f"cannot pack {name}", because, "a file or directory that is there and that you may read")


def _of_libraries(path: str, error: Missing) -> CommandError:
    wanted = [
        f"the loader {name} is missing"
        if name.startswith("/")
        else f"{wanting} is linked with {name}, which is missing"
        for name, wanting in error.names.items()
    ]
    return explain(f"cannot pack {path}", "; ".join(wanted), "install the package that brings it")
