"""Times, sizes and progress as Docker writes them; histories; platforms."""

import json

import pytest

from sampan.image import importing, model
from sampan.image.catalog import Catalog
from sampan.image.errors import InvalidChange, InvalidPlatform, WrongPlatform
from sampan.image.history import history
from sampan.image.platforms import Platform
from sampan.image.progress import LayerProgress, bar, human
from sampan.image.rows import ImageRow, LayerRow

D = "sha256:" + "0" * 64


def image(config: dict[str, object], sizes: tuple[int, ...] = ()) -> model.Image:
    layers = tuple(LayerRow(D, D, size) for size in sizes)
    return model.build(ImageRow(D, layers, names=("a:1",)), json.dumps(config).encode())


@pytest.mark.parametrize(
    ("text", "seconds", "shortest"),
    [
        ("1970-01-01T00:00:10Z", 10, "1970-01-01T00:00:10Z"),
        ("2024-01-02T03:04:05.600700800Z", 1704164645, "2024-01-02T03:04:05.6007008Z"),
        ("2024-01-02T03:04:05.000Z", 1704164645, "2024-01-02T03:04:05Z"),
        ("2024-01-02T04:04:05+01:00", 1704164645, "2024-01-02T04:04:05+01:00"),
        ("0001-01-01T00:00:00Z", -62135596800, "0001-01-01T00:00:00Z"),
        ("", 0, ""),
        ("yesterday", 0, "yesterday"),
        ("2024-99-02T03:04:05Z", 0, "2024-99-02T03:04:05Z"),
    ],
)
def test_times(text: str, seconds: int, shortest: str) -> None:
    assert model.parse_time(text) == seconds
    assert model.shortest_time(text) == shortest


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_500_000_000, "1970-01-01T00:00:01.5Z"), (1, "1970-01-01T00:00:00.000000001Z")],
)
def test_writing_times(ns: int, text: str) -> None:
    assert model.format_time(ns) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (32768, "32.77kB"), (1505280, "1.505MB"), (10**16, "10PB")],
)
def test_sizes(size: int, text: str) -> None:
    assert human(size) == text


def test_bars() -> None:
    assert (
        bar(32768, 1505280) == "[=>                                                 ]  32.77kB/1.505MB"
    )  # dockerd 26.1
    assert bar(1505280, 1505280) == "[" + "=" * 50 + ">]  1.505MB/1.505MB"
    assert bar(0, 0) == "[" + "=" * 50 + ">]       0B/0B"


def test_progress_comes_in_steps() -> None:
    messages: list[dict[str, object]] = []
    progress = LayerProgress(messages.append, quiet=False)
    for done in range(0, 3_000_001, 100_000):
        progress(D, done, 3_000_000)
    progress(D, 3_000_000, 3_000_000)
    assert [one["progressDetail"]["current"] for one in messages] == [  # type: ignore[index]
        0, 600_000, 1_200_000, 1_800_000, 2_400_000, 3_000_000,
    ]  # fmt: skip
    LayerProgress(messages.append, quiet=True)(D, 1, 2)
    assert len(messages) == 6


def test_history_gives_sizes_to_steps_with_layers() -> None:
    steps = [{"created_by": "a"}, {"created_by": "b", "empty_layer": True}, {"created_by": "c", "comment": "x"}, None]
    found = history(image({"history": steps}, (10, 20)))
    assert [(step["CreatedBy"], step["Size"]) for step in found] == [("", 0), ("c", 20), ("b", 0), ("a", 10)]
    assert (found[0]["Id"], found[0]["Tags"]) == (D, ["a:1"])
    assert (found[1]["Id"], found[1]["Tags"]) == ("<missing>", None)
    assert history(image({})) == [] == history(image({"history": 1}))


def test_values_of_odd_configurations() -> None:
    odd = image({"created": 1, "config": None, "architecture": None})
    assert (odd.created, odd.created_s, odd.defaults, odd.labels, odd.architecture, odd.os) == (
        "",
        0,
        {},
        {},
        "",
        "linux",
    )


@pytest.mark.parametrize(
    ("asked", "fits"),
    [("linux/amd64", True), ("amd64", True), ("linux", True), ("linux/x86_64", True), ("linux/arm64", False),
     ("windows/amd64", False), ("linux/amd64/v2", True)],
)  # fmt: skip
def test_platforms_of_images(asked: str, fits: bool) -> None:
    catalog = Catalog([image({"architecture": "amd64", "os": "linux"})])
    if fits:
        assert catalog.resolve("a:1", asked).id == D
        return
    with pytest.raises(WrongPlatform, match="was found but its platform") as caught:
        catalog.resolve("a:1", asked)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("text", "parts"),
    [(None, ("linux", "amd64", "")), ("linux/arm64/v8", ("linux", "arm64", "v8")), ("arm64", ("linux", "arm64", "")),
     ("linux", ("linux", "amd64", ""))],
)  # fmt: skip
def test_platforms_of_imports(text: str | None, parts: tuple[str, str, str]) -> None:
    assert importing.target(text, "amd64") == Platform(*parts)


@pytest.mark.parametrize("text", ["a/b/c/d", "linux/", "linux/a b", "windows/amd64"])
def test_bad_platforms_of_imports(text: str) -> None:
    with pytest.raises((InvalidChange, InvalidPlatform)):
        importing.target(text, "amd64")
