"""Ask the Docker daemon named by SAMPAN_PEER again what tests/peer/ holds: `make record-peer`."""

import json
import os

from support.engine import Engine
from support.images import BUSYBOX
from support.inside import RECORDED, VARIANTS, look


def record_inside(engine: Engine) -> None:
    """The view from inside, for each variant of flags."""
    views = {name: look(engine, flags) for name, flags in VARIANTS.items()}
    version = engine.ok("version", "-f", "{{.Server.Version}}")
    RECORDED.parent.mkdir(exist_ok=True)
    text = json.dumps({"dockerd": version, "views": views}, indent=1, ensure_ascii=False)
    RECORDED.write_text(text + "\n")


def main() -> None:
    """Record everything."""
    engine = Engine(os.environ["SAMPAN_PEER"], is_peer=True)
    try:
        engine.load_busybox()
        record_inside(engine)
    finally:
        engine.close()
        engine.docker("rmi", BUSYBOX)


if __name__ == "__main__":
    main()
