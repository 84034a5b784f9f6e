"""``exec``."""

from __future__ import annotations

from sampan.api.client.errors import ConnectionFailed
from sampan.cli.container_flags import ENV
from sampan.cli.errors import CommandError, ExitStatus
from sampan.cli.kinds import BOOL, LIST, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def execute(session: Session, arguments: Arguments) -> int:
    """``sampan exec``."""
    container = arguments.rest[0]
    body = _body(session, arguments)
    if not body["Detach"] and body["Tty"] and body["AttachStdin"] and not session.is_terminal(0):
        session.client.inspect_container(container)  # that it exists is said first
        session.check_terminal(stdin=True, tty=True)
    console = {"ConsoleSize": list(session.terminal_size())} if body["Tty"] else {}
    exec_id = session.client.create_exec(container, body | console)
    start = {"Detach": body["Detach"], "Tty": body["Tty"]} | console
    if body["Detach"]:
        session.client.start_exec_detached(exec_id, start)
        return 0
    return _carry(session, exec_id, body, start)


def _carry(session: Session, exec_id: str, body: dict[str, Any], start: dict[str, Any]) -> int:
    from sampan.cli.attachment import resize_failed, resizer
    from sampan.cli.signals import SignalWatch
    from sampan.cli.streams import Carrier, Detached

    stream = session.client.start_exec(exec_id, start)
    keys = body["DetachKeys"]
    carrier = Carrier(session, stream, tty=body["Tty"], stdin=body["AttachStdin"], detach_keys=keys)
    carrier.start()
    if body["Tty"] and session.is_terminal(0):
        client = session.second_client()
        watch = SignalWatch(None, resizer(session, lambda height, width: client.resize_exec(exec_id, height, width)))
        watch.start()
        watch.resize_now(lambda: resize_failed(session))
    try:
        carrier.finish()
    except Detached as detached:
        raise CommandError(str(detached)) from None
    try:
        code = session.client.inspect_exec(exec_id)["ExitCode"]
    except ConnectionFailed:
        code = -1  # the daemon is gone, and the session's exit code with it
    raise ExitStatus(int(code or 0))


def _body(session: Session, arguments: Arguments) -> dict[str, Any]:
    env = list(arguments["env"] or ())
    if arguments["env-file"]:
        from sampan.cli.pair_files import read_pairs

        try:
            env = [pair for path in arguments["env-file"] for pair in read_pairs(path, session.environ.get)] + env
        except ValueError as error:
            raise CommandError(str(error)) from None
    attached = not arguments["detach"]
    return {
        "User": arguments["user"],
        "Privileged": arguments["privileged"],
        "Tty": arguments["tty"],
        "AttachStdin": attached and arguments["interactive"],
        "AttachStderr": attached,
        "AttachStdout": attached,
        "Detach": arguments["detach"],
        "DetachKeys": arguments["detach-keys"] or session.config.get("detachKeys", ""),
        "Env": env or None,
        "WorkingDir": arguments["workdir"],
        "Cmd": arguments.rest[1:],
    }


EXEC = Command(
    "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    execute,
    (
        Flag("detach", BOOL, "Detached mode: run command in the background", "d"),
        Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
        Flag("env", ENV, "Set environment variables", "e"),
        Flag("env-file", LIST, "Read in a file of environment variables"),
        Flag("interactive", BOOL, "Keep STDIN open even if not attached", "i"),
        Flag("privileged", BOOL, "Give extended privileges to the command"),
        Flag("tty", BOOL, "Allocate a pseudo-TTY", "t"),
        Flag("user", STRING, 'Username or UID (format: "<name|uid>[:<group|gid>]")', "u"),
        Flag("workdir", STRING, "Working directory inside the container", "w"),
    ),
    aliases=("container exec", "exec"),
    minimum=2,
    maximum=None,
    interspersed=False,
)
