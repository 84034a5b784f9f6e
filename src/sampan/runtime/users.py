"""The user of a process, from its name as a person wrote it and the container's own /etc/passwd and /etc/group.

The rules are Docker's (checked on dockerd 26.1, tests/peer/users.json):

* ``user``, ``uid``, ``user:group``, ``uid:gid`` and their mixtures; an empty part means uid 0, or the user's own group.
* A number is a uid, never a name, and needs no entry. Without an entry its group is 0 and its home ``/``.
* Supplementary groups come from /etc/group unless a group was named; the primary group is always among them
  (otherwise a file that excludes a group could be read by leaving that group: CVE-2022-36109).
* The home directory is that of the first entry with the uid, whichever name was asked for; it may be empty.

Errors. UserError, with dockerd's text; status 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

MAX_ID: Final = (1 << 31) - 1  # dockerd's limit for what people write
_KERNEL_MAX_ID: Final = (1 << 32) - 2  # 2^32 - 1 means "no change" to setuid(2)
_OUT_OF_RANGE: Final = f"uids and gids must be in range 0-{MAX_ID}"
_NUMBER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_PASSWD_FILE: Final = "/etc/passwd"  # noqa: S105 - a path
_GROUP_FILE: Final = "/etc/group"

Read = Callable[[str], bytes | None]


class UserError(ValueError):
    """A user or group that the container does not have, or an id out of range; the text is dockerd's."""

    status = 400


class User(NamedTuple):
    """A resolved user. ``additional_gids`` begins with ``gid``."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...]
    home: str


class _Passwd(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(read: Read, spec: str, groups: Sequence[str] = ()) -> User:
    """Return the user that ``spec`` names, in the groups that ``groups`` (names or numbers) add.

    ``read`` returns the content of a file of the container ("/etc/passwd", "/etc/group"), or None when there is none.

    Raises:
        UserError: no such user or group, or an id out of range.
    """
    name, group = [*spec.split(":"), ""][:2]
    passwd = list(_passwd(read(_PASSWD_FILE)))
    entry = _find_user(passwd, name)
    uid = entry.uid if entry else _id(name, f"unable to find user {name}: no matching entries in passwd file")
    gid = entry.gid if entry else 0
    known = list(_groups(read(_GROUP_FILE)))
    supplementary: list[int] = []
    if group:
        gid = _group_id(known, group, "unable to find group")
    elif entry and entry.name:
        supplementary = [g.gid for g in known if entry.name in g.members]
    added = [_group_id(known, extra, "Unable to find group", by_text=True) for extra in groups]
    home = next((e.home for e in passwd if e.uid == uid), "/")
    gids = dict.fromkeys((gid, *supplementary, *added))
    if not all(0 <= number <= _KERNEL_MAX_ID for number in (uid, *gids)):  # files may say anything
        raise UserError(_OUT_OF_RANGE)
    return User(uid, gid, tuple(gids), home)


def _find_user(passwd: list[_Passwd], name: str) -> _Passwd | None:
    number = _number(name or "0")
    if number is None:
        return next((entry for entry in passwd if entry.name == name), None)
    return next((entry for entry in passwd if entry.uid == number), None)


def _group_id(known: list[_Group], name: str, error: str, *, by_text: bool = False) -> int:
    """Return the gid of ``name``. ``--group-add`` compares the text (``by_text``): a group may be called "100"."""
    number = _number(name)
    for group in known:
        if group.gid == number if number is not None and not by_text else name in (group.name, str(group.gid)):
            return group.gid
    return _id(name, f"{error} {name}: no matching entries in group file")


def _id(text: str, error: str) -> int:
    number = _number(text or "0")
    if number is None:
        raise UserError(error)
    if not 0 <= number <= MAX_ID:
        raise UserError(_OUT_OF_RANGE)
    return number


def _number(text: str) -> int | None:
    """Return the number that Go's Atoi reads, or None: an optional sign and digits, within 64 bits."""
    if not _NUMBER.fullmatch(text) or len(text) > 20:
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def _lines(content: bytes | None) -> Iterator[list[str]]:
    """Split lines into fields; enough empty ones follow that a short line can be read too, as Docker does."""
    for line in (content or b"").decode("utf-8", "surrogateescape").split("\n"):
        if line.strip():
            yield line.strip().split(":") + [""] * 6


def _passwd(content: bytes | None) -> Iterator[_Passwd]:
    for fields in _lines(content):
        yield _Passwd(fields[0], _number(fields[2]) or 0, _number(fields[3]) or 0, fields[5])


def _groups(content: bytes | None) -> Iterator[_Group]:
    for fields in _lines(content):
        yield _Group(fields[0], _number(fields[2]) or 0, tuple(fields[3].split(",")))
