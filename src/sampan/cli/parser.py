"""Commands as data, and the reader of their arguments.

The syntax is that of Go's pflag, which Docker's users know: ``--name value``, ``--name=value``, ``-n value``,
``-nvalue``, ``-n=value``, ``-itd`` for several flags without value, ``--tty=false``, ``--`` ends flags. Some commands
take flags after arguments, others (`interspersed` False) stop at the first argument: the rest belongs to a container.
"""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import quote, quote_char
from sampan.cli.kinds import BOOL, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from sampan.cli.session import Session

PROGRAM = "sampan"


class Flag:
    """One flag of a command. `target` is the name under which its value is kept (other spellings share it)."""

    __slots__ = ("deprecated", "hidden", "kind", "name", "short", "short_deprecated", "target", "usage")

    def __init__(
        self,
        name: str,
        kind: Kind,
        usage: str,
        short: str = "",
        *,
        hidden: bool = False,
        deprecated: str = "",
        short_deprecated: str = "",
        target: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.usage = usage
        self.short = short
        self.hidden = hidden or bool(deprecated)
        self.deprecated = deprecated
        self.short_deprecated = short_deprecated
        self.target = target or name

    @property
    def spelling(self) -> str:
        """The flag as errors name it: ``-m, --memory``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


HELP = Flag("help", BOOL, "Print usage", "h", hidden=True, short_deprecated="use --help")


class Command:
    """A command: `use` is its usage line without the program, `aliases` the full names that help lists."""

    __slots__ = ("aliases", "flags", "interspersed", "maximum", "minimum", "path", "run", "short", "use")

    def __init__(
        self,
        use: str,
        short: str,
        run: Callable[[Session, Arguments], int | None],
        flags: Sequence[Flag] = (),
        *,
        aliases: Sequence[str] = (),
        minimum: int = 0,
        maximum: int | None = 0,
        interspersed: bool = True,
    ) -> None:
        self.use = use
        self.short = short
        self.run = run
        self.flags = flags
        self.aliases = aliases
        self.minimum = minimum
        self.maximum = maximum
        self.interspersed = interspersed
        self.path = ""  # how it was called, without the program: "container run"; set by `main`

    @property
    def full_name(self) -> str:
        """The program and the command's path: ``sampan container run``."""
        return f"{PROGRAM} {self.path}" if self.path else PROGRAM

    @property
    def use_line(self) -> str:
        """The usage line as errors and help show it."""
        group, _, _name = self.path.rpartition(" ")
        return " ".join(filter(None, (PROGRAM, group, self.use)))


class Arguments:
    """What was read: `values` by flag target (every flag has one), the names that were `given`, and the rest."""

    __slots__ = ("given", "note", "rest", "values")

    def __init__(self, flags: Sequence[Flag], note: Callable[[str], object] | None = None) -> None:
        self.note = note or str
        self.values: dict[str, Any] = {flag.target: flag.kind.absent for flag in flags}
        self.given: set[str] = set()
        self.rest: list[str] = []

    def __getitem__(self, target: str) -> Any:
        return self.values[target]


class FlagError(Exception):
    """The arguments break the syntax; the text is pflag's."""


class HelpAsked(Exception):
    """``--help`` was among the arguments."""


def parse(
    flags: Sequence[Flag],
    argv: Sequence[str],
    *,
    interspersed: bool = True,
    note: Callable[[str], object] | None = None,
) -> Arguments:
    """Read `argv` by `flags`. Raises FlagError; `note` is told of deprecated spellings, a sentence each."""
    result = Arguments(flags, note)
    long = {flag.name: flag for flag in flags}
    short = {flag.short: flag for flag in flags if flag.short}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if len(word) < 2 or word[0] != "-":
            result.rest.append(word)
            if not interspersed:
                break
        elif word == "--":
            break
        elif word[1] == "-":
            _read_long(long, word, rest, result)
        else:
            _read_short(short, word[1:], rest, result)
    result.rest += rest
    return result


def _read_long(flags: dict[str, Flag], word: str, rest: list[str], result: Arguments) -> None:
    name, separator, value = word[2:].partition("=")
    if not name or name[0] == "-":
        raise FlagError(f"bad flag syntax: {word}")
    flag = flags.get(name)
    if flag is None:
        raise FlagError(f"unknown flag: --{name}")
    if not separator:
        if flag.kind.bare:
            value = flag.kind.bare
        elif rest:
            value = rest.pop(0)
        else:
            raise FlagError(f"flag needs an argument: {word}")
    _set(flag, value, result)


def _read_short(flags: dict[str, Flag], letters: str, rest: list[str], result: Arguments) -> None:
    while letters:
        flag = flags.get(letters[0])
        if flag is None:
            raise FlagError(f"unknown shorthand flag: {quote_char(letters[0])} in -{letters}")
        shown, letters = letters, letters[1:]
        if len(letters) > 1 and letters[0] == "=":
            value, letters = letters[1:], ""
        elif flag.kind.bare:
            value = flag.kind.bare
        elif letters:
            value, letters = letters, ""
        elif rest:
            value = rest.pop(0)
        else:
            raise FlagError(f"flag needs an argument: {quote_char(flag.short)} in -{shown}")
        if flag.short_deprecated:
            result.note(f"Flag shorthand -{flag.short} has been deprecated, {flag.short_deprecated}")
        _set(flag, value, result)


def _set(flag: Flag, value: str, result: Arguments) -> None:
    try:
        result.values[flag.target] = flag.kind.read(value, result.values[flag.target])
    except ValueError as error:
        raise FlagError(f"invalid argument {quote(value)} for {quote(flag.spelling)} flag: {error}") from error
    result.given.add(flag.name)
    if flag.deprecated:
        result.note(f"Flag --{flag.name} has been deprecated, {flag.deprecated}")


def read_arguments(command: Command, argv: Sequence[str], note: Callable[[str], object] | None = None) -> Arguments:
    """`parse` for `command`, and its number of arguments. Raises CommandError in Docker's words, and HelpAsked."""
    flags = command.flags if any(flag.name == "help" for flag in command.flags) else [*command.flags, HELP]
    try:
        arguments = parse(flags, argv, interspersed=command.interspersed, note=note)
    except FlagError as error:
        hint = f"Run '{command.full_name} --help' for more information"
        raise CommandError(f"{error}\n\nUsage:  {command.use_line}\n\n{hint}", 125) from None
    if arguments["help"]:
        raise HelpAsked
    check_count(command, len(arguments.rest))
    return arguments


def check_count(command: Command, count: int) -> None:
    """Compare the number of arguments with what `command` takes. Raises CommandError."""
    low, high = command.minimum, command.maximum
    if low <= count and (high is None or count <= high):
        return
    see = "Run"
    if high == 0:
        what = "accepts no arguments"
    elif high is None:
        what = f"requires at least {low} {_plural(low)}"
        see = "See"  # the one of these messages in which Docker says so
    elif low == 0:
        what = f"requires at most {high} {_plural(high)}"
    elif low == high:
        what = f"requires {low} {_plural(low)}"
    else:
        what = f"requires at least {low} and at most {high} {_plural(high)}"
    name = command.full_name
    raise CommandError(
        f"{PROGRAM}: '{name}' {what}\n\nUsage:  {command.use_line}\n\n{see} '{name} --help' for more information"
    )


def _plural(number: int) -> str:
    return "argument" if number == 1 else "arguments"
