"""Networks: the answers to one scenario, field by field as a Docker daemon gave them (`tests/peer/networks.json`)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from peer.api_cases import differences
from peer.network_cases import answers
from support.http import ask

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "peer" / "networks.json").read_text())

DIFFERENT = [
    # the default bridge is Sampan's own
    r"\.Options\.com\.docker\.network\.bridge\.name: Docker \"docker0\", here \"sampan0\"",
    r"\.Options\.com\.docker\.network\.driver\.mtu: .*",
    # a network with IPv6 gets a subnet of its own, as from Docker 27 on
    r"\[23\]\[1\]: Docker 404, here 201",
    r"\[23\]\[2\]: Docker \"could not find an available, non-overlapping IPv6 address pool.*",
    # a network namespace is a descriptor here, and is gone with its container
    r"\.SandboxID: Docker \"<id>\", here \"\"",
    r"\.SandboxKey: Docker \"<path>\", here \"\"",
]


@pytest.fixture(scope="module")
def ours(host: str) -> dict[str, Any]:
    """The scenario, played on the engine."""

    def here(method: str, path: str, body: object = None) -> tuple[int, Any]:
        return ask(host, method, path, body)

    return dict(answers(here))


@pytest.mark.parametrize("name", RECORDED)
def test_as_recorded(ours: dict[str, Any], name: str) -> None:
    found = [
        line
        for line in differences(RECORDED[name], json.loads(json.dumps(ours[name])))
        if not any(re.search(f"{pattern}$", line) for pattern in DIFFERENT)
    ]
    assert not found, "\n" + "\n".join(found)
