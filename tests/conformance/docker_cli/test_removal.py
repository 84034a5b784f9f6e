"""Removals, clean-ups and filters of images, scene by scene as a Docker daemon answered (`tests/peer/removal.json`)."""

import json
from pathlib import Path
from typing import Any

import pytest

from peer.removal_cases import REQUESTS, SCENES, answered, play
from support.engine import Engine

RECORDED: dict[str, list[Any]] = json.loads((Path(__file__).parents[2] / "peer" / "removal.json").read_text())


@pytest.fixture(scope="module")
def ours(shared_engine: Engine) -> dict[str, list[str]]:
    """The scenes, played on the engine."""
    return dict(play(shared_engine))


@pytest.mark.parametrize("scene", SCENES)
def test_as_recorded(ours: dict[str, list[str]], scene: str) -> None:
    assert ours[scene] == RECORDED[scene]


@pytest.fixture(scope="module")
def answers(shared_engine: Engine) -> list[Any]:
    """What the engine answers to the same requests."""
    return json.loads(json.dumps(answered(shared_engine.host)))


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_requests_are_answered_as_recorded(answers: list[Any], number: int) -> None:
    assert answers[number] == RECORDED["answers"][number]
