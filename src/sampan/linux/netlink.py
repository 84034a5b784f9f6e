"""Netlink, the kernel's way to be asked about networking: the wire format and a socket; nothing of links or rules.

Words.  *message*: a header (length, kind, flags, sequence number, port) and a payload. *attribute*: a typed,
        length-prefixed value; attributes nest. *dump*: an answer of many messages, ended by DONE. *ack*: an ERROR
        message, errno 0 for success.
Life.   A `Socket` belongs to the network namespace that it was made in, wherever its user goes later. It may be used
        by several threads; one exchange runs at a time.
Cost.   An exchange takes 15 µs and what the kernel does in it; making a socket 10 µs, in another namespace 30 µs.
Errors. Every failure is a `NetlinkError`: an OSError whose text says what was asked, and why the kernel refused in
        its own words.
Source. netlink(7), linux/netlink.h, Documentation/userspace-api/netlink/intro.rst. Numbers are in host byte order
        unless a function says ``be``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import EAGAIN, EINTR, ETIMEDOUT
from typing import Final

from sampan.linux import process

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12

# flags of a request
NLM_F_REQUEST: Final = 0x1
NLM_F_MULTI: Final = 0x2
NLM_F_ACK: Final = 0x4
NLM_F_ECHO: Final = 0x8
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800
# flags of an answer
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLMSGERR_ATTR_MSG: Final = 1

NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF

_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10  # an ack doesn't repeat the request
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12  # dumps are filtered by the kernel (Linux 4.20)
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32

_ANSWER_BYTES: Final = 1 << 16  # the kernel fills at most 32 KiB of a dump at once (netlink_dump)
_ROOM_BYTES: Final = 1 << 20  # for answers not yet read: some thousand acks
_ANSWER_S: Final = 10  # seconds; the kernel answers while it is asked, so this is never reached unless it hangs
_SEND_LIMIT: Final = 1 << 17  # bytes; the default send buffer takes this much for sure
_DUMP_TRIES: Final = 20

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERRNO: Final = struct.Struct("=i")


class NetlinkError(OSError):
    """The kernel refused: ``errno``, and a text ``what was asked: reason (the kernel's own words)``."""

    def __init__(self, code: int, what: str, explanation: str = "") -> None:
        reason = f"{os.strerror(code)} ({explanation})" if explanation else os.strerror(code)
        super().__init__(code, f"{what}: {reason}")
        self.what, self.explanation = what, explanation


@dataclass(frozen=True, slots=True)
class Message:
    """One request: kind (RTM_…, or subsystem << 8 | NFT_MSG_…), NLM_F_* flags, the family's header with attributes."""

    kind: int
    flags: int
    payload: bytes
    what: str = ""  # for the error text, where it is one of several


# --- attributes ------------------------------------------------------------------------------------------------------


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute, padded to four bytes."""
    size = len(value) + 4
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size & 3)


def attributes(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode (kind, value) pairs in their order."""
    return b"".join([attribute(kind, value) for kind, value in pairs])


def nested(kind: int, pairs: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, attributes(pairs))


def parse_list(data: bytes) -> list[tuple[int, bytes]]:
    """Decode attributes in their order; kinds come without NLA_F_NESTED and NLA_F_NET_BYTEORDER.

    Raises:
        ValueError: the bytes are not a sequence of whole attributes.
    """
    found = []
    offset = 0
    while offset + 4 <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > len(data):
            raise ValueError(f"netlink attribute of {size} bytes at {offset} of {len(data)}")
        found.append((kind & _NLA_TYPE_MASK, data[offset + 4 : offset + size]))
        offset += size + 3 & ~3
    if offset < len(data):
        raise ValueError(f"{len(data) - offset} bytes after the last netlink attribute")
    return found


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """Decode attributes by kind; the last one of a kind counts. ValueError as `parse_list`."""
    return dict(parse_list(data))


def u8(value: int) -> bytes:
    """Encode 8 bits."""
    return struct.pack("=B", value)


def u16(value: int) -> bytes:
    """Encode 16 bits."""
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    """Encode 32 bits."""
    return struct.pack("=I", value)


def s32(value: int) -> bytes:
    """Encode 32 bits with a sign."""
    return struct.pack("=i", value)


def u64(value: int) -> bytes:
    """Encode 64 bits."""
    return struct.pack("=Q", value)


def be16(value: int) -> bytes:
    """Encode 16 bits in network byte order."""
    return struct.pack(">H", value)


def be32(value: int) -> bytes:
    """Encode 32 bits in network byte order."""
    return struct.pack(">I", value)


def be64(value: int) -> bytes:
    """Encode 64 bits in network byte order."""
    return struct.pack(">Q", value)


def string(text: str) -> bytes:
    """Encode a text, ended by NUL."""
    return text.encode() + b"\0"


def to_int(value: bytes) -> int:
    """Decode a number of any width, in host byte order."""
    return int.from_bytes(value, _ORDER)


def be_to_int(value: bytes) -> int:
    """Decode a number of any width, in network byte order."""
    return int.from_bytes(value, "big")


def to_string(value: bytes) -> str:
    """Decode a text that may end with NUL."""
    return value.split(b"\0", 1)[0].decode(errors="replace")


_ORDER: Final = "little" if struct.pack("=H", 1) == b"\1\0" else "big"


# --- messages --------------------------------------------------------------------------------------------------------


def encode(message: Message, sequence: int) -> bytes:
    """Encode a whole message, padded to four bytes; NLM_F_REQUEST is added."""
    size = len(message.payload) + _HEADER.size
    header = _HEADER.pack(size, message.kind, message.flags | NLM_F_REQUEST, sequence, 0)
    return header + message.payload + bytes(-size & 3)


@dataclass(frozen=True, slots=True)
class Answer:
    """One message of the kernel. Of an ack or the end of a dump: ``code`` (errno) and ``explanation``."""

    kind: int
    flags: int
    sequence: int
    body: bytes
    code: int = 0
    explanation: str = ""

    @property
    def final(self) -> bool:
        """Nothing more comes for this request."""
        return self.kind in (_NLMSG_ERROR, _NLMSG_DONE)


def decode(data: bytes) -> Iterator[Answer]:
    """Decode what one receive returned. ValueError when it is cut off."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < _HEADER.size or offset + size > len(data):
            raise ValueError(f"netlink message of {size} bytes at {offset} of {len(data)}")
        body = data[offset + _HEADER.size : offset + size]
        if kind in (_NLMSG_ERROR, _NLMSG_DONE):
            yield Answer(kind, flags, sequence, body, *_verdict(kind, flags, body))
        else:
            yield Answer(kind, flags, sequence, body)
        offset += size + 3 & ~3


def _verdict(kind: int, flags: int, body: bytes) -> tuple[int, str]:
    """Return errno and the kernel's text of an ERROR or DONE message."""
    code = -_ERRNO.unpack_from(body)[0] if len(body) >= _ERRNO.size else 0
    if not flags & _NLM_F_ACK_TLVS:
        return code, ""
    skip = _ERRNO.size
    if kind == _NLMSG_ERROR:  # the header of the request follows, and all of it unless CAPPED
        skip += _HEADER.size if flags & _NLM_F_CAPPED else _HEADER.unpack_from(body, skip)[0] + 3 & ~3
    return code, to_string(parse_attributes(body[skip:]).get(_NLMSGERR_ATTR_MSG, b""))


# --- the socket ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def inside(netns: int) -> Iterator[None]:
    """Run the body with this thread in the network namespace of descriptor ``netns``, and bring it back in any case.

    Raises:
        OSError: setns failed. Should the way back fail, the thread is in the wrong namespace: that error is raised too.
    """
    with open("/proc/thread-self/ns/net", "rb") as own:
        process.setns(netns, process.CLONE_NEWNET)
        try:
            yield
        finally:
            process.setns(own.fileno(), process.CLONE_NEWNET)


class Socket:
    """A netlink socket of one protocol (NETLINK_ROUTE, NETLINK_NETFILTER) in one network namespace."""

    def __init__(self, protocol: int, netns: int | None = None) -> None:
        """Open it in the namespace of descriptor ``netns``, or in the one that the thread is in."""
        with inside(netns) if netns is not None else contextlib.nullcontext():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_S, 0))
        self._enlarge(_SO_RCVBUFFORCE, socket.SO_RCVBUF, _ROOM_BYTES)
        self._sequence = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self._socket.close()

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._socket.fileno()

    def request(self, kind: int, flags: int, payload: bytes, what: str) -> list[tuple[int, bytes]]:
        """Send one message and return what is answered, as (kind, body); a dump whole. The ack is asked for.

        A dump that the kernel marks as interrupted by a change is taken again.

        Raises:
            NetlinkError: the kernel refused ``what``.
        """
        for _ in range(_DUMP_TRIES):
            answers = self._exchange_one(Message(kind, flags | NLM_F_ACK, payload), what)
            if answers is not None:
                return answers
        raise NetlinkError(EINTR, what, f"changed {_DUMP_TRIES} times while it was read")

    def transact(self, messages: Sequence[Message], what: str = "") -> list[tuple[int, bytes]]:
        """Send several messages at once, wait for the acks of those with NLM_F_ACK, and raise the first error of any.

        rtnetlink carries out every message, also those behind one that failed. nfnetlink carries out a batch wholly
        or not at all. Returns what those with NLM_F_ECHO did, as (kind, body).

        Raises:
            NetlinkError: the first refusal; its text begins with ``what``, and the message's own.
        """
        errors, echoed = self._attempt(messages, what)
        for error in errors:
            if error is not None:
                raise error
        return echoed

    def attempt(self, messages: Sequence[Message], what: str = "") -> list[NetlinkError | None]:
        """As `transact`, but return what became of each message.

        Raises:
            NetlinkError: the kernel didn't take or answer them.
        """
        return self._attempt(messages, what)[0]

    def _attempt(
        self, messages: Sequence[Message], what: str
    ) -> tuple[list[NetlinkError | None], list[tuple[int, bytes]]]:
        if not messages:
            return [], []
        echoed: list[tuple[int, bytes]] = []
        with self._lock:
            first = self._sequence + 1
            self._sequence += len(messages)
            waited = {first + i for i, message in enumerate(messages) if message.flags & NLM_F_ACK}
            self._send(b"".join([encode(message, first + i) for i, message in enumerate(messages)]), what)
            failed = self._acks(first, waited, what, echoed)
        errors = [
            NetlinkError(
                failed[first + i].code, ": ".join(filter(None, (what, one.what))), failed[first + i].explanation
            )
            if first + i in failed
            else None
            for i, one in enumerate(messages)
        ]
        return errors, echoed

    def _exchange_one(self, message: Message, what: str) -> list[tuple[int, bytes]] | None:
        """Return the answers of one request, or None if a dump was interrupted."""
        found: list[tuple[int, bytes]] = []
        interrupted = 0
        with self._lock:
            self._sequence += 1
            self._send(encode(message, self._sequence), what)
            while True:
                for answer in self._receive(what):
                    if answer.sequence != self._sequence:
                        continue  # of an exchange that was given up
                    interrupted |= answer.flags & _NLM_F_DUMP_INTR
                    if not answer.final:
                        found.append((answer.kind, answer.body))
                    elif answer.code:
                        raise NetlinkError(answer.code, what, answer.explanation)
                    else:
                        return None if interrupted else found

    def _acks(self, first: int, waited: set[int], what: str, echoed: list[tuple[int, bytes]]) -> dict[int, Answer]:
        """Read acks until none of ``waited`` is missing; return the failures by sequence number.

        The kernel answers while it is asked, so after a failure what is there is all that comes: nfnetlink answers a
        batch that it refuses as a whole with the number of the batch's first message, and no other.
        """
        failed: dict[int, Answer] = {}
        while waited:
            try:
                answers = self._receive(what, socket.MSG_DONTWAIT if failed else 0)
            except BlockingIOError:
                break
            for answer in answers:
                if not answer.final:  # an echo; of nftables it may have no number
                    echoed.append((answer.kind, answer.body))
                if answer.sequence < first or not answer.final:
                    continue
                waited.discard(answer.sequence)
                if answer.code:
                    failed.setdefault(answer.sequence, answer)
        return failed

    def _send(self, data: bytes, what: str) -> None:
        if len(data) > _SEND_LIMIT:
            self._enlarge(_SO_SNDBUFFORCE, socket.SO_SNDBUF, 2 * len(data))
        try:
            self._socket.send(data)
        except OSError as error:
            raise NetlinkError(error.errno or 0, what) from error

    def _receive(self, what: str, flags: int = 0) -> list[Answer]:
        """Return what the kernel sent; what a program in a container's namespace sends to this socket is dropped."""
        while True:
            try:
                data, sender = self._socket.recvfrom(_ANSWER_BYTES, flags)
            except BlockingIOError:
                if flags & socket.MSG_DONTWAIT:
                    raise
                raise NetlinkError(ETIMEDOUT, what, f"no answer of the kernel for {_ANSWER_S} s") from None
            except OSError as error:
                raise NetlinkError(error.errno or EAGAIN, what) from error
            if sender[0] == 0:
                return list(decode(data))

    def _enlarge(self, forced: int, plain: int, size: int) -> None:
        """Set a buffer's size; over the limit of net.core only where CAP_NET_ADMIN counts (not in a user namespace)."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, plain, size)
