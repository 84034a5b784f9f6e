"""Tables, sizes, times, ports, progress and help as Docker writes them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli import gotext
from sampan.cli.errors import CommandError
from sampan.cli.help import flag_usages
from sampan.cli.kinds import BOOL, LIST, STRING, string_default
from sampan.cli.output.containers import CONTAINERS, show_ports
from sampan.cli.output.images import IMAGES, rows
from sampan.cli.output.progress import show
from sampan.cli.output.tabwriter import align, text_width
from sampan.cli.parser import Flag
from sampan.cli.references import check, familiar, short_id, split
from sampan.cli.timestamps import timestamp

ALIGNED = [
    ("a\tb\nccc\td\n", "a         b\nccc       d\n"),
    ("a\tb\tc\nlong-long-long\td\te\n", "a                b         c\nlong-long-long   d         e\n"),
    ("a\tb\nno cells\nlonger-cell-here\tb\n", "a         b\nno cells\nlonger-cell-here   b\n"),
    ("日本語日本語\tb\nx\tc\n", "日本語日本語   b\nx              c\n"),
    ("\t\tx\n", "                    x\n"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), ALIGNED)
def test_columns(text, expected) -> None:
    assert align(text, 10, 3) == expected


@given(st.lists(st.lists(st.text(alphabet="abc é日"), min_size=2, max_size=4), max_size=6))
def test_columns_start_at_one_place(table) -> None:
    width = min(map(len, table), default=2)
    lines = align("\n".join("\t".join(row[:width]) for row in table), 5, 2).split("\n")
    starts = {text_width(line) - text_width(row[width - 1]) for line, row in zip(lines, table, strict=False)}
    assert len(starts) <= 1


SIZES = [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_982_000, "1.982MB"), (1e9, "1GB"), (123_456_789, "123.5MB")]


@pytest.mark.parametrize(("size", "text"), SIZES)
def test_human_sizes(size, text) -> None:
    assert gotext.human_size(size) == text


def test_other_sizes() -> None:
    assert gotext.human_size(1_982_000, 3) == "1.98MB"
    assert gotext.binary_size(25_273_000_000) == "23.54GiB"


SPANS = [
    (0.5, "Less than a second"),
    (1, "1 second"),
    (59, "59 seconds"),
    (60, "About a minute"),
    (120, "2 minutes"),
    (3599, "59 minutes"),
    (3600, "About an hour"),
    (2 * 3600, "2 hours"),
    (47 * 3600, "47 hours"),
    (48 * 3600, "2 days"),
    (13 * 86400, "13 days"),
    (14 * 86400, "2 weeks"),
    (59 * 86400, "8 weeks"),
    (60 * 86400, "2 months"),
    (729 * 86400, "24 months"),
    (730 * 86400, "2 years"),
]


@pytest.mark.parametrize(("seconds", "text"), SPANS)
def test_human_durations(seconds, text) -> None:
    assert gotext.human_duration(seconds) == text


QUOTED = [("a", '"a"'), ('"\\', '"\\"\\\\"'), ("\n\t\x01", '"\\n\\t\\x01"'), ("é", '"é"'), ("\u200b", '"\\u200b"')]


@pytest.mark.parametrize(("text", "expected"), [*QUOTED, ("\udcff", '"\\xff"')])
def test_quoting(text, expected) -> None:
    assert gotext.quote(text) == expected


ELLIPSES = [("short", 20, "short"), ("a" * 21, 20, "a" * 19 + "…"), ("日本語", 4, "日…"), ("日本語", 6, "日本語")]


@pytest.mark.parametrize(("text", "width", "expected"), ELLIPSES)
def test_ellipsis(text, width, expected) -> None:
    assert gotext.ellipsis(text, width) == expected


def _port(private, public=0, ip="", kind="tcp"):
    return {"PrivatePort": private, "PublicPort": public, "IP": ip, "Type": kind}


V4 = "0.0.0.0"
TWO_FAMILIES = [_port(number, number, address) for number in (90, 91, 93) for address in (V4, "::")]
PORTS = [
    ([], ""),
    ([_port(80)], "80/tcp"),
    ([_port(80), _port(81), _port(83)], "80-81/tcp, 83/tcp"),
    ([_port(80, 8080, "0.0.0.0"), _port(443)], "443/tcp, 0.0.0.0:8080->80/tcp"),
    ([_port(80, 80, "0.0.0.0"), _port(81, 81, "0.0.0.0")], "0.0.0.0:80-81->80-81/tcp"),
    ([_port(53, 5353, "::", "udp")], "[::]:5353->53/udp"),
    (
        [*TWO_FAMILIES, _port(7, kind="udp"), _port(80, 8080, "::1")],
        f"{V4}:90-91->90-91/tcp, [::]:90-91->90-91/tcp, 7/udp, {V4}:93->93/tcp, [::]:93->93/tcp, [::1]:8080->80/tcp",
    ),
]


@pytest.mark.parametrize(("ports", "text"), PORTS)
def test_ports(ports, text) -> None:
    assert show_ports(ports) == text


SUMMARY = {
    "Id": "0123456789abcdef" * 4,
    "Names": ["/other/alias", "/web"],
    "Image": "docker.io/library/busybox:1",
    "ImageID": "sha256:" + "a" * 64,
    "Command": "sh -c 'sleep 1000; echo \"done\"'",
    "Created": 0,
    "State": "running",
    "Status": "Up 3 seconds",
    "Labels": {"b": "2", "a.b-c": "1"},
    "Mounts": [{"Name": "", "Source": "/a/rather/long/path", "Driver": ""}, {"Name": "v", "Driver": "local"}],
    "NetworkSettings": {"Networks": {"none": {}}},
    "SizeRw": 12,
    "SizeRootFs": 2000000,
}
FIELDS = [
    ("{{.ID}} {{.Names}} {{.Image}}", "0123456789ab web busybox:1"),
    ("{{.Command}}", '"sh -c \'sleep 1000; …"'),
    ('{{.Labels}} {{.Label "b"}}', "a.b-c=1,b=2 2"),
    ("{{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}}", "/a/rather/long…,v 1 none 12B (virtual 2MB)"),
    ("{{.State}} {{.Status}}", "running Up 3 seconds"),
    (
        'table {{.Names}}\\t{{.Label "a.b-c"}}\\t{{upper .State}}',
        "NAMES     b c       STATE\nweb       1         RUNNING",
    ),
]


@pytest.mark.parametrize(("text", "expected"), FIELDS)
def test_container_fields(text, expected) -> None:
    assert CONTAINERS.formatted(text, [(SUMMARY, True)]) == expected + "\n"


def test_faulty_formats() -> None:
    with pytest.raises(CommandError, match=r"^template parsing error: template: :1:2: executing"):
        CONTAINERS.formatted("{{.Foo}}", [(SUMMARY, True)])
    with pytest.raises(CommandError, match=r"^failed to parse template: template: :1: unclosed action"):
        CONTAINERS.check("{{.Foo", ({"Id": "", "Names": []}, False))


def _image(tags, digests):
    return {"Id": "sha256:" + "b" * 64, "RepoTags": tags, "RepoDigests": digests, "Created": 0, "Size": 1000}


def _rows(image, **options):
    found = rows([image], trunc=True, **({"digests": False, "need_digest": False} | options))
    return [(row.repository, row.tag, row.digest) for row in found]


def test_image_rows() -> None:
    both = _image(["docker.io/library/a:1", "a:2"], ["a@sha256:c", "r.example:5000/b@sha256:d"])
    assert _rows(both) == [("a", "1", "<none>"), ("a", "2", "<none>"), ("r.example:5000/b", "<none>", "")]
    assert _rows(both, digests=True)[0] == ("a", "1", "sha256:c")
    assert _rows(both, digests=True)[2] == ("r.example:5000/b", "<none>", "sha256:d")
    assert _rows(_image([], [])) == [("<none>", "<none>", "<none>")]
    table = IMAGES.table(("Repository", "ID", "Size"), rows([both], trunc=True, digests=False, need_digest=False))
    assert table.splitlines()[1] == "a                  bbbbbbbbbbbb   1kB"


MESSAGES = [
    ([{"stream": "Loaded image: a:1\n"}], "Loaded image: a:1\n"),
    ([{"status": "Pulling", "id": "x"}, {"status": "D", "id": "x", "progressDetail": {"current": 1}}], "x: Pulling\n"),
    ([{"status": "done"}], "done\n"),
    ([{"status": "1: digest: x"}, {"progressDetail": {}, "aux": {"Tag": "1", "Digest": "x"}}], "1: digest: x\n"),
]


@pytest.mark.parametrize(("messages", "text"), MESSAGES)
def test_progress_without_a_terminal(messages, text) -> None:
    written = []
    show(messages, written.append, terminal=False)
    assert "".join(written) == text


def test_progress_on_a_terminal_and_errors() -> None:
    written = []
    bar = {"status": "Loading", "id": "x", "progressDetail": {"current": 50, "total": 100}}
    show([bar, bar], written.append, terminal=True)
    assert "".join(written).count("\n") == 1
    assert "x: Loading [=========================>" in written[-1]
    with pytest.raises(CommandError, match=r"^no space$"):
        show([{"errorDetail": {"message": "no space"}, "error": "no space"}], written.append, terminal=False)


REFERENCES = [
    ("busybox", "busybox:latest", ("docker.io/library/busybox", "latest")),
    ("a/b:1", "a/b:1", ("docker.io/a/b", "1")),
    ("localhost:5000/x", "localhost:5000/x:latest", ("localhost:5000/x", "latest")),
    ("docker.io/library/x:2", "x:2", ("docker.io/library/x", "2")),
    ("x@sha256:" + "a" * 64, "x@sha256:" + "a" * 64, ("docker.io/library/x", "sha256:" + "a" * 64)),
]


@pytest.mark.parametrize(("text", "shown", "parts"), REFERENCES)
def test_references(text, shown, parts) -> None:
    check(text)
    assert (familiar(text), split(text)) == (shown, parts)


LOWER = "repository name (library/Foo) must be lowercase"


@pytest.mark.parametrize("text", ["a@b", "", "a:b:c", "-a", "a//b", "a_.b", "Foo", "a:" + "x" * 129, "a b", "[::1]"])
def test_bad_references(text) -> None:
    with pytest.raises(ValueError, match=r"^invalid reference format" + (f": {LOWER[:15]}" if text == "Foo" else "$")):
        check(text)


def test_ids() -> None:
    check("a" * 64)
    assert short_id("sha256:" + "0123456789abcdef" * 4) == "0123456789ab"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("0", "0"),
        ("1700000000", "1700000000"),
        ("1700000000.5", "1700000000.5"),
        ("2024-01-02T03:04:05Z", "1704164645.000000000"),
        ("2024-01-02T03:04:05.25+01:00", "1704161045.250000000"),
        ("2024-01-02Z", "1704153600.000000000"),
    ],
)
def test_timestamps(text, expected) -> None:
    assert timestamp(text) == expected


@pytest.mark.parametrize("text", ["foo", "2024-99", "1.2.3"])
def test_bad_timestamps(text) -> None:
    with pytest.raises(ValueError, match=r"parsing time|failed to parse value as time or duration"):
        timestamp(text)


TIMES = [
    ("2026-11-24T11:13:33.86164848Z", "2026-11-24 11:13:33.86164848 +0000 UTC"),
    ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"),
    ("2026-11-24T11:13:33.5+08:00", "2026-11-24 11:13:33.5 +0800 CST"),
    ("2026-11-24T11:13:33+05:30", "2026-11-24 11:13:33 +0530 +0530"),
]


@pytest.mark.parametrize(("text", "expected"), TIMES)
def test_times(monkeypatch, text, expected) -> None:
    monkeypatch.setenv("TZ", "CST-8")
    time.tzset()
    try:
        assert gotext.go_time(text) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


NATURAL = [
    ["a", "a-", "a1", "a01", "a2", "a10", "aB", "a_", "ab", "b"],
    ["1", "01", "2", "10", "x"],
    ["é1", "é2", "é10"],
]


@pytest.mark.parametrize("names", NATURAL)
def test_numbers_are_sorted_by_value(names) -> None:
    shuffled = names[::-1]
    shuffled.sort(key=gotext.natural)
    assert shuffled == names


def test_natural_order() -> None:
    assert sorted(["80/tcp -> a", "9/tcp -> a"], key=gotext.natural) == ["9/tcp -> a", "80/tcp -> a"]


def test_flag_usages_wrap_and_sort() -> None:
    flags = [
        Flag("zeta", string_default("all"), "Short"),
        Flag("env", LIST, "Set environment variables", "e"),
        Flag("hidden", BOOL, "", hidden=True),
        Flag("alpha", STRING, "Show logs since timestamp or relative, which is a long text that does not fit"),
    ]
    assert flag_usages(flags, 59) == (
        "      --alpha string   Show logs since timestamp or\n"
        "                       relative, which is a long text\n"
        "                       that does not fit\n"
        "  -e, --env list       Set environment variables\n"
        '      --zeta string    Short (default "all")\n'
    )
