"""A daemon whose containers are hostile."""

from collections.abc import Iterator

import pytest

from support.daemon import Sampand
from support.engine import Engine, docker_or_skip


@pytest.fixture
def engine(shared_sampand: Sampand) -> Iterator[Engine]:
    """The session's engine with busybox; containers of the test are removed behind it."""
    docker_or_skip()
    shared_sampand.engine.load_busybox()
    yield shared_sampand.engine
    shared_sampand.engine.clean()
