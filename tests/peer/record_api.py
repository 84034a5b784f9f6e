"""Record a Docker daemon's API answers for the tests to compare with: api/*.json beside this file.

    SAMPAN_PEER=unix:///path/docker.sock python tests/peer/record_api.py

Containers and tags that it makes begin with ``sampan-record``; the image of the tests is loaded if it is not there.
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer.api_cases import answers  # noqa: E402 - found only through the line above
from support.engine import Engine  # noqa: E402
from support.http import ask  # noqa: E402


def main() -> None:
    """Play the scenario on the peer and write what it answered."""
    engine = Engine(os.environ["SAMPAN_PEER"], is_peer=True)
    engine.load_busybox()

    def on_peer(method: str, path: str, body: object = None) -> tuple[int, object]:
        return ask(engine.host, method, path, body)

    (HERE / "api").mkdir(exist_ok=True)
    for name, answer in answers(on_peer):
        text = json.dumps(answer, indent=1, ensure_ascii=False) + "\n"
        (HERE / "api" / f"{name}.json").write_text(text)
        print(name)


if __name__ == "__main__":
    main()
