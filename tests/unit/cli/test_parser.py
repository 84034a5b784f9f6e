"""pflag's syntax, as tables of arguments and what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL, BOOL_TRUE, FILTER, INT, LIST, STRING
from sampan.cli.parser import Command, Flag, FlagError, HelpAsked, parse, read_arguments

FLAGS = (
    Flag("interactive", BOOL, "", "i"),
    Flag("tty", BOOL, "", "t"),
    Flag("detach", BOOL, "", "d"),
    Flag("sig-proxy", BOOL_TRUE, ""),
    Flag("env", LIST, "", "e"),
    Flag("name", STRING, ""),
    Flag("last", INT, "", "n"),
    Flag("filter", FILTER, "", "f"),
    Flag("net", STRING, "", target="network", hidden=True),
    Flag("network", STRING, ""),
    Flag("time", INT, "", deprecated="use --timeout instead", target="timeout"),
    Flag("timeout", INT, ""),
)

READ = [
    (["-itd"], {"interactive": True, "tty": True, "detach": True}, []),
    (["--tty=false"], {"tty": False}, []),
    (["-t=false"], {"tty": False}, []),
    (["-t=1", "x"], {"tty": True}, ["x"]),
    (["-e=A=1"], {"env": ["A=1"]}, []),
    (["-eA=1", "-e", "B", "--env", "C", "--env=D="], {"env": ["A=1", "B", "C", "D="]}, []),
    (["-ite", "A"], {"interactive": True, "tty": True, "env": ["A"]}, []),
    (["-iteA"], {"env": ["A"]}, []),
    (["-e", "-x"], {"env": ["-x"]}, []),
    (["--name", "--", "x"], {"name": "--"}, ["x"]),
    (["--name="], {"name": ""}, []),
    (["--sig-proxy=F"], {"sig-proxy": False}, []),
    ([], {"sig-proxy": True, "env": None, "name": ""}, []),
    (["-n", "0x10"], {"last": 16}, []),
    (["-n", "010"], {"last": 8}, []),
    (["-n", "-5"], {"last": -5}, []),
    (["-f", "a=b", "-f", "A = c", "-f", "d=e=f"], {"filter": {"a": ["b", "c"], "d": ["e=f"]}}, []),
    (["--net", "host"], {"network": "host"}, []),
    (["--", "-t"], {"tty": False}, ["-t"]),
    (["a", "--", "-t"], {"tty": False}, ["a", "-t"]),
    (["a", "-t", "b"], {"tty": True}, ["a", "b"]),
    (["-", "-t"], {"tty": True}, ["-"]),
    (["", "-t"], {"tty": True}, [""]),
]


@pytest.mark.parametrize(("argv", "values", "rest"), READ)
def test_reads(argv, values, rest) -> None:
    arguments = parse(FLAGS, argv)
    assert {name: arguments[name] for name in values} == values
    assert arguments.rest == rest


def test_stops_at_the_first_argument_where_the_rest_is_a_container_s() -> None:
    arguments = parse(FLAGS, ["-t", "busybox", "ls", "-i", "--", "x"], interspersed=False)
    assert arguments.rest == ["busybox", "ls", "-i", "--", "x"]
    assert arguments["interactive"] is False
    assert parse(FLAGS, ["-t", "--", "-x", "y"], interspersed=False).rest == ["-x", "y"]


FAULTS = [
    (["--foo"], "unknown flag: --foo"),
    (["--foo=1"], "unknown flag: --foo"),
    (["-z"], "unknown shorthand flag: 'z' in -z"),
    (["-itz"], "unknown shorthand flag: 'z' in -z"),
    (["-zit"], "unknown shorthand flag: 'z' in -zit"),
    (["-e"], "flag needs an argument: 'e' in -e"),
    (["-ite"], "flag needs an argument: 'e' in -e"),
    (["--name"], "flag needs an argument: --name"),
    (["--=x"], "bad flag syntax: --=x"),
    (["---x"], "bad flag syntax: ---x"),
    (["--tty=x"], 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'),
    (["-n", "x"], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    (["-n=1_"], 'invalid argument "1_" for "-n, --last" flag: strconv.ParseInt: parsing "1_": invalid syntax'),
    (["-n", "9223372036854775808"], "value out of range"),
    (["-f", "x"], 'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'),
]


@pytest.mark.parametrize(("argv", "text"), FAULTS)
def test_faults(argv, text) -> None:
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, argv)
    assert str(caught.value).endswith(text)


def test_deprecated_spellings_are_told() -> None:
    notes = []
    assert parse(FLAGS, ["--time", "3"], note=notes.append)["timeout"] == 3
    assert notes == ["Flag --time has been deprecated, use --timeout instead"]


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_arguments_are_read_or_refused(argv) -> None:
    try:
        rest = parse(FLAGS, argv).rest
    except FlagError:
        rest = []
    assert all(word in argv for word in rest)


@given(st.text(min_size=1).filter(lambda text: "=" not in text[:1]))
def test_a_value_arrives_unharmed_in_every_spelling(value) -> None:
    for argv in (["--name", value], [f"--name={value}"], ["-e", value], [f"-e={value}"]):
        arguments = parse(FLAGS, argv)
        assert value in (arguments["name"], *(arguments["env"] or ()))


def _command(minimum, maximum):
    command = Command("run [OPTIONS] X", "", lambda _s, _a: 0, FLAGS, minimum=minimum, maximum=maximum)
    command.path = "run"
    return command


COUNTS = [
    (1, None, [], "sampan: 'sampan run' requires at least 1 argument\n\nUsage:  sampan run [OPTIONS] X\n\nSee"),
    (2, None, ["a"], "requires at least 2 arguments"),
    (0, 0, ["a"], "accepts no arguments\n\nUsage:  sampan run [OPTIONS] X\n\nRun 'sampan run --help'"),
    (2, 2, ["a"], "requires 2 arguments"),
    (1, 2, [], "requires at least 1 and at most 2 arguments"),
]


@pytest.mark.parametrize(("minimum", "maximum", "argv", "text"), COUNTS)
def test_number_of_arguments(minimum, maximum, argv, text) -> None:
    with pytest.raises(CommandError) as caught:
        read_arguments(_command(minimum, maximum), argv)
    assert text in str(caught.value)
    assert caught.value.code == 1


def test_a_flag_fault_has_usage_hint_and_code_125() -> None:
    with pytest.raises(CommandError) as caught:
        read_arguments(_command(1, None), ["--foo"])
    expected = "unknown flag: --foo\n\nUsage:  sampan run [OPTIONS] X\n\nRun 'sampan run --help' for more information"
    assert (str(caught.value), caught.value.code) == (expected, 125)


def test_help_goes_before_the_number_of_arguments() -> None:
    with pytest.raises(HelpAsked):
        read_arguments(_command(1, None), ["--help"])
    notes = []
    with pytest.raises(HelpAsked):
        read_arguments(_command(1, None), ["-h"], notes.append)
    assert notes == ["Flag shorthand -h has been deprecated, use --help"]
