"""docker load, images, tag, rmi, import, history, inspect."""

import json
import re
from collections.abc import Iterator

import pytest

from support.engine import Engine
from support.images import BUSYBOX, busybox_archive, busybox_layer, save_archive

EXTRA = "sampan-test/extra:1"


@pytest.fixture
def extra(engine: Engine) -> Iterator[str]:
    """A second image, of one layer and a label."""
    config: dict[str, object] = {"Cmd": ["echo", "extra"], "Labels": {"made.by": "test"}, "Env": ["PATH=/bin"]}
    archive = save_archive([busybox_layer()], config, [EXTRA])
    out = engine.ok("load", stdin=archive)
    assert out == f"Loaded image: {EXTRA}"
    yield EXTRA
    engine.clean()
    engine.docker("rmi", "-f", EXTRA)


def test_load_from_a_file_names_the_image(engine: Engine) -> None:
    assert engine.ok("load", "-i", str(busybox_archive())) == f"Loaded image: {BUSYBOX}"


def test_load_quietly(engine: Engine) -> None:
    assert engine.ok("load", "-q", "-i", str(busybox_archive())) == f"Loaded image: {BUSYBOX}"


def test_images_lists_repository_tag_and_id(engine: Engine, extra: str) -> None:
    table = engine.ok("images")
    assert re.search(r"^REPOSITORY\s+TAG\s+IMAGE ID\s+CREATED\s+SIZE$", table, re.MULTILINE)
    short = engine.look(extra, "{{.Id}}").removeprefix("sha256:")[:12]
    assert re.search(rf"^sampan-test/extra\s+1\s+{short}\s", table, re.MULTILINE)


def test_images_by_reference_and_quiet(engine: Engine, extra: str) -> None:
    assert engine.ok("images", "-q", "--no-trunc", extra) == engine.look(extra, "{{.Id}}")
    assert engine.ok("images", "-q", "--filter", "reference=sampan-test/nosuch") == ""
    assert engine.ok("images", "-q", "--filter", "label=made.by=test").count("\n") == 0


def test_inspect_tells_the_config(engine: Engine, extra: str) -> None:
    image = json.loads(engine.ok("image", "inspect", extra))[0]
    assert image["RepoTags"] == [extra]
    assert image["Config"]["Cmd"] == ["echo", "extra"]
    assert image["Config"]["Labels"] == {"made.by": "test"}
    assert (image["Architecture"], image["Os"]) == ("amd64", "linux")
    assert image["RootFS"]["Type"] == "layers" and len(image["RootFS"]["Layers"]) == 1
    assert image["Size"] > 1_000_000


def test_history_has_a_row_for_each_step(engine: Engine, extra: str) -> None:
    assert engine.ok("history", "--format", "{{.CreatedBy}}", extra) == "test"


def test_the_image_runs_its_own_command(engine: Engine, extra: str) -> None:
    assert engine.run("--rm", extra).line == "extra"


def test_tag_and_untag(engine: Engine, extra: str) -> None:
    engine.ok("tag", extra, "sampan-test/extra:two")
    assert engine.look("sampan-test/extra:two", "{{.Id}}") == engine.look(extra, "{{.Id}}")
    assert engine.ok("rmi", "sampan-test/extra:two") == "Untagged: sampan-test/extra:two"
    assert engine.look(extra, "{{len .RepoTags}}") == "1"


def test_remove_deletes_what_nothing_else_uses(engine: Engine, extra: str) -> None:
    image = engine.look(extra, "{{.Id}}")
    lines = engine.ok("rmi", extra).splitlines()
    assert lines[:2] == [f"Untagged: {extra}", f"Deleted: {image}"]
    missing = engine.docker("image", "inspect", extra)
    assert missing.code == 1 and f"No such image: {extra}" in missing.err


def test_an_image_in_use_stays(engine: Engine, extra: str) -> None:
    container = engine.create(extra)
    refused = engine.docker("rmi", extra)
    assert refused.code == 1
    assert "conflict: unable to remove repository reference" in refused.err
    assert f"container {container[:12]} is using its referenced image" in refused.err


def test_import_makes_an_image_of_a_root_file_system(engine: Engine) -> None:
    tag = "sampan-test/imported:1"
    image = engine.ok("import", "--change", "CMD echo imported", "-", tag, stdin=busybox_layer())
    try:
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", image)
        assert engine.run("--rm", tag, "/bin/busybox", "echo", "hi").line == "hi"
        assert engine.look(tag, "{{json .Config.Cmd}}") == '["/bin/sh","-c","echo imported"]'
    finally:
        engine.clean()
        engine.ok("rmi", tag)


def test_an_image_is_found_by_id_and_prefix(engine: Engine, extra: str) -> None:
    image = engine.look(extra, "{{.Id}}")
    for ref in (image, image[7:], image[7:19]):
        assert engine.look(ref, "{{.Id}}") == image


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        pytest.param(b"this is no archive" * 100, "", id="garbage"),
        pytest.param(save_archive([b"\0" * 1024], {}, [EXTRA])[:2048], "", id="half"),
    ],
)
def test_a_broken_archive_is_refused_and_leaves_nothing(engine: Engine, archive: bytes, words: str) -> None:
    refused = engine.docker("load", stdin=archive)
    assert refused.code == 1 and words in refused.err and refused.err.strip()
    assert engine.docker("image", "inspect", EXTRA).code == 1
