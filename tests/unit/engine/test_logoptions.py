"""Options of log drivers: what is refused, when, and dockerd 26.1's words for it."""

import re

import pytest

from sampan.engine import logoptions
from sampan.engine.errors import BadParameter, Internal

LIMITS = [
    ({}, (10_000_000, 3)),
    ({"max-size": "10m"}, (10_000_000, 3)),
    ({"max-size": "1k", "max-file": "1", "compress": "false"}, (1000, 1)),
    ({"max-size": "-1"}, (-1, 3)),
]


@pytest.mark.parametrize(("options", "wanted"), LIMITS)
def test_limits(options: dict[str, str], wanted: tuple[int, int]) -> None:
    assert logoptions.limits(options) == wanted


AT_CREATE = [
    ({"mode": "bogus"}, "logger: logging mode not supported: bogus"),
    ({"max-buffer-size": "4m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
    ({"mode": "non-blocking", "max-buffer-size": "x"}, "error parsing option max-buffer-size: invalid size: 'x'"),
    ({"bogus": "1"}, "unknown log opt 'bogus' for json-file log driver"),
    ({"compress": "true"}, "the log opt 'compress' is not there yet: rotated logs stay as they are"),
    ({"tag": "{{.ID}}"}, "templates in the log opt 'tag' are not there yet: give the tag itself"),
]


@pytest.mark.parametrize(("options", "text"), AT_CREATE)
def test_refused_at_create(options: dict[str, str], text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        logoptions.check("json-file", options)
    assert str(caught.value) == text


AT_START = [
    ({"max-size": "bad"}, "invalid size: 'bad'"),
    ({"max-size": "0"}, "max-size must be a positive number"),
    ({"max-file": "0"}, "max-file cannot be less than 1"),
    ({"max-file": "-1"}, "max-file cannot be less than 1"),
    ({"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
    ({"compress": "x"}, 'strconv.ParseBool: parsing "x": invalid syntax'),
    ({"env-regex": "["}, "error parsing regexp: unterminated character set at position 0: `[`"),
]


@pytest.mark.parametrize(("options", "text"), AT_START)
def test_refused_at_start(options: dict[str, str], text: str) -> None:
    logoptions.check("json-file", options)
    with pytest.raises(Internal) as caught:
        logoptions.limits(options)
    assert str(caught.value) == f"failed to create task for container: failed to initialize logging driver: {text}"


@pytest.mark.parametrize(("options", "text"), AT_CREATE + AT_START)
def test_the_daemons_own_are_checked_at_once(options: dict[str, str], text: str) -> None:
    with pytest.raises(BadParameter, match=re.escape(text)):
        logoptions.check_all("json-file", options)
