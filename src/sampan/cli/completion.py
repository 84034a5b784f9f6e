"""What could come next on a command line: ``sampan __complete WORDS…``, asked by the shells' completion.

The answer is a line for each candidate, with what it means behind a tab, and ``:4`` at the end (``:0`` where file names
fit): the protocol of Docker's own client. Commands, flags and the kinds of their arguments come from the same tables
as parsing and help; names of containers, networks and images from the daemon, if one runs.
"""

from __future__ import annotations

from sampan.cli.main import GLOBAL_FLAGS, load_command
from sampan.cli.parser import HELP
from sampan.cli.session import write_all
from sampan.cli.table import GROUPS, TOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sampan.api.client.client import Client
    from sampan.cli.parser import Command, Flag

    Candidates = Iterable[tuple[str, str]]
    Walked = tuple[list[str], Flag | None, list[str]]

TIMEOUT_S = 2.0  # for the daemon: somebody waits with a finger on the tab key
NAMES_ONLY = ":4"
OR_FILES = ":0"
_OF_FLAGS = {"network": "NETWORK", "net": "NETWORK", "config-from": "NETWORK", "link": "CONTAINER"}
_OF_FLAGS |= {"volumes-from": "CONTAINER"}


def complete(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print what the last of `words` could become."""
    *before, current = words or [""]
    found, directive = _candidates(before, current, environ)
    lines = sorted({f"{name}\t{text}" if text else name for name, text in found if name.startswith(current)})
    write_all(1, "".join(f"{line}\n" for line in [*lines, directive]))
    return 0


def _candidates(before: Sequence[str], current: str, environ: Mapping[str, str]) -> tuple[Candidates, str]:
    arguments, pending, hosts = _walk(GLOBAL_FLAGS, before, interspersed=False)
    if pending is not None:
        return [], OR_FILES
    if not arguments:
        return _flags(GLOBAL_FLAGS) if current.startswith("-") else _commands(), NAMES_ONLY
    name, *rest = arguments
    if name in GROUPS:
        _summary, commands, others = GROUPS[name]
        if not rest:
            return [(each, place[2]) for each, place in commands.items()], NAMES_ONLY
        name, *rest = rest
        place = commands.get(others.get(name, name))
    else:
        place = TOP.get(name)
    if place is None:
        return [], NAMES_ONLY
    return _of_command(load_command(place), rest, current, _Names(hosts, environ))


def _commands() -> Candidates:
    return [*((name, place[2]) for name, place in TOP.items()), *((name, group[0]) for name, group in GROUPS.items())]


def _of_command(command: Command, before: Sequence[str], current: str, names: _Names) -> tuple[Candidates, str]:
    flags = [*command.flags, HELP]
    arguments, pending, _ = _walk(flags, before, interspersed=command.interspersed)
    if pending is not None:
        kind = _OF_FLAGS.get(pending.name, "")
        return names.of(kind), NAMES_ONLY if kind else OR_FILES
    if current.startswith("-") and (command.interspersed or not arguments):
        return _flags(command.flags), NAMES_ONLY
    kind = _placeholder(command.use, len(arguments))
    return names.of(kind), NAMES_ONLY if kind in names.known else OR_FILES


def _walk(flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool) -> Walked:
    """The arguments among `words`, the flag whose value is to come, and the values of --host."""
    known = {f"--{flag.name}": flag for flag in flags} | {f"-{flag.short}": flag for flag in flags if flag.short}
    arguments: list[str] = []
    hosts: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not interspersed:
                break
            continue
        # Of short flags in one word only the last can want the next word.
        flag = known.get(word if word.startswith("--") else f"-{word[-1]}")
        if flag is None or flag.kind.bare:
            continue
        if not rest:
            return arguments, flag, hosts
        value = rest.pop(0)
        if flag.name == "host":
            hosts.append(value)
    return [*arguments, *rest], None, hosts


def _flags(flags: Iterable[Flag]) -> Candidates:
    for flag in flags:
        if not flag.hidden:
            yield f"--{flag.name}", flag.usage.partition("\n")[0]
            if flag.short:
                yield f"-{flag.short}", flag.usage.partition("\n")[0]


def _placeholder(use: str, index: int) -> str:
    """What a usage line calls its argument number `index`: "CONTAINER" for 0 of ``rm [OPTIONS] CONTAINER […]``."""
    words = [word.strip("[]").partition("[")[0].removesuffix("...") for word in use.split()[1:]]
    words = [word for word in words if word != "OPTIONS"]
    if index < len(words):
        return words[index]
    return words[-1] if use.endswith("...]") and words else ""


class _Names:
    """Names of things that there are."""

    known = frozenset(("CONTAINER", "NETWORK", "IMAGE", "SOURCE_IMAGE", "NAME|ID"))

    def __init__(self, hosts: list[str], environ: Mapping[str, str]) -> None:
        self._hosts = hosts
        self._environ = environ

    def of(self, kind: str) -> Candidates:
        """All things of a kind; none where no daemon answers: none is started for this."""
        from sampan.api.client.address import find
        from sampan.api.client.client import Client
        from sampan.api.client.errors import ClientError

        if kind not in self.known:
            return []
        try:
            return [(name, "") for name in _ask(Client(find(self._hosts, self._environ), timeout=TIMEOUT_S), kind)]
        except (ClientError, OSError):
            return []


def _ask(client: Client, kind: str) -> Iterator[str]:
    if kind in {"CONTAINER", "NAME|ID"}:
        for container in client.containers(everything=True):
            yield from (name[1:] for name in container.get("Names") or () if "/" not in name[1:])
    if kind in {"NETWORK", "NAME|ID"}:
        yield from (network["Name"] for network in client.networks())
    if kind in {"IMAGE", "SOURCE_IMAGE", "NAME|ID"}:
        for image in client.images():
            yield from image.get("RepoTags") or ()
