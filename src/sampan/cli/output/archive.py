"""A tar stream from the daemon to a file or to stdout."""

from __future__ import annotations

import os
import stat

from sampan.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.api.client.transport import Response
    from sampan.cli.session import Session

_TO_TERMINAL = "cowardly refusing to save to a terminal. Use the -o flag or redirect"


def write(session: Session, path: str, failed: str, ask: Callable[[], Response]) -> None:
    """Write what `ask` gives to the file `path`, or to stdout where that is empty. Raises CommandError, ClientError.

    The place is looked at before the daemon is asked; the file appears when it is whole. `failed` begins the errors
    about the place.
    """
    if not path:
        if session.is_terminal(1):
            raise CommandError(_TO_TERMINAL)
        for chunk in ask().chunks():
            session.out(chunk)
        return
    try:
        _check(path)
    except CommandError as error:
        raise CommandError(f"{failed}: {error}") from None
    _write_file(path, ask())


def _check(path: str) -> None:
    directory = os.path.dirname(os.path.normpath(path))
    if directory and not os.path.exists(directory):
        raise CommandError(f"invalid output path: stat {directory}: no such file or directory")
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise CommandError("cannot write to a directory")
    for kind, name in ((stat.S_ISCHR, "a character device"), (stat.S_ISBLK, "a device")):
        if kind(mode):
            raise CommandError(f"cannot write to {name} file")


def _write_file(path: str, response: Response) -> None:
    from tempfile import mkstemp

    from sampan.cli.session import write_all

    try:
        descriptor, made = mkstemp(prefix=".sampan_temp_", dir=os.path.dirname(path) or ".")
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        try:
            for chunk in response.chunks():
                write_all(descriptor, chunk)
        finally:
            os.close(descriptor)
        os.rename(made, path)
    except BaseException as error:
        os.unlink(made)
        if isinstance(error, OSError):
            raise CommandError(f"write {path}: {(error.strerror or str(error)).lower()}") from None
        raise
