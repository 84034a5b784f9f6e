"""Ports of the host: taken for a container before it starts, so that nobody else gets them while the kernel translates.

Words.  *binding*: what ``-p`` asks for: protocol, address, one port or a range, or any. *reserved*: a port of one
        address that we hold by a bound socket. It doesn't listen: nothing ever answers at it but the container.
Life.   `Ports.reserve` binds all of a container's ports or none. The caller hands the sockets to whoever keeps them
        as long as the container lives; `Ports.adopt` tells a new sampand which are held. `Ports.release` when it has
        ended.
Cost.   20 µs a port. Finding who has a port that is taken: a walk through /proc.

Errors (all of them end a start with status 500, in the words of dockerd 28):

* PortError
  x PortAllocated(address, port)                 another container of ours has it
  x PortUnavailable(address, port, protocol, …)  the kernel refused to bind it; ``holder`` is who has it
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from sampan.network.errors import NetworkError
from sampan.network.model import Publication
from sampan.network.ruleset import ANY4, ANY6

_DYNAMIC: Final = (32768, 60999)  # inclusive; where net.ipv4.ip_local_port_range can't be read
_FEW: Final = 4  # ports
_SCTP: Final = 132
_STATES: Final = {"tcp": "0A", "udp": "07"}  # of a socket that has the port for itself, in /proc/net


@dataclass(frozen=True, slots=True)
class Binding:
    """What ``-p`` asks for. ``host_ip`` "" is every address of both families; first and last 0 is any port."""

    protocol: str  # tcp | udp | sctp
    container_port: int
    host_ip: str = ""
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom: the sandbox, and how Docker's messages call its endpoint."""

    sandbox_id: str
    endpoint_name: str  # the container's name
    endpoint_id: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """A port of one address; ``socket`` is None where the kernel lacks the protocol, so that nobody can bind it."""

    publication: Publication  # its targets aren't known yet
    socket: socket.socket | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port."""

    pid: int
    name: str


class PortError(NetworkError):
    """A port can't be had; the text is Docker's."""

    def __init__(self, owner: Owner, why: str) -> None:
        endpoint = f"{owner.endpoint_name} ({owner.endpoint_id})"
        super().__init__(f"driver failed programming external connectivity on endpoint {endpoint}: {why}")


class PortAllocated(PortError):
    """Another container has it."""

    def __init__(self, owner: Owner, address: str, port: int) -> None:
        super().__init__(owner, f"Bind for {_joined(address, port)} failed: port is already allocated")
        self.address, self.port = address, port


class PortUnavailable(PortError):
    """The kernel refused: somebody has it, the address isn't this host's, or the port needs a privilege."""

    def __init__(self, owner: Owner, one: Publication, code: int, holder: Holder | None = None) -> None:
        reason = os.strerror(code)
        where = f"{_joined(one.host_ip, one.host_port)}/{one.protocol}"
        why = f"failed to bind host port {where}: {reason[0].lower()}{reason[1:]}"
        super().__init__(owner, f"{why} (process {holder.pid}, {holder.name}, has it)" if holder else why)
        self.publication, self.errno, self.holder = one, code, holder


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Ports:
    """Which ports of the host are whose. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], list[tuple[str, str]]] = {}  # (protocol, port) → (address, sandbox id)
        self._next = 0  # the dynamic port to try first

    def reserve(
        self, owner: Owner, bindings: Sequence[Binding], *, default_ip: str = "", search: bool = True
    ) -> list[Reserved]:
        """Bind every port of a container, or none; the sockets are the caller's.

        ``default_ip`` stands where a binding names no address (option host_binding_ipv4; "" is every address).
        ``search``: whether to look through all processes for the holder of one that is taken.

        Raises:
            PortAllocated: another container has one.
            PortUnavailable: the kernel refused one.
        """
        with self._lock, ExitStack() as undo:
            found: list[Reserved] = []
            for binding in bindings:
                for one in self._reserve(owner, binding, default_ip, search=search):
                    undo.callback(self._drop, one, owner.sandbox_id)
                    found.append(one)
            undo.pop_all()
            return found

    def adopt(self, publications: Iterable[Publication]) -> None:
        """Note ports whose sockets are held already: those of containers that lived through a restart."""
        with self._lock:
            for one in publications:
                self._note(one)

    def release(self, sandbox_id: str) -> None:
        """Forget a container's ports; whoever has the sockets closes them."""
        with self._lock:
            for key, holders in list(self._held.items()):
                kept = [pair for pair in holders if pair[1] != sandbox_id]
                self._held[key] = kept
                if not kept:
                    del self._held[key]

    def _reserve(self, owner: Owner, binding: Binding, default_ip: str, *, search: bool) -> list[Reserved]:
        """Bind one binding at the first port that is free at all its addresses."""
        addresses = _addresses(binding.host_ip or default_ip)
        error: PortError | None = None
        for port in self._candidates(binding):
            try:
                return self._bind_all(owner, binding, addresses, port)
            except PortUnavailable as refused:
                if refused.errno != errno.EADDRINUSE:
                    raise
                error = refused
            except PortAllocated as refused:
                error = refused
        if isinstance(error, PortUnavailable) and search:
            raise PortUnavailable(owner, error.publication, error.errno, find_holder(error.publication)) from error
        raise error or PortError(owner, "all ports are allocated")

    def _candidates(self, binding: Binding) -> Iterator[int]:
        if binding.first:
            yield from range(binding.first, max(binding.first, binding.last) + 1)
            return
        low, high = _dynamic_range()
        start = self._next if low <= self._next <= high else low
        for port in (*range(start, high + 1), *range(low, start)):
            self._next = port + 1
            yield port

    def _bind_all(self, owner: Owner, binding: Binding, addresses: Sequence[str], port: int) -> list[Reserved]:
        with ExitStack() as undo:
            found = []
            for address in addresses:
                one = Publication(owner.sandbox_id, binding.protocol, address, port, binding.container_port)
                if self._is_held(one):
                    raise PortAllocated(owner, address, port)
                try:
                    reserved = Reserved(one, _bind(one))
                except OSError as error:
                    if error.errno == errno.EAFNOSUPPORT and len(addresses) > 1:
                        continue  # a host without IPv6
                    raise PortUnavailable(owner, one, error.errno or errno.EIO) from error
                self._note(one)
                undo.callback(self._drop, reserved, owner.sandbox_id)
                found.append(reserved)
            undo.pop_all()
            return found

    def _is_held(self, one: Publication) -> bool:
        holders = self._held.get((one.protocol, one.host_port), ())
        return any(_overlap(one.host_ip, address) for address, _ in holders)

    def _note(self, one: Publication) -> None:
        self._held.setdefault((one.protocol, one.host_port), []).append((one.host_ip, one.sandbox_id))

    def _drop(self, one: Reserved, sandbox_id: str) -> None:
        key = (one.publication.protocol, one.publication.host_port)
        self._held[key].remove((one.publication.host_ip, sandbox_id))
        if not self._held[key]:
            del self._held[key]
        if one.socket:
            one.socket.close()


def is_quick(bindings: Sequence[Binding]) -> bool:
    """Tell whether to reserve these without a search takes less than another thread costs: 100 µs a port."""
    return len(bindings) <= _FEW and all(0 < one.first >= one.last for one in bindings)


def _addresses(host_ip: str) -> tuple[str, ...]:
    return (str(ip_address(host_ip)),) if host_ip else (ANY4, ANY6)


def _overlap(one: str, other: str) -> bool:
    """Tell whether two sockets at these addresses are in each other's way."""
    if (":" in one) != (":" in other):
        return False
    return one == other or one in (ANY4, ANY6) or other in (ANY4, ANY6)


def _dynamic_range() -> tuple[int, int]:
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return _DYNAMIC


def _bind(one: Publication) -> socket.socket | None:
    """Return a socket that holds the port for itself. OSError as bind(2)."""
    try:
        return _bind_once(one, reuse=False)
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return None  # SCTP that this kernel doesn't know
        if error.errno != errno.EADDRINUSE or one.protocol != "tcp":
            raise
    # Connections of a server that has just ended may linger at the port (TIME_WAIT): they let SO_REUSEADDR pass, a
    # server that listens doesn't. With the option off again nobody listens beside us.
    bound = _bind_once(one, reuse=True)
    assert bound
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return bound


def _bind_once(one: Publication, *, reuse: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in one.host_ip else socket.AF_INET
    kind = socket.SOCK_DGRAM if one.protocol == "udp" else socket.SOCK_STREAM
    bound = socket.socket(family, kind | socket.SOCK_CLOEXEC, _SCTP if one.protocol == "sctp" else 0)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if one.protocol == "udp":  # what isn't translated piles up here: as little as the kernel allows
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        bound.bind((one.host_ip, one.host_port))
    except BaseException:
        bound.close()
        raise
    return bound


# --- who has a port --------------------------------------------------------------------------------------------------


def find_holder(one: Publication) -> Holder | None:
    """Return a process that has the port of ``one`` at an address that is in its way.

    None when it can't be told: the kernel itself has it, a socket that is bound and doesn't listen (/proc/net/tcp lists
    no such), or a process that we mayn't look into.
    """
    inodes = set(_inodes(one))
    return _process_with(inodes) if inodes else None


def _inodes(one: Publication) -> Iterator[str]:
    """Return the sockets' inodes that /proc lists for the port; of IPv6 those too that take IPv4."""
    if one.protocol not in _STATES:
        return
    for name in (one.protocol, f"{one.protocol}6"):
        with suppress(FileNotFoundError):  # a host without IPv6
            for line in Path("/proc/thread-self/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                address, port = parse_local(fields[1])
                if port == one.host_port and fields[3] == _STATES[one.protocol] and _in_the_way(one.host_ip, address):
                    yield fields[9]


def parse_local(text: str) -> tuple[str, int]:
    """Decode an address as /proc/net/tcp has it: words in the host's byte order, hexadecimal, and a port."""
    words, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    return str(ip_address(raw)), int(port, 16)


def _in_the_way(wanted: str, there: str) -> bool:
    if ":" not in wanted:
        there = {ANY6: ANY4}.get(there, there.removeprefix("::ffff:"))
    return _overlap(wanted, there)


def _process_with(inodes: set[str]) -> Holder | None:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):  # it has ended, or isn't ours to look into
            for entry in os.scandir(process / "fd"):
                if os.readlink(entry.path) in wanted:
                    return Holder(int(process.name), (process / "comm").read_text().strip())
    return None
