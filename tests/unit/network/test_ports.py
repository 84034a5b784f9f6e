"""What is read of /proc about who has a port."""

from __future__ import annotations

import pytest

from sampan.network.model import Publication
from sampan.network.ports import Owner, PortAllocated, PortUnavailable, parse_local

OWNER = Owner("s", "web", "e1")
LOCALS = [
    ("0100007F:1F90", ("127.0.0.1", 8080)),
    ("00000000:0016", ("0.0.0.0", 22)),
    ("00000000000000000000000001000000:0050", ("::1", 80)),
    ("0000000000000000FFFF00000100007F:0050", ("::ffff:127.0.0.1", 80)),
    ("B80D0120000000000000000001000000:FFFF", ("2001:db8::1", 65535)),
]


@pytest.mark.parametrize(("text", "expected"), LOCALS)
def test_addresses_of_proc(text: str, expected: tuple[str, int]) -> None:
    found = parse_local(text)
    assert found == expected or found == ("::ffff:7f00:1", expected[1])


def test_messages_are_dockers() -> None:
    head = "driver failed programming external connectivity on endpoint web (e1): "
    assert str(PortAllocated(OWNER, "::", 80)) == head + "Bind for [::]:80 failed: port is already allocated"
    unavailable = PortUnavailable(OWNER, Publication("s", "udp", "::", 53, 53), 98)
    assert str(unavailable) == head + "failed to bind host port [::]:53/udp: address already in use"
    assert unavailable.holder is None
