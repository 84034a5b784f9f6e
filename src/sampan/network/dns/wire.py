"""DNS packets, as much as a resolver needs that answers A, AAAA and PTR and hands the rest on as it came.

Words.  *question*: a query that can be answered, its parts taken out. *head* of an answer: header and question.
Rules.  A query has one question and at most the few records that dockerd lets pass; its question isn't compressed, so
        there is nothing to loop. Names are lower-case bytes with dots, without the last one; a name with a dot or a
        NUL inside of a label is nobody's, and is handed on.
Cost.   3 µs to parse and answer; dnslib takes 37, and exhausts its recursion at a long chain of pointers.
Source. RFC 1035 section 4, RFC 6891 (EDNS), RFC 2308 (no such address). Texts of errors are none: codes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

A: Final = 1
PTR: Final = 12
AAAA: Final = 28
OPT: Final = 41
IN: Final = 1

NO_ERROR: Final = 0
FORMAT_ERROR: Final = 1
SERVER_FAILURE: Final = 2
NOT_IMPLEMENTED: Final = 4
REFUSED: Final = 5

QUERY_LIMIT: Final = 4096  # bytes; a query is some dozens, with every option some hundreds
UDP_LIMIT: Final = 512  # bytes of an answer to a client that doesn't say that it takes more (RFC 1035)
TCP_LIMIT: Final = 65535
TTL_S: Final = 600  # dockerd's

_HEADER: Final = struct.Struct("!HHHHHH")
_RESPONSE: Final = 0x8000
_TRUNCATED: Final = 0x0200
_RECURSION_AVAILABLE: Final = 0x0080
_OPCODE: Final = 0x7800
_ECHOED: Final = 0x7910  # opcode, recursion desired, checking disabled
_RECORD: Final = struct.Struct("!HHIH")  # type, class, TTL, length of data
_TO_QUESTION: Final = b"\xc0\x0c"  # the name of the question, by a pointer
_NAME_LIMIT: Final = 255  # bytes on the wire


class Bad(Exception):
    """A packet that is answered with an error, or (``code`` None) not at all."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Question:
    """A query."""

    ident: int
    flags: int
    name: bytes  # b"\0" for one that no name of ours equals
    kind: int
    klass: int
    end: int  # of the question in the packet
    udp_limit: int  # bytes of an answer that the client takes over UDP


def parse(packet: bytes) -> Question:
    """Read a query. Raises Bad."""
    if len(packet) < 12:
        raise Bad(None)
    ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    if flags & _RESPONSE:
        raise Bad(None)
    if flags & _OPCODE:
        raise Bad(NOT_IMPLEMENTED)
    if questions != 1 or answers > 1 or authorities > 1 or additional > 2 or len(packet) > QUERY_LIMIT:
        raise Bad(FORMAT_ERROR)
    name, end = _read_name(packet)
    if end + 4 > len(packet):
        raise Bad(FORMAT_ERROR)
    records = answers + authorities + additional
    limit = _udp_limit(packet, end + 4, records) if records else UDP_LIMIT
    kind, klass = struct.unpack_from("!HH", packet, end)
    return Question(ident, flags, name, kind, klass, end + 4, limit)


def _read_name(packet: bytes) -> tuple[bytes, int]:
    """Read the question's name: it and the offset behind it."""
    labels = []
    at, strange = 12, False
    try:
        while size := packet[at]:
            if size > 63 or at - 12 + size + 2 > _NAME_LIMIT:
                raise Bad(FORMAT_ERROR)
            label = packet[at + 1 : at + 1 + size]
            strange = strange or b"." in label or b"\0" in label
            labels.append(label)
            at += 1 + size
    except IndexError:
        raise Bad(FORMAT_ERROR) from None
    return b"\0" if strange else b".".join(labels).lower(), at + 1


def _udp_limit(packet: bytes, at: int, records: int) -> int:
    """Walk the records behind the question; return the size that an OPT among them allows. Raises Bad."""
    limit = UDP_LIMIT
    try:
        for _ in range(records):
            while (size := packet[at]) and size < 64:
                at += 1 + size
            at += 1 if not size else 2  # a pointer ends a name, and is not followed
            kind, klass, _ttl, length = _RECORD.unpack_from(packet, at)
            at += 10 + length
            if kind == OPT:
                limit = max(limit, klass)
    except (IndexError, struct.error):
        raise Bad(FORMAT_ERROR) from None
    if at > len(packet):
        raise Bad(FORMAT_ERROR)
    return limit


def addresses(question: Question, packet: bytes, packed: list[bytes], limit: int) -> bytes:
    """Return an answer with these addresses, all of the question's family.

    What doesn't fit in ``limit`` bytes is left out, and the client told so: it asks again over TCP.
    """
    if not packed:
        return _head(question, packet, NO_ERROR, 0)
    record = _TO_QUESTION + _RECORD.pack(question.kind, IN, TTL_S, len(packed[0]))
    room = (limit - question.end) // (len(record) + len(packed[0]))
    flags = 0 if room >= len(packed) else _TRUNCATED
    fitting = packed[:room]
    return _head(question, packet, flags, len(fitting)) + b"".join([record + one for one in fitting])


def pointer(question: Question, packet: bytes, name: bytes) -> bytes:
    """Return the answer to a reverse look-up; ``name`` fits in a packet."""
    data = encode_name(name)
    return _head(question, packet, 0, 1) + _TO_QUESTION + _RECORD.pack(PTR, IN, TTL_S, len(data)) + data


def failure(question: Question, packet: bytes, code: int) -> bytes:
    """Return an answer that says why there is none."""
    flags = _RESPONSE | (question.flags & _ECHOED) | code
    return _HEADER.pack(question.ident, flags, 1, 0, 0, 0) + packet[12 : question.end]


def refusal(packet: bytes, code: int) -> bytes:
    """Return an answer to a packet of which nothing but the header could be read."""
    ident, flags = struct.unpack_from("!HH", packet)
    return _HEADER.pack(ident, _RESPONSE | (flags & (_OPCODE | 0x0100)) | code, 0, 0, 0, 0)


def _head(question: Question, packet: bytes, flags: int, answers: int) -> bytes:
    flags |= _RESPONSE | _RECURSION_AVAILABLE | (question.flags & _ECHOED)
    return _HEADER.pack(question.ident, flags, 1, answers, 0, 0) + packet[12 : question.end]


def encode_name(name: bytes) -> bytes:
    """Return a name (not the root) as it is in a packet, uncompressed."""
    return b"".join([bytes([len(label)]) + label for label in name.split(b".")]) + b"\0"


def reverse_address(name: bytes) -> bytes | None:
    """Return the packed address that a name of in-addr.arpa or ip6.arpa stands for; None for any other name."""
    head, _, domain = name.removesuffix(b".arpa").rpartition(b".")
    parts = head.split(b".")[::-1]
    if not name.endswith(b".arpa"):
        return None
    try:
        if domain == b"in-addr" and len(parts) == 4:
            return ip_address(b".".join(parts).decode("ascii")).packed
        if domain == b"ip6" and len(parts) == 32 and all(len(part) == 1 for part in parts):
            return bytes.fromhex(b"".join(parts).decode("ascii"))
    except ValueError:
        pass
    return None


def with_ident(packet: bytes, ident: int) -> bytes:
    """Return the packet under another number."""
    return ident.to_bytes(2, "big") + packet[2:]


def answers_to(reply: bytes, ident: int, query: bytes, question: Question) -> bool:
    """Tell whether ``reply`` is an answer to ``query``, which was sent under ``ident``: same number, same question.

    Case counts for nothing; an answer without a question is taken when it is an error.
    """
    if len(reply) < 12:
        return False
    found, flags, questions, _, _, _ = _HEADER.unpack_from(reply)
    if found != ident or not flags & _RESPONSE or (flags ^ question.flags) & _OPCODE:
        return False
    if questions == 0:
        return bool(flags & 0xF)
    name, kind = slice(12, question.end - 4), slice(question.end - 4, question.end)
    return questions == 1 and reply[name].lower() == query[name].lower() and reply[kind] == query[kind]


def code(reply: bytes) -> int:
    """Return the code of an answer."""
    return reply[3] & 0xF
