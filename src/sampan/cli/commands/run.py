"""``run`` and ``create``."""

from __future__ import annotations

import os

from sampan.api.client.errors import ClientError, NotFound
from sampan.cli.container_body import container_body
from sampan.cli.container_flags import CONTAINER_FLAGS
from sampan.cli.errors import CommandError, ExitStatus
from sampan.cli.kinds import BOOL, BOOL_TRUE, STRING, string_default
from sampan.cli.parser import PROGRAM, Arguments, Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.session import Session
    from sampan.cli.streams import Carrier

_NOT_FOUND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
_NOT_ALLOWED = ("permission denied", "is a directory")
_PULL = ("always", "missing", "never")


class CidFile:
    """The file of --cidfile: made before the container, removed again if there was none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False
        if not path:
            return
        if os.path.exists(path):
            what = "container ID file found, make sure the other container isn't running or delete"
            raise CommandError(f"{what} {path}")
        try:
            with open(path, "x", encoding="utf-8"):
                pass
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise CommandError(f"failed to create the container ID file: open {path}: {reason}") from error

    def write(self, container: str) -> None:
        """Write the container's ID."""
        if self._path:
            with open(self._path, "w", encoding="utf-8") as file:
                file.write(container)
            self._written = True

    def close(self) -> None:
        """Remove the file if nothing was written to it."""
        if self._path and not self._written:
            os.unlink(self._path)


def create(session: Session, arguments: Arguments) -> int:
    """``sampan create``."""
    body = _body(session, arguments, "create")
    session.line(_create(session, arguments, body))
    return 0


def run(session: Session, arguments: Arguments) -> int:
    """``sampan run``: create, attach, wait, start, in the order in which nothing of the container can be missed."""
    body = _body(session, arguments, "run")
    if arguments["detach"]:
        if arguments["attach"]:
            raise CommandError("conflicting options: cannot specify both --attach and --detach")
        body.update(AttachStdin=False, AttachStdout=False, AttachStderr=False, StdinOnce=False)
    else:
        session.check_terminal(stdin=body["AttachStdin"], tty=body["Tty"])
    try:
        container = _create(session, arguments, body)
    except (ClientError, CommandError) as error:
        raise _status_error(error) from None
    if not (body["AttachStdin"] or body["AttachStdout"] or body["AttachStderr"]):
        return _run_detached(session, container)
    return _run_attached(session, arguments, body, container)


def _run_detached(session: Session, container: str) -> int:
    session.line(container)
    try:
        session.client.start_container(container)
    except ClientError as error:
        raise _status_error(error) from None
    return 0


def _run_attached(session: Session, arguments: Arguments, body: dict[str, Any], container: str) -> int:
    from sampan.cli.attachment import attach, exit_code, resize_failed, watch_signals
    from sampan.cli.streams import Detached

    watch = watch_signals(session, container, forward=arguments["sig-proxy"], tty=body["Tty"])
    streams = {"stdin": body["AttachStdin"], "stdout": body["AttachStdout"], "stderr": body["AttachStderr"]}
    carrier = attach(session, container, tty=body["Tty"], **streams, detach_keys=arguments["detach-keys"])
    waiting = session.client.wait_container(container, "removed" if arguments["rm"] else "next-exit")
    try:
        session.client.start_container(container)
    except ClientError as error:
        carrier.abandon()
        if arguments["rm"]:
            exit_code(session, waiting)
        raise _status_error(error) from None
    if body["Tty"]:
        watch.resize_now(lambda: resize_failed(session))
    if not (streams["stdout"] or streams["stderr"]):
        return _wait_only(session, carrier, exit_code(session, waiting))
    try:
        carrier.finish()
    except Detached:
        return 0
    raise ExitStatus(exit_code(session, waiting))


def _wait_only(session: Session, carrier: Carrier, code: int) -> int:
    """Without output the container's end is all that there is to wait for."""
    carrier.abandon()
    session.debug(f"container ended with {code}")
    raise ExitStatus(code)


def _body(session: Session, arguments: Arguments, name: str) -> dict[str, Any]:
    """The create request. Raises CommandError with Docker's hint to --help."""
    pull = arguments["pull"]
    try:
        if pull not in {"", *_PULL}:
            raise ValueError(f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"')
        body = container_body(arguments, session.environ, session.terminal_size())
    except ValueError as error:
        raise CommandError(_with_help(str(error), name), 125) from None
    _add_proxies(session, body)
    return body


def _add_proxies(session: Session, body: dict[str, Any]) -> None:
    """Proxy variables of the client's configuration, unless the flags set them."""
    proxies = session.config.get("proxies")
    if not proxies:
        return
    chosen = proxies.get(session.client.address.text) or proxies.get("default") or {}
    given = {text.partition("=")[0] for text in body["Env"] or ()}
    names = {"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "noProxy": "NO_PROXY", "ftpProxy": "FTP_PROXY"}
    names["allProxy"] = "ALL_PROXY"
    extra = [
        f"{spelled}={chosen[key]}"
        for key, name in names.items()
        if chosen.get(key)
        for spelled in (name, name.lower())
        if spelled not in given
    ]
    body["Env"] = [*(body["Env"] or ()), *extra] or None


def _create(session: Session, arguments: Arguments, body: dict[str, Any]) -> str:
    """Create the container, pulling its image if need be; returns the ID. Raises ClientError, CommandError."""
    cidfile = CidFile(arguments["cidfile"])
    try:
        _check_image(body["Image"])
        if arguments["pull"] == "always":
            _pull(session, arguments, body["Image"])
        answer = _create_or_pull(session, arguments, body)
        warnings = list(answer.get("Warnings") or ())
        warnings += [f"Localhost DNS ({a}) may fail in containers." for a in arguments["dns"] or () if _is_loopback(a)]
        for warning in warnings:
            session.error_line(f"WARNING: {warning}")
        cidfile.write(answer["Id"])
    finally:
        cidfile.close()
    return str(answer["Id"])


def _check_image(image: str) -> None:
    from sampan.cli.references import check

    try:
        check(image)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _create_or_pull(session: Session, arguments: Arguments, body: dict[str, Any]) -> dict[str, Any]:
    request = {"name": arguments["name"], "platform": session.platform(arguments)}
    try:
        return session.client.create_container(body, **request)
    except NotFound:
        from sampan.cli.references import familiar, is_id

        if arguments["pull"] != "missing" or is_id(body["Image"]):
            raise
    if not arguments["quiet"]:
        session.error_line(f"Unable to find image '{familiar(body['Image'])}' locally")
    _pull(session, arguments, body["Image"])
    return session.client.create_container(body, **request)


def _pull(session: Session, arguments: Arguments, image: str) -> None:
    from sampan.api.client.client import json_stream
    from sampan.cli.output.progress import show
    from sampan.cli.references import registry_of, split

    name, tag = split(image)
    auth = session.credentials.header(registry_of(name))
    response = session.client.pull_image(name, tag, platform=session.platform(arguments), auth=auth)
    write = (lambda _: None) if arguments["quiet"] else session.err
    show(json_stream(response.chunks()), write, terminal=session.is_terminal(2))


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _with_help(text: str, name: str) -> str:
    return f"{PROGRAM}: {text}\n\nRun '{PROGRAM} {name} --help' for more information"


def _status_error(error: Exception) -> CommandError:
    """The exit code that a failed create or start stands for: 127 not found, 126 not allowed, else 125."""
    text = str(error)
    code = 125
    if any(part in text for part in _NOT_FOUND):
        code = 127
    elif any(part in text for part in _NOT_ALLOWED):
        code = 126
    return CommandError(_with_help(text, "run"), code)


_CREATE_FLAGS = (
    *CONTAINER_FLAGS,
    Flag("pull", string_default("missing"), 'Pull image before creating ("always", "|missing", "never")'),
)
_RUN_FLAGS = (
    *CONTAINER_FLAGS,
    Flag("detach", BOOL, "Run container in background and print container ID", "d"),
    Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
    Flag("pull", string_default("missing"), 'Pull image before running ("always", "missing", "never")'),
    Flag("sig-proxy", BOOL_TRUE, "Proxy received signals to the process"),
)
RUN = Command(
    "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    run,
    _RUN_FLAGS,
    aliases=("container run", "run"),
    minimum=1,
    maximum=None,
    interspersed=False,
)
CREATE = Command(
    "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    create,
    _CREATE_FLAGS,
    aliases=("container create", "create"),
    minimum=1,
    maximum=None,
    interspersed=False,
)
