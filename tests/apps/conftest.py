"""An engine whose containers reach the internet, and Debian to run in them."""

import socket
from collections.abc import Iterator

import pytest

from support.images import DEBIAN, debian_tar
from support.site import Site, site

MIRROR = "deb.debian.org"


@pytest.fixture(scope="module")
def debian() -> Iterator[Site]:
    """A site with the image DEBIAN and an uplink of 1,400 bytes to Debian's archive."""
    try:
        socket.create_connection((MIRROR, 80), timeout=5).close()
    except OSError as error:
        pytest.skip(f"{MIRROR} is out of reach: {error}")
    with site(world=True) as one:
        one.engine.ok("import", str(debian_tar()), DEBIAN, timeout=300)
        yield one
        one.clean()
