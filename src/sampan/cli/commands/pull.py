"""``pull``."""

from __future__ import annotations

from sampan.cli.container_flags import UNTRUSTED
from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def pull(session: Session, arguments: Arguments) -> int:
    """``sampan pull``."""
    from sampan.api.client.client import json_stream
    from sampan.cli.output.progress import show
    from sampan.cli.references import check_name, qualified, registry_of, split, take_apart

    reference, quiet = arguments.rest[0], arguments["quiet"]
    name, tag, digest = take_apart(reference)
    try:
        check_name(reference)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if arguments["all-tags"] and (tag or digest):
        raise CommandError("tag can't be used with --all-tags/-a")
    if not (arguments["all-tags"] or tag or digest) and not quiet:
        session.line("Using default tag: latest")
    full = qualified(name)
    response = session.client.pull_image(
        full,
        "" if arguments["all-tags"] else split(reference)[1],
        platform=session.platform(arguments),
        auth=session.credentials.header(registry_of(full)),
    )
    write = (lambda _: None) if quiet else session.out
    show(json_stream(response.chunks()), write, terminal=session.is_terminal(1))
    session.line(full if arguments["all-tags"] else f"{full}@{digest}" if digest else f"{full}:{tag or 'latest'}")
    return 0


PULL = Command(
    "pull [OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    pull,
    (
        Flag("all-tags", BOOL, "Download all tagged images in the repository", "a"),
        UNTRUSTED,
        Flag("platform", STRING, "Set platform if server is multi-platform capable"),
        Flag("quiet", BOOL, "Suppress verbose output", "q"),
    ),
    aliases=("image pull", "pull"),
    minimum=1,
    maximum=1,
)
