"""The reference grammar, its short forms and its errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.image import reference
from sampan.image.errors import InvalidReference

D = "sha256:" + "0123456789abcdef" * 4

GOOD = [
    # text, canonical, familiar once tagged
    ("busybox", "docker.io/library/busybox", "busybox:latest"),
    ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
    ("library/busybox", "docker.io/library/busybox", "busybox:latest"),
    ("user/app", "docker.io/user/app", "user/app:latest"),
    ("docker.io/busybox", "docker.io/library/busybox", "busybox:latest"),
    ("index.docker.io/busybox:x", "docker.io/library/busybox:x", "busybox:x"),
    ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b:latest"),
    ("localhost/app", "localhost/app", "localhost/app:latest"),
    ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
    ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
    ("Host/app", "Host/app", "Host/app:latest"),
    ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app:latest"),
    ("a.b/c", "a.b/c", "a.b/c:latest"),
    ("a_b__c-d--e.f", "docker.io/library/a_b__c-d--e.f", "a_b__c-d--e.f:latest"),
    (f"busybox@{D}", f"docker.io/library/busybox@{D}", f"busybox@{D}"),
    (f"busybox:1@{D}", f"docker.io/library/busybox:1@{D}", f"busybox:1@{D}"),
    ("a:A_.-9", "docker.io/library/a:A_.-9", "a:A_.-9"),
    ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128, "a:" + "t" * 128),
    ("127.0.0.1:80/x", "127.0.0.1:80/x", "127.0.0.1:80/x:latest"),
    ("0" * 63, "docker.io/library/" + "0" * 63, "0" * 63 + ":latest"),
]

BAD = [
    ("", "invalid reference format"),
    ("a b", "invalid reference format"),
    ("a:", "invalid reference format"),
    (":a", "invalid reference format"),
    ("a:b:c", "invalid reference format"),
    ("a@", "invalid reference format"),
    ("a@sha256:12", "invalid reference format"),
    ("a//b", "invalid reference format"),
    ("/a", "invalid reference format"),
    ("a/", "invalid reference format"),
    ("a___b", "invalid reference format"),
    ("a..b", "invalid reference format"),
    ("-a", "invalid reference format"),
    ("a-", "invalid reference format"),
    ("../a", "invalid reference format"),
    ("a/../b", "invalid reference format"),
    ("a\n", "invalid reference format"),
    ("é", "invalid reference format"),
    ("a:" + "t" * 129, "invalid reference format"),
    ("a:é", "invalid reference format"),
    ("١", "invalid reference format"),
    ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
    ("a/B:c", "invalid reference format: repository name (a/B) must be lowercase"),
    ("f" * 64, f"invalid repository name ({'f' * 64}), cannot specify 64-byte hexadecimal strings"),
    ("x" * 300, "repository name must not be more than 255 characters"),
    (f"a@md5:{'0' * 32}", "unsupported digest algorithm"),
    (f"a@sha256:{'0' * 63}", "invalid checksum digest length"),
    (f"a@sha256:{'A' * 64}", "invalid checksum digest format"),
]


@pytest.mark.parametrize(("text", "canonical", "familiar"), GOOD)
def test_good_names(text: str, canonical: str, familiar: str) -> None:
    name = reference.parse(text)
    assert name.canonical == canonical
    assert name.tagged().familiar == familiar
    assert reference.parse(name.canonical) == reference.parse(name.familiar) == name


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_names(text: str, message: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        reference.parse(text)
    assert str(caught.value) == message
    assert caught.value.status == 400


@given(st.text(alphabet="aB0._-/:@[]é ", max_size=20) | st.text(max_size=20))
def test_what_parses_parses_again_to_the_same(text: str) -> None:
    try:
        name = reference.parse(text)
    except InvalidReference:
        return
    assert reference.parse(name.canonical) == name
    assert reference.parse(name.familiar) == name
    assert ".." not in name.name.split("/") and not name.name.startswith("/")


@pytest.mark.parametrize("tag", ["", "a b", "-a", ".a", "t" * 129, "a/b", "é"])
def test_bad_tags(tag: str) -> None:
    with pytest.raises(InvalidReference, match="invalid tag format"):
        reference.parse("a").with_tag(tag)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("abc", "abc"), ("sha256:abc", "abc"), ("f" * 64, "f" * 64), ("f" * 65, None), ("xyz", None), ("", None),
     ("ABC", None), ("sha256:", None), ("abc:1", None)],
)  # fmt: skip
def test_id_prefixes(text: str, prefix: str | None) -> None:
    assert reference.id_prefix(text) == prefix


def test_pinned() -> None:
    assert reference.parse("a:1").with_digest(D).familiar == f"a@{D}"
