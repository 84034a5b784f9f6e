"""Platforms as people write them, and what fits them. The messages are dockerd 26.1's."""

import pytest

from sampan.image.errors import InvalidPlatform
from sampan.image.platforms import Platform, asked, of

SYSTEM = r'OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$"'
COMPONENT = 'platform specifier component must match "^[A-Za-z0-9_-]+$"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "linux/arm64"), ("", "linux/arm64"), ("linux", "linux/arm64"), ("LINUX/AMD64", "linux/amd64"),
        ("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("armhf", "linux/arm/v7"), ("arm/7", "arm/7"),
        ("linux/arm/7", "linux/arm/v7"), ("linux/arm64/v8", "linux/arm64/v8"), ("linux/amd64/v1", "linux/amd64"),
        ("windows/amd64", "windows/amd64"), ("linux/unheard", "linux/unheard"), ("s390x", "linux/s390x"),
    ],
)  # fmt: skip
def test_asked(text: str | None, expected: str) -> None:
    assert str(asked(text, "arm64")) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bogus", '"bogus": unknown operating system or architecture'),
        ("bogus/x/y/z", '"bogus/x/y/z": cannot parse platform specifier'),
        ("linux/*", '"linux/*": wildcards not yet supported'),
        ("a b", f'"a b" is an invalid OS component of "a b": {SYSTEM}'),
        ("/", f'"" is an invalid OS component of "/": {SYSTEM}'),
        ("linux/a b", f'"a b" is an invalid component of "linux/a b": {COMPONENT}'),
    ],
)
def test_what_is_none(text: str, why: str) -> None:
    with pytest.raises(InvalidPlatform) as refused:
        asked(text, "amd64")
    assert (str(refused.value), refused.value.status) == (f"{why}: invalid argument", 400)


@pytest.mark.parametrize(
    ("wanted", "image", "fits"),
    [
        ("linux/amd64", "linux/amd64/", True), ("linux/amd64", "linux//", True), ("linux/amd64", "//", True),
        ("linux/amd64", "linux/arm64/", False), ("linux/amd64", "windows/amd64/", False),
        ("linux/arm64", "linux/arm64/v8", True), ("linux/arm64", "linux/aarch64/", True),
        ("linux/arm/v6", "linux/arm/v7", False), ("linux/arm/v7", "linux/arm/v6", True), ("arm", "linux/arm/v7", True),
        ("linux/amd64", "linux/amd64/v3", False), ("linux/amd64/v3", "linux/amd64/v2", True),
    ],
)  # fmt: skip
def test_fits(wanted: str, image: str, fits: bool) -> None:
    assert asked(wanted, "amd64").runs(Platform(*image.split("/"))) == fits


def test_what_an_image_says() -> None:
    assert of({"os": "linux", "architecture": 5, "variant": None}) == Platform("linux", "")
