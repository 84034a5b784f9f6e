"""``image pack``."""

from __future__ import annotations

import os

from sampan.cli.errors import CommandError, explain
from sampan.cli.kinds import LIST, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sampan.cli.packing.archive import Image
    from sampan.cli.packing.collect import Collector
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def pack(session: Session, arguments: Arguments) -> int:
    """``sampan image pack``: an image of programs of this machine, loaded into the daemon or written to a file."""
    from sampan.cli.packing.archive import pieces
    from sampan.cli.packing.collect import Collector

    names = _names(arguments)
    epoch = _epoch(session.environ.get("SOURCE_DATE_EPOCH", ""))
    config = _settings(arguments)
    collector = Collector(session.environ.get("PATH") or _PATH, os.getcwd(), session.error_line)
    collector.collect(arguments.rest, arguments["include"] or [])
    image = _image(arguments, collector, names, config, epoch)
    archive = pieces(image, collector.tree)
    if arguments["output"]:
        _write(arguments["output"], archive)
    else:
        _load(session, archive)
    session.line("\n".join([*names, image.id]))
    return 0


def _image(arguments: Arguments, collector: Collector, names: list[str], config: dict[str, Any], epoch: int) -> Image:
    """What the image is called and how it starts: without --entrypoint and --cmd with its first program."""
    import shlex

    from sampan.cli.packing.archive import Image
    from sampan.cli.packing.tree import Directory

    own = list(dict.fromkeys(map(os.path.dirname, collector.found)))
    path = ":".join([_PATH, *(one for one in own if one not in _PATH.split(":"))])
    if not any(one.startswith("PATH=") for one in config["Env"]):
        config["Env"] = [f"PATH={path}", *config["Env"]]
    if config["Entrypoint"] is None and config["Cmd"] is None:
        config["Cmd"] = collector.found[:1]
    if config["WorkingDir"] != "/":
        collector.tree.make(config["WorkingDir"], Directory())
    architecture = collector.architecture(_host_architecture())
    return Image(names, architecture, config, f"sampan image pack {shlex.join(arguments.rest)}", epoch)


def _host_architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}.get(machine, machine)


def _names(arguments: Arguments) -> list[str]:
    """The image's names as they will be shown. Raises CommandError."""
    from sampan.cli.references import check, familiar, take_apart

    names = arguments["tag"] or []
    if not names:
        raise explain("cannot pack an image without a name", "no --tag was given", "-t NAME")
    for name in names:
        try:
            check(name)
        except ValueError as error:
            raise CommandError(f'invalid argument "{name}" for "-t, --tag" flag: {error}', 125) from None
        if take_apart(name)[2]:
            raise CommandError(f'invalid argument "{name}" for "-t, --tag" flag: a digest is not for choosing', 125)
    return list(dict.fromkeys(map(familiar, names)))


def _epoch(text: str) -> int:
    from sampan.cli.packing.archive import LATEST_EPOCH

    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()) or int(text[:20]) > LATEST_EPOCH:
        raise explain("cannot date the image", f"SOURCE_DATE_EPOCH is {text!r}", "seconds since 1970, such as 0")
    return int(text)


def _settings(arguments: Arguments) -> dict[str, Any]:
    """The image configuration's `config`. Raises CommandError."""
    workdir = arguments["workdir"] or "/"
    if not workdir.startswith("/"):
        raise explain(f"cannot start in {workdir}", "it is not an absolute path", f"-w /{workdir}")
    labels = dict(_pair(one, "label", "l") for one in arguments["label"] or ())
    return {
        "Cmd": _words(arguments["cmd"], "cmd"),
        "Entrypoint": _words(arguments["entrypoint"], "entrypoint"),
        "Env": [f"{key}={value}" for key, value in dict(_pair(e, "env", "e") for e in arguments["env"] or ()).items()],
        "Labels": labels or None,
        "WorkingDir": os.path.normpath(workdir).replace("//", "/"),
    }


def _pair(text: str, flag: str, short: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or (flag == "env" and not equals):  # a value of this shell's would be another one elsewhere
        raise CommandError(f'invalid argument "{text}" for "-{short}, --{flag}" flag: expected NAME=VALUE', 125)
    return key, value


def _words(text: str, flag: str) -> list[str] | None:
    """A command: the words of a shell (quotes count, nothing else), or a JSON list of strings."""
    import json
    import shlex

    if not text:
        return None
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except ValueError as error:
        raise CommandError(f'invalid argument "{text}" for "--{flag}" flag: {error}', 125) from None
    if not all(isinstance(word, str) for word in words):
        raise CommandError(f'invalid argument "{text}" for "--{flag}" flag: expected a list of strings', 125)
    return list(words)


def _load(session: Session, archive: Iterator[bytes]) -> None:
    from sampan.api.client.client import json_stream
    from sampan.cli.output.progress import show

    response = session.client.load_images(archive, quiet=True)
    show(json_stream(response.chunks()), lambda _text: None, terminal=False)


def _write(path: str, archive: Iterator[bytes]) -> None:
    """Write beside `path` and rename, so that a failure leaves what was there."""
    import tempfile

    from sampan.cli.session import write_all

    if path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
        raise explain(f"cannot write to {path}", "it is no file", "--output FILE; without it the image is loaded")
    try:
        descriptor, beside = tempfile.mkstemp(prefix=".sampan-", dir=os.path.dirname(path) or ".")
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        for piece in archive:
            write_all(descriptor, piece)
        os.fchmod(descriptor, 0o644)
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    finally:
        os.close(descriptor)


PACK = Command(
    "pack [OPTIONS] -t NAME PROGRAM [PROGRAM...]",
    "Make an image of programs of this machine, with all that they need.\n\n"
    "A PROGRAM is a path or a name in PATH. Its libraries, loader and interpreter come\n"
    "along, Python's standard library, certificates. Nothing is run. The same programs\n"
    "give the same image: all is dated 1970, or by SOURCE_DATE_EPOCH.",
    pack,
    (
        Flag("cmd", STRING, "Command of the image: words, or a JSON list (default: the first program)"),
        Flag("entrypoint", STRING, "Entrypoint of the image: words, or a JSON list"),
        Flag("env", LIST, "Set an environment variable (NAME=VALUE)", "e"),
        Flag("include", LIST, "Add a file or directory as it is, at its path on this machine"),
        Flag("label", LIST, "Set a label of the image", "l"),
        Flag("output", STRING, "Write an archive to this file, instead of loading the image", "o"),
        Flag("tag", LIST, "Name of the image (NAME[:TAG]); several give several names", "t"),
        Flag("workdir", STRING, "Working directory of the image", "w"),
    ),
    aliases=("image pack",),
    minimum=1,
    maximum=None,
)
