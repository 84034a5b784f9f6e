"""Record a Docker daemon's answers about networks for the tests to compare with: networks.json beside this file.

    SAMPAN_PEER=unix:///path/docker.sock python tests/peer/record_networks.py

Networks and containers that it makes begin with ``sampan-record-net``; the image of the tests is loaded if it is not
there.
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer.network_cases import answers  # noqa: E402 - found only through the line above
from support.engine import Engine  # noqa: E402
from support.http import ask  # noqa: E402


def main() -> None:
    """Play the scenario on the peer and write what it answered."""
    engine = Engine(os.environ["SAMPAN_PEER"], is_peer=True)
    engine.load_busybox()

    def on_peer(method: str, path: str, body: object = None) -> tuple[int, object]:
        return ask(engine.host, method, path, body)

    text = json.dumps(dict(answers(on_peer)), indent=1, ensure_ascii=False) + "\n"
    (HERE / "networks.json").write_text(text)


if __name__ == "__main__":
    main()
