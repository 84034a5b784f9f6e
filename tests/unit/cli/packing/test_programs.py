"""First lines of scripts, and names of programs."""

from pathlib import Path

import pytest

from sampan.cli.packing import programs
from sampan.cli.packing.programs import NotThere


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b"#!/bin/sh", ["/bin/sh"]),
        (b"#! /bin/sh -e", ["/bin/sh"]),
        (b"#!\t/bin/sh\t-e", ["/bin/sh"]),
        (b"#!/usr/bin/env python3", ["/usr/bin/env", "python3"]),
        (b"#!/usr/bin/env", ["/usr/bin/env"]),
        (b"#!/usr/bin/env -S python3 -u", ["/usr/bin/env", "python3"]),
        (b"#!/usr/bin/env -S A=1 -i 'my prog' x", ["/usr/bin/env", "my prog"]),
        (b"#!/usr/bin/env python3 -u", ["/usr/bin/env", "python3 -u"]),
        (b"#!/usr/bin/env -S 'open", ["/usr/bin/env", "'open"]),
        (b"\x7fELF", None),
        (b"", None),
    ],
)
def test_first_lines(tmp_path: Path, line: bytes, wanted: list[str] | None) -> None:
    (tmp_path / "script").write_bytes(line + b"\nmore")
    assert programs.interpreters(str(tmp_path / "script")) == wanted


@pytest.mark.parametrize("line", [b"#!", b"#!  ", b"#!sh", b"#!./sh"])
def test_lines_that_name_nothing(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "script").write_bytes(line + b"\n")
    with pytest.raises(NotThere, match="names no interpreter by an absolute path"):
        programs.interpreters(str(tmp_path / "script"))


def test_names_are_looked_up_as_a_shell_does(tmp_path: Path) -> None:
    for directory, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "prog").write_text("x")
        (tmp_path / directory / "prog").chmod(mode)
    path = f"relative:{tmp_path}/none:{tmp_path}/a:{tmp_path}/b/:{tmp_path}/c"
    assert programs.find("prog", path, "/") == f"{tmp_path}/b/prog", "the first one that may be run"
    assert programs.find("./prog", path, f"{tmp_path}/c") == f"{tmp_path}/c/./prog"
    for name, text in (("nosuch", "in no directory of PATH"), ("", "its name is empty"), ("a/prog", "execute"),
                       ("a", "in no directory"), ("./a", "it is a directory"), ("./none", "no such file")):  # fmt: skip
        with pytest.raises(NotThere, match=text):
            programs.find(name, path, str(tmp_path))


def test_spellings_of_one_path(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "sbin").symlink_to("bin")
    assert programs.identity(f"{tmp_path}/sbin/../bin/x") == programs.identity(f"{tmp_path}/bin/x")
