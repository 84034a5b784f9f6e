"""Commands that change the state of containers: kill, rename, restart, rm, stop, wait."""

from __future__ import annotations

from sampan.api.client.errors import ClientError, NotFound
from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL, INT, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sampan.api.client.client import Client
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

PARALLEL = 50  # requests at once, as Docker's client


def _for_each(
    session: Session,
    containers: Sequence[str],
    change: Callable[[Client, str], None],
    forgive: Callable[[ClientError], bool] = lambda _: False,
) -> int:
    """Do `change` to all at once, and tell of them in order. What `forgive` accepts is said, but is no failure."""
    problems: list[str] = []
    for name, error in zip(containers, _changes(session.client, containers, change), strict=True):
        if error is None:
            session.line(name)
        elif forgive(error):
            session.error_line(str(error))
        else:
            problems.append(str(error))
    if problems:
        raise CommandError("\n".join(problems))
    return 0


def _changes(
    client: Client, containers: Sequence[str], change: Callable[[Client, str], None]
) -> Sequence[ClientError | None]:
    def one(name: str) -> ClientError | None:
        try:
            change(client, name)
        except ClientError as error:
            return error
        return None

    if len(containers) == 1:
        return [one(containers[0])]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(one, containers))


def kill(session: Session, arguments: Arguments) -> int:
    """``sampan kill``."""
    return _for_each(session, arguments.rest, lambda client, name: client.kill_container(name, arguments["signal"]))


def _timeout(arguments: Arguments) -> int | None:
    if {"time", "timeout"} <= arguments.given:
        raise CommandError("conflicting options: cannot specify both --timeout and --time")
    timeout: int = arguments["timeout"]
    return timeout if arguments.given & {"time", "timeout"} else None


def stop(session: Session, arguments: Arguments) -> int:
    """``sampan stop``."""
    timeout, signal = _timeout(arguments), arguments["signal"]
    return _for_each(
        session, arguments.rest, lambda client, name: client.stop_container(name, timeout=timeout, signal=signal)
    )


def restart(session: Session, arguments: Arguments) -> int:
    """``sampan restart``: one after another."""
    timeout, problems = _timeout(arguments), []
    for name in arguments.rest:
        try:
            session.client.restart_container(name, timeout=timeout, signal=arguments["signal"])
        except ClientError as error:
            problems.append(str(error))
            continue
        session.line(name)
    if problems:
        raise CommandError("\n".join(problems))
    return 0


def remove(session: Session, arguments: Arguments) -> int:
    """``sampan rm``."""
    force = arguments["force"]

    def one(client: Client, name: str) -> None:
        name = name.strip("/")
        if not name:
            raise ClientError("container name cannot be empty")
        client.remove_container(name, force=force, volumes=arguments["volumes"], link=arguments["link"])

    return _for_each(session, arguments.rest, one, lambda error: force and isinstance(error, NotFound))


def rename(session: Session, arguments: Arguments) -> int:
    """``sampan rename``."""
    old, new = (name.strip() for name in arguments.rest)
    if not old or not new:
        raise CommandError("Error: Neither old nor new names may be empty")
    try:
        session.client.rename_container(old, new)
    except ClientError as error:
        session.error_line(str(error))
        raise CommandError(f"Error: failed to rename container named {old}") from None
    return 0


def wait(session: Session, arguments: Arguments) -> int:
    """``sampan wait``: prints each container's exit code."""
    problems = []
    for name in arguments.rest:
        try:
            session.line(str(session.client.wait_container(name).result()["StatusCode"]))
        except ClientError as error:
            problems.append(str(error))
    if problems:
        raise CommandError("\n".join(problems))
    return 0


_MANY = "CONTAINER [CONTAINER...]"
_SIGNAL = Flag("signal", STRING, "Signal to send to the container", "s")
_TIMEOUTS = (
    Flag("timeout", INT, "Seconds to wait before killing the container", "t"),
    Flag(
        "time",
        INT,
        "Seconds to wait before killing the container (deprecated: use --timeout)",
        deprecated="use --timeout instead",
        target="timeout",
    ),
)

KILL = Command(
    f"kill [OPTIONS] {_MANY}",
    "Kill one or more running containers",
    kill,
    (_SIGNAL,),
    aliases=("container kill", "kill"),
    minimum=1,
    maximum=None,
)
STOP = Command(
    f"stop [OPTIONS] {_MANY}",
    "Stop one or more running containers",
    stop,
    (_SIGNAL, *_TIMEOUTS),
    aliases=("container stop", "stop"),
    minimum=1,
    maximum=None,
)
RESTART = Command(
    f"restart [OPTIONS] {_MANY}",
    "Restart one or more containers",
    restart,
    (_SIGNAL, *_TIMEOUTS),
    aliases=("container restart", "restart"),
    minimum=1,
    maximum=None,
)
RM = Command(
    f"rm [OPTIONS] {_MANY}",
    "Remove one or more containers",
    remove,
    (
        Flag("force", BOOL, "Force the removal of a running container (uses SIGKILL)", "f"),
        Flag("link", BOOL, "Remove the specified link", "l"),
        Flag("volumes", BOOL, "Remove anonymous volumes associated with the container", "v"),
    ),
    aliases=("container rm", "container remove", "rm"),
    minimum=1,
    maximum=None,
)
RENAME = Command(
    "rename CONTAINER NEW_NAME",
    "Rename a container",
    rename,
    aliases=("container rename", "rename"),
    minimum=2,
    maximum=2,
)
WAIT = Command(
    f"wait {_MANY}",
    "Block until one or more containers stop, then print their exit codes",
    wait,
    aliases=("container wait", "wait"),
    minimum=1,
    maximum=None,
)
