"""What is in a container's file system: commit, diff, export."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL_TRUE, LIST, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

_LETTERS = ("C", "A", "D")  # by the API's kind of change


def commit(session: Session, arguments: Arguments) -> int:
    """``sampan commit``: prints the new image's ID."""
    from sampan.cli.references import check, familiar_name, take_apart

    container, target = arguments.rest[0], arguments.rest[1] if len(arguments.rest) > 1 else ""
    query = [("container", container)]
    if target:
        name, tag, digest = take_apart(target)
        try:
            check(target)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if digest:
            raise CommandError("refusing to create a tag with a digest reference")
        query += [("repo", familiar_name(name)), ("tag", tag)]
    query += [(key, arguments[flag]) for key, flag in (("comment", "message"), ("author", "author")) if arguments[flag]]
    query += [("changes", change) for change in arguments["change"] or ()]
    query += [] if arguments["pause"] else [("pause", "0")]
    session.line(session.client.commit_container(query))
    return 0


def diff(session: Session, arguments: Arguments) -> int:
    """``sampan diff``: a letter and a path for each change."""
    changes = session.client.container_changes(arguments.rest[0])
    session.out("".join(f"{_LETTERS[change['Kind']]} {change['Path']}\n" for change in changes))
    return 0


def export(session: Session, arguments: Arguments) -> int:
    """``sampan export``."""
    from sampan.cli.output.archive import write

    container = arguments.rest[0]
    write(
        session, arguments["output"], "failed to export container", lambda: session.client.export_container(container)
    )
    return 0


COMMIT = Command(
    "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    commit,
    (
        Flag("author", STRING, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', "a"),
        Flag("change", LIST, "Apply Dockerfile instruction to the created image", "c"),
        Flag("message", STRING, "Commit message", "m"),
        Flag("pause", BOOL_TRUE, "Pause container during commit", "p"),
    ),
    aliases=("container commit", "commit"),
    minimum=1,
    maximum=2,
)
DIFF = Command(
    "diff CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    diff,
    aliases=("container diff", "diff"),
    minimum=1,
    maximum=1,
)
EXPORT = Command(
    "export [OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    export,
    (Flag("output", STRING, "Write to a file, instead of STDOUT", "o"),),
    aliases=("container export", "export"),
    minimum=1,
    maximum=1,
)
