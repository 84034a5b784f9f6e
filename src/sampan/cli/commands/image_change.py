"""Commands that bring images, name them and remove them: import, load, rmi, tag."""

from __future__ import annotations

import os

from sampan.api.client.errors import ClientError, NotFound
from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL, LIST, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

UPLOAD = 1 << 20  # bytes for each chunk


def load(session: Session, arguments: Arguments) -> int:
    """``sampan load``."""
    from sampan.api.client.client import json_stream
    from sampan.cli.output.progress import show

    path = arguments["input"]
    if not path and session.is_terminal(0):
        raise CommandError("requested load from stdin, but stdin is empty")
    descriptor = _open(path) if path else 0
    quiet = arguments["quiet"] or not session.is_terminal(1)
    response = session.client.load_images(_pieces(descriptor), quiet=quiet)
    if response.headers.get("content-type", "").startswith("application/json"):
        show(json_stream(response.chunks()), session.out, terminal=session.is_terminal(1))
    else:
        for chunk in response.chunks():
            session.out(chunk)
    return 0


def import_(session: Session, arguments: Arguments) -> int:
    """``sampan import``."""
    from sampan.api.client.client import json_stream
    from sampan.cli.output.progress import show

    source, reference = arguments.rest[0], arguments.rest[1] if len(arguments.rest) > 1 else ""
    remote = source.startswith(("http://", "https://"))
    pieces: Iterator[bytes] = iter(()) if remote else _pieces(0 if source == "-" else _open(source))
    query = [("fromSrc", source if remote else "-")]
    query += [("repo", reference)] if reference else []
    query += [("message", arguments["message"])] if arguments["message"] else []
    platform = session.platform(arguments)
    query += [("platform", platform.lower())] if platform else []
    query += [("changes", change) for change in arguments["change"] or ()]
    response = session.client.import_image(query, pieces)
    show(json_stream(response.chunks()), session.out, terminal=session.is_terminal(1))
    return 0


def remove(session: Session, arguments: Arguments) -> int:
    """``sampan rmi``."""
    force, problems, fatal = arguments["force"], [], False
    for name in arguments.rest:
        try:
            done = session.client.remove_image(name, force=force, prune=not arguments["no-prune"])
        except ClientError as error:
            fatal = fatal or not isinstance(error, NotFound)
            problems.append(str(error))
            continue
        for item in done:
            session.line(f"Deleted: {item['Deleted']}" if item.get("Deleted") else f"Untagged: {item['Untagged']}")
    if problems and (fatal or not force):
        raise CommandError("\n".join(problems))
    for problem in problems:
        session.error_line(problem)
    return 0


def tag(session: Session, arguments: Arguments) -> int:
    """``sampan tag``."""
    from sampan.cli.gotext import quote
    from sampan.cli.references import check, familiar_name, take_apart

    source, target = arguments.rest
    name, new_tag, digest = take_apart(target)
    try:
        check(target)
    except ValueError as error:
        raise CommandError(f"Error parsing reference: {quote(target)} is not a valid repository/tag: {error}") from None
    if digest:
        raise CommandError("refusing to create a tag with a digest reference")
    session.client.tag_image(source, familiar_name(name), new_tag or "latest")
    return 0


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None


def _pieces(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, UPLOAD):
        yield piece


LOAD = Command(
    "load [OPTIONS]",
    "Load an image from a tar archive or STDIN",
    load,
    (
        Flag("input", STRING, "Read from tar archive file, instead of STDIN", "i"),
        Flag("quiet", BOOL, "Suppress the load output", "q"),
    ),
    aliases=("image load", "load"),
)
IMPORT = Command(
    "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    import_,
    (
        Flag("change", LIST, "Apply Dockerfile instruction to the created image", "c"),
        Flag("message", STRING, "Set commit message for imported image", "m"),
        Flag("platform", STRING, "Set platform if server is multi-platform capable"),
    ),
    aliases=("image import", "import"),
    minimum=1,
    maximum=None,
)
_RM_FLAGS = (
    Flag("force", BOOL, "Force removal of the image", "f"),
    Flag("no-prune", BOOL, "Do not delete untagged parents"),
)
_RM_ALIASES = ("image rm", "image remove", "rmi")
RMI = Command(
    "rmi [OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    remove,
    _RM_FLAGS,
    aliases=_RM_ALIASES,
    minimum=1,
    maximum=None,
)
RM = Command(
    "rm [OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    remove,
    _RM_FLAGS,
    aliases=_RM_ALIASES,
    minimum=1,
    maximum=None,
)
TAG = Command(
    "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    tag,
    aliases=("image tag", "tag"),
    minimum=2,
    maximum=2,
    interspersed=False,
)
