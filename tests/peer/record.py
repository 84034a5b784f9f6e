"""Ask a Docker daemon again for everything that the tests compare with: runs each `record_*.py` beside this file.

    SAMPAN_PEER=unix:///path/docker.sock python tests/peer/record.py [name …]

With names ("api", "security"), only those.
"""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """The number of recorders that failed."""
    here = Path(__file__).parent
    wanted = [f"record_{name}.py" for name in sys.argv[1:]] or sorted(path.name for path in here.glob("record_*.py"))
    failed = [name for name in wanted if subprocess.run([sys.executable, here / name], check=False).returncode]
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
