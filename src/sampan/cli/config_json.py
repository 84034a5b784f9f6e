"""``config.json`` of Docker's clients, changed in place: what isn't ours in it stays as it is.

Life.   `change` reads the file, has it changed, and puts a new one in its place in one step, readable by its owner
        alone. Where it is a link, what it leads to is replaced.
"""

from __future__ import annotations

import json
import os

from sampan.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Document = dict[str, Any]


def read(path: str) -> Document:
    """Return the document, {} where there is none. Raises CommandError: it can't be read, or is no JSON object."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        document = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise CommandError(f"Error parsing config file ({path}): {error}") from None
    if not isinstance(document, dict):
        raise CommandError(f"Error parsing config file ({path}): it must hold one JSON object")
    return document


def change(path: str, edit: Callable[[Document], None]) -> None:
    """Have `edit` change the document, and keep it if that changed something. Raises CommandError, OSError."""
    document = read(path)
    before = json.dumps(document)
    edit(document)
    if json.dumps(document) != before:
        _replace(os.path.realpath(path), json.dumps(document, indent="\t", ensure_ascii=False).encode())


def _replace(path: str, data: bytes) -> None:
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    new = os.path.join(directory, f".config.json.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            _keep_owner(path, descriptor)
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise


def _keep_owner(path: str, descriptor: int) -> None:
    """Leave the file to who had it, where root changes somebody's (sudo with their HOME)."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return
    if os.geteuid() == 0:
        os.fchown(descriptor, there.st_uid, there.st_gid)
