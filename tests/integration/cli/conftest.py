"""One daemon for the commands that only Sampan has."""

from collections.abc import Iterator

import pytest

from support.daemon import Sampand
from support.engine import Engine


@pytest.fixture
def engine(shared_sampand: Sampand) -> Iterator[Engine]:
    """The session's daemon, spoken to by `sampan`; containers and images of the test are removed behind it."""
    one = shared_sampand.engine
    before = set(_images(one))
    yield one
    one.clean()
    made = [each for each in _images(one) if each not in before]
    if made:
        assert one.sampan("rmi", "-f", *made).code == 0


def _images(engine: Engine) -> list[str]:
    return list(dict.fromkeys(engine.sampan("images", "-q", "--no-trunc").out.split()))
