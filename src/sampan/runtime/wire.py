"""Messages between sampand, the zygote and the monitors: one JSON object and its descriptors, one packet.

Words.  *channel*: a connected SOCK_SEQPACKET socket.  *early*: bytes that a client sent right behind its request head.
Limits. A packet holds at most 128 KiB; a larger message travels in a memfd that the packet carries.  A packet carries
        at most 253 descriptors (SCM_MAX_FD, unix(7)).
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any, Final

MAX_PACKET: Final = 128 << 10  # bytes; a sender's default buffer holds one of them (net.core.wmem_default)
MAX_DESCRIPTORS: Final = 253
Message = dict[str, Any]

_IN_FILE: Final = b"memfd"  # the message is the first descriptor's content
_ANCILLARY: Final = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel, both closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Message, descriptors: list[int] | None = None) -> None:
    """Send one message. The descriptors stay the caller's to close.

    Raises:
        OSError: the peer is gone (EPIPE), or its queue is full and the channel does not block (EAGAIN).
    """
    send_bytes(channel, json.dumps(message, separators=(",", ":")).encode(), descriptors)


def send_bytes(channel: socket.socket, payload: bytes, descriptors: list[int] | None = None) -> None:
    """Send one message that is encoded already, as `send` does."""
    if len(payload) > MAX_PACKET:
        file = memory_file(payload)
        try:
            _send(channel, _IN_FILE, [file, *(descriptors or [])])
        finally:
            os.close(file)
    else:
        _send(channel, payload, descriptors)


def _send(channel: socket.socket, payload: bytes, descriptors: list[int] | None) -> None:
    if descriptors:
        rights = array.array("i", descriptors)
        channel.sendmsg([payload], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)
    else:
        channel.send(payload, socket.MSG_NOSIGNAL)


def memory_file(content: bytes) -> int:
    """Return a descriptor of a new file in memory that holds ``content`` (memfd_create(2))."""
    file = os.memfd_create("sampan", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
    return file


def read_file(descriptor: int) -> bytes:
    """Return the whole content of a file in memory and close it."""
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def receive(channel: socket.socket) -> tuple[Message, list[int]] | None:
    """Receive one message and its descriptors (closed on exec); None when the peer is gone.

    Raises:
        BlockingIOError: nothing is there and the channel does not block.
        ValueError: the packet is no JSON object.
    """
    payload, descriptors = receive_bytes(channel)
    if not payload:
        return None
    message = json.loads(payload)
    if not isinstance(message, dict):
        raise ValueError(f"not a message: {payload[:80]!r}")
    return message, descriptors


def receive_bytes(channel: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one message as it is encoded, and its descriptors; no bytes when the peer is gone."""
    try:
        payload, ancillary, _flags, _address = channel.recvmsg(MAX_PACKET, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # said once, if the peer left something unread, and before what the peer had sent
        payload, ancillary, _flags, _address = channel.recvmsg(MAX_PACKET, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not payload:
        for descriptor in descriptors:
            os.close(descriptor)
        return b"", []
    if payload == _IN_FILE:
        payload = read_file(descriptors.pop(0))
    return payload, list(descriptors)
