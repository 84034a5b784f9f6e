"""``image diff`` and ``images --tree`` against a daemon: unpacked layers, names, errors; with both storage drivers."""

import io
import json
import re
import tarfile
from collections.abc import Iterator

import pytest

from support.daemon import Sampand
from support.engine import Engine
from support.images import save_archive
from support.privileges import root_or_skip

Entries = dict[str, bytes | None]


def layer(entries: Entries) -> bytes:
    """A layer: file contents, None for a directory; b"@x" is a link to x."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            elif content.startswith(b"@"):
                info.type, info.linkname = tarfile.SYMTYPE, content[1:].decode()
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b"") if info.isreg() else None)
    return out.getvalue()


BASE = layer({"a": None, "a/same": b"s", "a/gone": b"12345", "d": None, "d/one": b"1", "l": b"@/etc", "k": b"abc"})
TOP = layer({"a/.wh.gone": b"", "a/new": b"n" * 2500, "d": None, "d/.wh..wh..opq": b"", "d/two": b"2", "k": b"abd"})
HOSTILE = layer({"a": b"@/etc", "d": b"@../../../../../../etc", "\x1b[31m\n": b""})


@pytest.fixture(params=["overlay2", "copy"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A daemon with the images base:1, top:1 (upon it) and hostile:1."""
    root_or_skip()
    with Sampand("--storage-driver", request.param) as sampand:
        one = sampand.engine
        for name, layers in (("base:1", [BASE]), ("top:1", [BASE, TOP]), ("hostile:1", [HOSTILE])):
            assert one.sampan("load", stdin=save_archive(layers, {}, [name])).code == 0
        yield one


SAID = [
    ("D", "/a/gone", -5), ("A", "/a/new", 2500), ("D", "/d/one", -1), ("A", "/d/two", 1), ("C", "/k", 0)
]  # fmt: skip


def test_differences(engine: Engine) -> None:
    answer = engine.sampan("image", "diff", "base:1", "top:1")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        "D       -5B  /a/gone\nA    +2.5kB  /a/new\nD       -1B  /d/one\nA       +1B  /d/two\nC            /k\n"
    )
    lines = engine.sampan("image", "diff", "--format", "json", "base:1", "top:1").out.splitlines()
    assert [(one["Kind"], one["Path"], one["Size"]) for one in map(json.loads, lines)] == SAID
    own = engine.sampan("image", "diff", "--format", "{{.Path}}:{{.Size}}", "top:1", "base:1").out.split()
    assert own == [f"{path}:{-size}" for _, path, size in SAID]
    assert engine.sampan("image", "diff", "top:1", "top:1").out == ""


def test_a_hostile_image_leads_nowhere(engine: Engine) -> None:
    answer = engine.sampan("image", "diff", "base:1", "hostile:1")
    paths = [line.split(maxsplit=2)[-1] for line in answer.out.splitlines()]
    assert paths == ["/\\x1b[31m\\n", "/a", "/a/gone", "/a/same", "/d", "/d/one", "/k", "/l"], answer
    assert "passwd" not in answer.out


def test_images_that_are_not_there(engine: Engine) -> None:
    for words in (("base:1", "nosuch"), ("nosuch", "base:1")):
        answer = engine.sampan("image", "diff", *words)
        assert (answer.code, answer.err) == (1, "Error response from daemon: No such image: nosuch:latest\n")
    answer = engine.sampan("image", "diff", "--format", "{{.Nosuch}}", "base:1", "top:1")
    assert answer.code == 1 and "can't evaluate field Nosuch" in answer.err
    assert engine.sampan("image", "diff", "base:1").code == 1


def test_images_can_be_removed_behind_it(engine: Engine) -> None:
    engine.sampan("image", "diff", "base:1", "top:1")
    answer = engine.sampan("rmi", "top:1")
    assert answer.code == 0 and answer.out.count("Deleted: ") == 2, "nothing holds the layers any more"


def test_the_tree(engine: Engine) -> None:
    lines = engine.sampan("images", "--tree").out.splitlines()
    assert re.fullmatch(r"IMAGE +IMAGE ID +SIZE +TOTAL", lines[0])
    at = next(number for number, line in enumerate(lines) if line.startswith("base:1 "))
    assert re.fullmatch(r"base:1 +[0-9a-f]{12} +14B +14B", lines[at])
    assert re.fullmatch(r"└─ top:1 +[0-9a-f]{12} +2.5kB +2.52kB", lines[at + 1])
    assert re.fullmatch(r"3 images, 3 layers +2\.\d+kB", lines[-1])
    whole = engine.sampan("images", "--tree", "--no-trunc", "top").out
    assert re.search(r"^top:1 +sha256:[0-9a-f]{64} +2.52kB +2.52kB$", whole, re.MULTILINE)
    assert re.search(r"^1 image, 2 layers +2.52kB$", whole, re.MULTILINE)


def test_the_tree_refuses_what_it_has_no_place_for(engine: Engine) -> None:
    for flag in ("-q", "--digests", "--format=json"):
        assert "is not supported with --tree" in engine.sampan("images", "--tree", flag).err
    answer = engine.sampan("images", "--tree", "--filter", "foo=bar")
    assert (answer.code, answer.err) == (1, "Error response from daemon: invalid filter 'foo'\n")
