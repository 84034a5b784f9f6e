"""/etc/hosts and /etc/resolv.conf of containers: what they say, and how they change while the container runs.

Words.  *extra hosts*: --add-host, and the names of linked containers on the default bridge.
Life.   Written whole at each start. On a running container a line comes and goes with each endpoint; what somebody
        else wrote there stays. resolv.conf is rewritten only while it is as it was written (its hash lies beside it).
        Both are bind mounts in the container, so a change keeps the file and replaces its content.
Form.   As dockerd 26.1 writes them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

HOST_GATEWAY: Final = "host-gateway"  # in --add-host: the host's own address, as containers reach it
LIMIT: Final = 1 << 20  # bytes; a file that a container blew up beyond it is left alone

_LOCAL4: Final = "127.0.0.1\tlocalhost\n"
_LOCAL6: Final = """::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""

Entry = tuple[str, str]  # address, names with blanks between them


def hosts(
    extra: Iterable[Entry] = (), own: Iterable[Entry] = (), *, ipv6: bool = True, base: bytes | None = None
) -> bytes:
    """Return /etc/hosts: the loopback names, the extra hosts, the container's own.

    ``base`` replaces all of it: the host's file, in the host's network without extra hosts.
    ``ipv6`` False: the container has IPv6 switched off, so no line of it.
    """
    if base is not None:
        return base
    lines = [f"{address}\t{names}\n" for address, names in (*extra, *own) if ipv6 or ":" not in address]
    return (_LOCAL4 + (_LOCAL6 if ipv6 else "") + "".join(lines)).encode()


def own_entries(addresses: Iterable[str], hostname: str, domainname: str = "") -> list[Entry]:
    """Return the lines of a container's own addresses (with a prefix or not): its full name, and the bare one."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    bare = full.partition(".")[0]
    names = full if bare == full else f"{full} {bare}"
    return [(address.partition("/")[0], names) for address in addresses if address]


def extra_entries(texts: Iterable[str], gateways: Sequence[str] = ()) -> list[Entry]:
    """Return the lines of --add-host: "name:address" or "name=address", an IPv6 address in brackets or not.

    ``gateways``: the host's addresses that the word host-gateway stands for.
    """
    entries: list[Entry] = []
    for text in texts:
        separator = min((text.index(one) for one in ":=" if one in text), default=len(text))
        name, address = text[:separator], text[separator + 1 :].strip("[]")
        entries += [(one, name) for one in (gateways if address == HOST_GATEWAY else [address])]
    return entries


def link_entries(address4: str, address6: str, alias: str, hostname: str, name: str) -> list[Entry]:
    """Return the lines of one container that is linked to on the default bridge: alias, host name, own name."""
    names = " ".join([alias, hostname] + ([name] if alias != name else []))
    return [(address.partition("/")[0], names) for address in (address4, address6) if address]


# --- while the container runs ----------------------------------------------------------------------------------------


def add_lines(path: Path, entries: Iterable[Entry]) -> None:
    """Append lines to a hosts file. Raises OSError."""
    content = _read(path)
    if content is None:
        return
    if content and not content.endswith(b"\n"):
        content += b"\n"
    _replace(path, content + b"".join(f"{address}\t{names}\n".encode() for address, names in entries))


def remove_lines(path: Path, addresses: Iterable[str]) -> None:
    """Remove the lines of these addresses (with a prefix or not) from a hosts file. Raises OSError."""
    content = _read(path)
    if content is None:
        return
    gone = {str(ip_address(address.partition("/")[0])).encode() for address in addresses if address}
    kept = [line for line in content.splitlines(keepends=True) if line.partition(b"\t")[0] not in gone]
    _replace(path, b"".join(kept))


def resolv_files(content: bytes) -> dict[str, bytes]:
    """Return what to write at a start, by name: the file, and the hash by which a later change is noticed."""
    return {"resolv.conf": content, "resolv.conf.hash": _hash(content)}


def update_resolv(directory: Path, content: bytes) -> bool:
    """Rewrite a container's resolv.conf unless somebody changed it; tell whether it was rewritten. Raises OSError."""
    path, hash_path = directory / "resolv.conf", directory / "resolv.conf.hash"
    found = _read(path)
    if found is None or not hash_path.exists() or _hash(found) != _read(hash_path):
        return False
    if found != content:
        _replace(path, content)
        _replace(hash_path, _hash(content))
    return True


def _hash(content: bytes) -> bytes:
    return b"sha256:" + hashlib.sha256(content).hexdigest().encode()


def _read(path: Path) -> bytes | None:
    """Return the content; None when it is larger than any such file should be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(LIMIT + 1)
    return content if len(content) <= LIMIT else None


def _replace(path: Path, content: bytes) -> None:
    """Give a file another content: overwritten, then cut, so that a reader never finds it empty."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.truncate()
