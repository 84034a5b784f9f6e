"""Digests and chain IDs."""

import pytest

from sampan.image import digest
from sampan.image.errors import InvalidReference

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_of() -> None:
    assert digest.of(b"") == EMPTY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid checksum digest format"),
        ("sha256:", "invalid checksum digest format"),
        ("sha256:../../etc/passwd", "invalid checksum digest format"),
        ("sha256:" + "g" * 64, "invalid checksum digest format"),
        ("sha256:" + "A" * 64, "invalid checksum digest format"),
        ("sha256:" + "a" * 64 + "\n", "invalid checksum digest format"),
        ("sha256:" + "a" * 63, "invalid checksum digest length"),
        ("md5:" + "a" * 32, "unsupported digest algorithm"),
    ],
)
def test_what_is_no_digest(text: str, message: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        digest.parse(text)
    assert str(caught.value) == message
    assert not digest.is_digest(text)


@pytest.mark.parametrize("value", [None, 1, [], b"sha256:"])
def test_only_strings_are_digests(value: object) -> None:
    assert not digest.is_digest(value)


def test_known_algorithms() -> None:
    for algorithm, length in digest.HEX_LENGTH.items():
        text = f"{algorithm}:{'0' * length}"
        assert digest.parse(text) == text
        assert digest.hasher(text).digest_size * 2 == length


def test_chain_ids() -> None:
    """The example of OCI's config.md, worked by hand: ChainID(a, b) = sha256(ChainID(a) + " " + DiffID(b))."""
    first, second = digest.of(b"a"), digest.of(b"b")
    chain = digest.chain_ids([first, second, first])
    assert chain[:2] == (first, digest.of(f"{first} {second}".encode()))
    assert chain[2] == digest.of(f"{chain[1]} {first}".encode())
    assert digest.chain_ids([]) == ()
