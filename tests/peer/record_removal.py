"""Record what a Docker daemon does about removals and filters of images: removal.json beside this file.

SAMPAN_PEER=unix:///path/docker.sock python tests/peer/record_removal.py
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer.removal_cases import answered, play  # noqa: E402 - found only through the line above
from support.engine import Engine  # noqa: E402


def main() -> None:
    """Play the scenes on the peer and write what it said."""
    engine = Engine(os.environ["SAMPAN_PEER"], is_peer=True)
    text = json.dumps({"answers": answered(engine.host), **dict(play(engine))}, indent=1, ensure_ascii=False) + "\n"
    (HERE / "removal.json").write_text(text)


if __name__ == "__main__":
    main()
