"""Channels as the kernel has them."""

import os

from sampan.runtime import wire


def test_what_was_said_before_the_end_is_heard_though_the_peer_left_something_unread() -> None:
    """unix(7) resets then, and on packets it says so before it gives out what is queued."""
    ours, theirs = wire.pair()
    wire.send(ours, {"go": 1})
    wire.send(theirs, {"failed": "why"})
    theirs.close()
    assert wire.receive(ours) == ({"failed": "why"}, [])
    assert wire.receive(ours) is None


def test_a_large_message_and_its_descriptors() -> None:
    ours, theirs = wire.pair()
    read, write = os.pipe()
    wire.send(ours, {"text": "x" * (4 * wire.MAX_PACKET)}, [write])
    received = wire.receive(theirs)
    assert received is not None
    message, descriptors = received
    assert len(message["text"]) == 4 * wire.MAX_PACKET
    os.write(descriptors[0], b"through")
    assert os.read(read, 10) == b"through"
    for descriptor in (read, write, *descriptors):
        os.close(descriptor)
