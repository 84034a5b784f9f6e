"""Removals, clean-ups and filters of images, scene by scene as a Docker daemon answered (`tests/peer/removal.json`)."""

import json
from pathlib import Path

import pytest

from peer.removal_cases import SCENES, play
from support.engine import Engine

RECORDED: dict[str, list[str]] = json.loads((Path(__file__).parents[2] / "peer" / "removal.json").read_text())


@pytest.fixture(scope="module")
def ours(shared_engine: Engine) -> dict[str, list[str]]:
    """The scenes, played on the engine."""
    return dict(play(shared_engine))


@pytest.mark.parametrize("scene", SCENES)
def test_as_recorded(ours: dict[str, list[str]], scene: str) -> None:
    assert ours[scene] == RECORDED[scene]
