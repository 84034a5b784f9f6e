"""The answers to one scenario, field by field as a Docker daemon gave them (`tests/peer/api`)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from peer.api_cases import answers, differences
from support.http import ask

RECORDED = Path(__file__).parents[2] / "peer" / "api"

DIFFERENT = [
    # Sampan's own names for its snapshot driver, its runtime and where things lie
    r"\.GraphDriver\..*",
    r"\.Driver: .*",
    r"\.HostConfig\.Runtime: .*",
    # the sizes that the drivers count differ
    r"\.body\[0\]\.SizeR.*",
    # a runtime tells its features to containerd only
    r"\.Runtimes\.\S+ is .*",
    # what there is, and what is compiled in
    r"\.DriverStatus.*",
    r"\.KernelMemoryTCP is missing",
    r"\.Components\[0\]\.Details\..*",
    r"\.BuildTime is missing",
    r"\.Warnings: .*",
    r"\.Plugins\.Volume: .*",
    # why it ended, in one sentence: Sampan's own
    r"\.State\.Reason is too much",
    # the files are there from the creation on; dockerd makes them at the first start
    r"\.(ResolvConfPath|HostnamePath|HostsPath|LogPath): Docker \"\", here \"<path>\"",
    r"\.NetworkID: Docker \"\", here \"<id>\"",
    # a network namespace is a descriptor here, and is gone with its container
    r"\.SandboxKey: Docker \"<path>\", here \"\"",
    r"\.SandboxID: Docker \"<id>\", here \"\"",
]


@pytest.fixture(scope="module")
def ours(host: str) -> dict[str, Any]:
    """The scenario, played on the engine."""

    def here(method: str, path: str, body: object = None) -> tuple[int, Any]:
        return ask(host, method, path, body)

    return dict(answers(here))


@pytest.mark.parametrize("name", [path.stem for path in sorted(RECORDED.glob("*.json"))])
def test_as_recorded(ours: dict[str, Any], name: str) -> None:
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    found = [
        line
        for line in differences(json.loads(json.dumps(recorded)), json.loads(json.dumps(ours[name])))
        if not any(re.search(f"{pattern}$", line) for pattern in DIFFERENT)
    ]
    assert not found, "\n" + "\n".join(found)
