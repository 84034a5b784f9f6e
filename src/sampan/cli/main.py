"""The entry point: reads the global flags, finds the command, runs it, and turns what went wrong into an exit code."""

from __future__ import annotations

import os
import sys

from sampan.cli.errors import CommandError, ExitStatus
from sampan.cli.kinds import BOOL, LIST, STRING, string_default
from sampan.cli.parser import HELP, PROGRAM, Command, Flag, FlagError, HelpAsked, parse, read_arguments
from sampan.cli.session import Session, write_all
from sampan.cli.table import GROUPS, TOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sampan.cli.parser import Arguments

_CONTEXT = (
    "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context "
    'set with "docker context use")'
)
GLOBAL_FLAGS = (
    Flag("config", STRING, "Location of client config files"),
    Flag("context", STRING, _CONTEXT, "c"),
    Flag("debug", BOOL, "Enable debug mode", "D"),
    Flag("host", LIST, "Daemon socket to connect to", "H"),
    Flag("log-level", string_default("info"), 'Set the logging level ("debug", "info", "warn", "error", "fatal")', "l"),
    Flag("tls", BOOL, "Use TLS; implied by --tlsverify"),
    Flag("tlscacert", STRING, "Trust certs signed only by this CA"),
    Flag("tlscert", STRING, "Path to TLS certificate file"),
    Flag("tlskey", STRING, "Path to TLS key file"),
    Flag("tlsverify", BOOL, "Use TLS and verify the remote"),
    Flag("version", BOOL, "Print version information and quit", "v"),
    HELP,
)
_LOG_LEVELS = frozenset(("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"))


def main() -> None:
    """Run ``sampan`` with the process's arguments and end the process."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # started with it closed: no connection of ours may take its number
            os.open(os.devnull, os.O_RDWR)
    code = run(sys.argv[1:], os.environ)
    # Everything was written straight to the descriptors; tearing the interpreter down would take 3 ms more.
    os._exit(code)


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        return _dispatch(argv, environ)
    except ExitStatus as status:
        return status.code & 0xFF
    except CommandError as error:
        text, code = str(error), error.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _die_of_pipe()
    except Exception as error:  # noqa: BLE001 - sorted by type here; what is unknown is raised again
        text, code = _client_error(error), 1
    if text:
        write_all(2, text + "\n")
    return code


def _client_error(error: Exception) -> str:
    """The text of an error of the client or the system; any other is a bug and raised again with its traceback."""
    from sampan.api.client.errors import ClientError

    if isinstance(error, (ClientError, OSError)):
        return str(error)
    raise error


def _die_of_pipe() -> int:
    """Nobody reads our output any more: end by SIGPIPE, as a program without handlers does."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return 141


def _dispatch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    if argv and argv[0] == "__complete":
        from sampan.cli.completion import complete

        return complete(argv[1:], environ)
    try:
        options = parse(GLOBAL_FLAGS, argv, interspersed=False, note=_note)
    except FlagError as error:
        usage = f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]"
        raise CommandError(f"{error}\n\n{usage}\n\nRun '{PROGRAM} --help' for more information", 125) from None
    if options["log-level"] not in _LOG_LEVELS:
        raise CommandError(f"Unable to parse logging level: {options['log-level']}")
    words = options.rest
    if options["version"]:
        from sampan import __version__

        write_all(1, f"Sampan version {__version__}\n")
        return 0
    if words and words[0] == "help" and not options["help"]:
        words = [*_known(words[1:]), "--help"]
    elif options["help"]:
        words = ["--help"]
    if not words or words[0] == "--help":
        from sampan.cli.overview import root_help

        write_all(1 if words else 2, root_help())
        return 0
    return _run_command(words, options, environ)


def _known(words: Sequence[str]) -> Sequence[str]:
    """The words of ``help …`` if they name a command or group. Raises CommandError."""
    found = 0
    if words and words[0] in GROUPS:
        _summary, commands, others = GROUPS[words[0]]
        found = 2 if len(words) > 1 and others.get(words[1], words[1]) in commands else 1
    elif words and words[0] in TOP:
        found = 1
    if words[found:]:
        raise CommandError(f"unknown help topic: {' '.join(words[found:])}")
    return words


def _run_command(words: Sequence[str], options: Arguments, environ: Mapping[str, str]) -> int:
    name, rest = words[0], words[1:]
    if name in TOP:
        command, path = load_command(TOP[name]), name
    elif name in GROUPS:
        found = _in_group(name, rest)
        if found is None:
            return 0
        command, path, rest = found
    else:
        raise CommandError(
            f"{PROGRAM}: unknown command: {PROGRAM} {name}\n\nRun '{PROGRAM} --help' for more information"
        )
    command.path = path
    session = Session(options, environ)
    session.called_as = path.rpartition(" ")[2]
    notes: list[str] = []
    try:
        arguments = read_arguments(command, rest, notes.append)
    except HelpAsked:
        from sampan.cli.help import command_help, terminal_width

        session.out("".join(f"{note}\n" for note in notes) + command_help(command, terminal_width()))
        return 0
    for note in notes:
        session.line(note)
    return command.run(session, arguments) or 0


def _in_group(group: str, words: Sequence[str]) -> tuple[Command, str, Sequence[str]] | None:
    """The command of `group` that `words` name, or None when they asked for the group's help."""
    _summary, commands, others = GROUPS[group]
    notes: list[str] = []
    try:
        arguments = parse([HELP], words, interspersed=False, note=notes.append)
    except FlagError as error:
        hint = f"Run '{PROGRAM} {group} --help' for more information"
        raise CommandError(f"{error}\n\nUsage:  {PROGRAM} {group}\n\n{hint}", 125) from None
    if arguments["help"] or not arguments.rest:
        from sampan.cli.overview import group_help

        text = "".join(f"{note}\n" for note in notes) + group_help(group)
        write_all(1 if arguments["help"] else 2, text)
        return None
    name, rest = arguments.rest[0], arguments.rest[1:]
    canonical = others.get(name, name)
    if canonical not in commands:
        raise CommandError(
            f"{PROGRAM}: unknown command: {PROGRAM} {group} {name}\n\nUsage:  {PROGRAM} {group}\n\n"
            f"Run '{PROGRAM} {group} --help' for more information"
        )
    return load_command(commands[canonical]), f"{group} {canonical}", rest


def load_command(place: tuple[str, str, str]) -> Command:
    """Import the module of a command, and only that one."""
    module = __import__(f"sampan.cli.commands.{place[0]}", fromlist=(place[1],))
    command: Command = getattr(module, place[1])
    return command


def _note(text: str) -> None:
    write_all(2, text + "\n")


if __name__ == "__main__":
    main()
