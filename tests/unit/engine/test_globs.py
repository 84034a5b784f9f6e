"""Go's path.Match, by the table of Go's own tests (path/match_test.go) as far as the language has it."""

import pytest

from sampan.engine.errors import Internal
from sampan.engine.globs import compiled

MATCHES = [
    ("abc", "abc", True), ("*", "abc", True), ("*c", "abc", True), ("a*", "a", True), ("a*", "abc", True),
    ("a*", "ab/c", False), ("a*/b", "abc/b", True), ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True), ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("ab[c]", "abc", True), ("ab[b-d]", "abc", True), ("ab[e-g]", "abc", False), ("ab[^c]", "abc", False),
    ("ab[^e-g]", "abc", True), ("a\\*b", "a*b", True), ("a\\*b", "ab", False), ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True), ("a???b", "a☺b", False), ("a?b", "a/b", False), ("a*b", "a/b", False),
    ("[\\]a]", "]", True), ("[\\-]", "-", True), ("[x\\-]", "-", True), ("[x\\-]", "z", False), ("*x", "xxx", True),
    ("[z-a]", "b", False), ("", "", True), ("a.c", "abc", False), ("[a-b-]", None, None), ("[]a]", None, None),
    ("[-]", None, None), ("[x-]", None, None), ("[-x]", None, None), ("[a-", None, None), ("[", None, None),
    ("[^", None, None), ("[^bc", None, None), ("a[", None, None), ("\\", None, None), ("a\\", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "expected"), MATCHES)
def test_matches(pattern: str, text: str | None, expected: bool | None) -> None:
    if text is None:
        with pytest.raises(Internal, match=r"^syntax error in pattern$"):
            compiled(pattern)
    else:
        assert bool(compiled(pattern).fullmatch(text)) is expected
