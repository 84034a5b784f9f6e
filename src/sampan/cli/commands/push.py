"""``push``."""

from __future__ import annotations

from sampan.cli.container_flags import UNTRUSTED
from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def push(session: Session, arguments: Arguments) -> int:
    """``sampan push``."""
    from sampan.api.client.client import json_stream
    from sampan.cli.output.progress import show
    from sampan.cli.references import check_name, qualified, registry_of, take_apart

    reference, quiet, every = arguments.rest[0], arguments["quiet"], arguments["all-tags"]
    name, tag, digest = take_apart(reference)
    try:
        check_name(reference)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if digest:
        raise CommandError("cannot push a digest reference")
    if every and tag:
        raise CommandError("tag can't be used with --all-tags/-a")
    if not (every or tag):
        tag = "latest"
        if not quiet:
            session.line("Using default tag: latest")
    full = qualified(name)
    response = session.client.push_image(full, tag, auth=session.credentials.header(registry_of(full)))
    write = (lambda _: None) if quiet else session.out
    show(json_stream(response.chunks()), write, terminal=session.is_terminal(1))
    if quiet:
        session.line(full if every else f"{full}:{tag}")
    return 0


PUSH = Command(
    "push [OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    push,
    (
        Flag("all-tags", BOOL, "Push all tags of an image to the repository", "a"),
        UNTRUSTED,
        Flag("quiet", BOOL, "Suppress verbose output", "q"),
    ),
    aliases=("image push", "push"),
    minimum=1,
    maximum=1,
)
