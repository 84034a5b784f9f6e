"""The zygote's rehearsal: it plays every round to the end and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

from sampan.runtime import records

PLAY = """
import gc, os, sys
from sampan.runtime import cgroups, loop, rehearsal
played = []
rehearsal._play, play = lambda *place: played.append(play(*place)), rehearsal._play
loop.hear_children()
before = len(os.listdir("/proc/self/fd"))
rehearsal.rehearse(cgroups.probe(), sys.argv[1])
gc.collect()
print(len(played), len(os.listdir("/proc/self/fd")) - before)
"""


def play(run_dirs: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PLAY, str(run_dirs)], capture_output=True, check=False, text=True, timeout=60
    )


def test_it_leaves_neither_files_nor_descriptors(tmp_path: Path) -> None:
    done = play(tmp_path / "containers")
    assert (done.stdout, done.stderr) == ("12 0\n", "")
    assert os.listdir(tmp_path) == []


def test_a_place_that_can_not_be_made_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    done = play(tmp_path / "missing" / "containers" / ("x" * 300))
    assert "OSError" in done.stderr
    assert not records.exists(str(tmp_path / "missing"))
