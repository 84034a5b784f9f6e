"""Which files the programs are that somebody names, by a path or a name looked up in PATH; what scripts begin with.

Source: execve(2) (the first line of a script, its length and the depth of interpreters), env(1).
"""

from __future__ import annotations

import os
import shlex
import stat

MAX_LINE = 4096  # bytes; the kernel reads 255
MAX_SCRIPTS = 5  # scripts that are one another's interpreters, as in the kernel


class NotThere(Exception):
    """No such program; the text says what was found instead."""


def find(name: str, path: str, directory: str) -> str:
    """The absolute path of a program: `name` with a slash is below `directory`, others are looked up in `path`.

    Raises NotThere.
    """
    if "/" in name:
        return checked(os.path.join(directory, name))
    places = [part for part in path.split(os.pathsep) if part.startswith("/")]
    for place in places:
        try:
            return checked(f"{place.rstrip('/')}/{name}")
        except NotThere:
            continue
    raise NotThere(f"it is in no directory of PATH ({path})" if name else "its name is empty")


def checked(path: str) -> str:
    """The path itself, if it is a file that may be run. Raises NotThere."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise NotThere((getattr(error, "strerror", "") or str(error)).lower()) from None
    if not stat.S_ISREG(status.st_mode):
        raise NotThere("it is a directory" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    if not status.st_mode & 0o111:
        raise NotThere("it may not be run: it has no execute permission")
    return path


def identity(path: str) -> str:
    """What two spellings of one path have in common: the directory without links, and the name as it is."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def interpreters(path: str) -> list[str] | None:
    """What a script's first line names: the interpreter, and the program that ``env`` is to find; None: no script.

    Raises NotThere for a line without any, OSError.
    """
    with open(path, "rb") as file:
        line = file.read(MAX_LINE).partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return None
    program, _, argument = os.fsdecode(line[2:]).strip().replace("\t", " ").partition(" ")
    if not program.startswith("/"):
        raise NotThere(f"its first line names no interpreter by an absolute path: {program or 'nothing'}")
    if os.path.basename(program) != "env":
        return [program]
    named = _of_env(argument.strip())
    return [program, named] if named else [program]


def _of_env(argument: str) -> str:
    """The program among env's arguments; without -S all of the line is one argument."""
    words = [argument] if argument else []
    for option in ("-S", "--split-string=", "-vS"):
        if argument.startswith(option):
            try:
                words = shlex.split(argument.removeprefix(option))
            except ValueError:
                words = argument.removeprefix(option).split()
    return next((word for word in words if not word.startswith("-") and "=" not in word), "")
