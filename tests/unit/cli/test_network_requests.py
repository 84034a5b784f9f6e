"""What the network commands send against what docker 28 sent (tests/peer/cli/network_requests.json), and the faults."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from sampan.cli import main
from sampan.cli.csvtext import split_csv
from sampan.cli.network_pools import pools
from support.recorder import API_VERSION, Recorder

RECORDED = json.loads((Path(__file__).parents[2] / "peer" / "cli" / "network_requests.json").read_text())


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("recorder")
    recorder = Recorder(str(directory / "d.sock"))
    recorder.environ = {"HOME": str(directory), "DOCKER_HOST": f"unix://{directory}/d.sock"}
    return recorder


@pytest.fixture(autouse=True)
def _version(monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", API_VERSION)


def _sent(recorder, argv):
    recorder.requests.clear()
    code = main.run(argv, recorder.environ)
    requests = [
        [method, unquote(target), _sorted(json.loads(body or "null"))]
        for method, target, body in recorder.requests
        if "_ping" not in target
    ]
    return code, requests


def _sorted(body):
    """Docker's client keeps subnets in a map, and sends them in any order."""
    if body and "IPAM" in body:
        body["IPAM"]["Config"].sort(key=lambda pool: pool["Subnet"])
    return body


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: " ".join(case["argv"]))
def test_requests_are_docker_s(recorder, case) -> None:
    expected = [[method, unquote(target), _sorted(body)] for method, target, body in case["requests"]]
    assert _sent(recorder, case["argv"]) == (0, expected)


FAULTS = [
    ("create --subnet x --subnet y n", "invalid subnet: invalid CIDR address: y"),
    ("create --subnet x --gateway 10.1.1.1 n", "invalid subnet: invalid CIDR address: x"),
    ("create --subnet 10.77.0.0/33 --gateway 10.77.0.1 n", "invalid subnet: invalid CIDR address: 10.77.0.0/33"),
    ("create --subnet 010.7.0.0/16 --gateway 10.7.0.1 n", "invalid subnet: invalid CIDR address: 010.7.0.0/16"),
    ("create --gateway 10.1.1.1 n", "every ip-range or gateway must have a corresponding subnet"),
    ("create --subnet 10.0.0.0/8 --subnet 10.1.0.0/16 n", "multiple overlapping subnet configuration is not supported"),
    ("create --subnet 10.0.0.0/8 --gateway 11.0.0.1 n", "no matching subnet for gateway 11.0.0.1"),
    ("create --subnet 10.0.0.0/8 --gateway foo n", "no matching subnet for gateway foo"),
    ("create --subnet 10.0.0.0/8 --gateway 10.0.0.1/x n", "invalid CIDR address: 10.0.0.1/x"),
    ("create --subnet 10.0.0.0/8 --ip-range 11.0.0.0/24 n", "no matching subnet for range 11.0.0.0/24"),
    ("create --subnet 10.0.0.0/8 --ip-range 10.0.0.1 n", "invalid CIDR address: 10.0.0.1"),
    ("create --subnet 10.0.0.0/8 --aux-address a=11.0.0.1 n", "no matching subnet for aux-address 11.0.0.1"),
    ("create --aux-address a n", "no matching subnet for aux-address "),
    (
        "create --subnet 10.0.0.0/16,11.0.0.0/16 --ip-range 10.0.0.0/24 --ip-range 10.0.1.0/24 n",
        "cannot configure multiple ranges (10.0.1.0/24, 10.0.0.0/24) on the same subnet (10.0.0.0/16)",
    ),
    (
        "create --subnet 10.0.0.0/16,11.0.0.0/16 --gateway 10.0.0.1,10.0.0.2 n",
        "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/16)",
    ),
    ("connect --driver-opt a n c", "invalid key/value pair format in driver options"),
    ("connect --driver-opt =a n c", "invalid key/value pair format in driver options"),
    ("connect n ", "invalid container name or ID: value is empty"),
    ("disconnect  c", "invalid network name or ID: value is empty"),
    ("inspect ", "invalid network name or ID: value is empty"),
]


@pytest.mark.parametrize(("line", "text"), FAULTS)
def test_faults_are_docker_s_and_nothing_is_sent(recorder, capfd, line, text) -> None:
    assert _sent(recorder, ["network", *line.split(" ")]) == (1, [])
    assert capfd.readouterr().err == f"{text}\n"


def test_an_old_daemon_drops_no_mac_address(recorder, capfd, monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.43")
    assert _sent(recorder, ["create", "--mac-address", "02:00:00:00:00:01", "busybox"]) == (1, [])
    assert _sent(recorder, ["network", "create", "n"])[1][0][2]["CheckDuplicate"] is True
    needs = "requires API version 1.44, but the Docker daemon API version is 1.43"
    assert capfd.readouterr().err == f'"specify mac-address per network" {needs}\n'


POOLS = [
    # IPv4 written as IPv6 is in an IPv4 subnet: the daemon says what is wrong with it
    ((["10.88.0.0/16"], ["::ffff:10.88.1.0/120"], [], {}), {"IPRange": "::ffff:10.88.1.0/120"}),
    ((["10.88.0.0/16"], [], ["::ffff:10.88.1.0"], {}), {"Gateway": "::ffff:10.88.1.0"}),
    ((["::ffff:10.88.0.0/112"], [], ["10.88.1.0"], {}), {"Gateway": "10.88.1.0"}),
    # a host part in the subnet, and a length on the gateway, too
    ((["10.88.0.1/16"], [], ["10.88.0.1/16"], {}), {"Gateway": "10.88.0.1/16"}),
    ((["fd00::/64"], [], [], {"a": "fd00::5", "b": ""}), "no matching subnet for aux-address "),
    ((["fd00::/64"], [], ["fe80::1%eth0"], {}), "no matching subnet for gateway fe80::1%eth0"),
]


@pytest.mark.parametrize(("given", "expected"), POOLS)
def test_pools(given, expected) -> None:
    if isinstance(expected, str):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
            pools(*given)
        assert str(caught.value) == expected
    else:
        assert pools(*given) == [{"Subnet": given[0][0]} | expected]


RECORDS = [
    ("", []),
    ("a", ["a"]),
    ("a,b,", ["a", "b", ""]),
    (",", ["", ""]),
    ('a,"b,c",d', ["a", "b,c", "d"]),
    ('"a""b"', ['a"b']),
    ('"",', ["", ""]),
]
BAD_RECORDS = [
    ('a"b', 'parse error on line 1, column 2: bare " in non-quoted-field'),
    ('x,a"', 'parse error on line 1, column 4: bare " in non-quoted-field'),
    ('"a', 'parse error on line 1, column 3: extraneous or missing " in quoted-field'),
    ('"a"b', 'parse error on line 1, column 3: extraneous or missing " in quoted-field'),
    ('name=a,"b', 'parse error on line 1, column 10: extraneous or missing " in quoted-field'),
]


@pytest.mark.parametrize(("text", "fields"), RECORDS)
def test_records(text, fields) -> None:
    assert split_csv(text) == fields


@pytest.mark.parametrize(("text", "fault"), BAD_RECORDS)
def test_bad_records(text, fault) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        split_csv(text)
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("answer", "removes"), [(b"y\n", True), (b" Y ", True), (b"yes\n", False), (b"\ny\n", False), (b"", False)]
)
def test_prune_asks(recorder, capfd, monkeypatch, answer, removes) -> None:
    left = [bytes([octet]) for octet in answer]
    monkeypatch.setattr("os.read", lambda _descriptor, _size: left.pop(0) if left else b"")
    code, requests = _sent(recorder, ["network", "prune"])
    question = "all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] "
    out = capfd.readouterr().out.removeprefix(f"WARNING! This will remove {question}")
    assert (code, bool(requests), out) == (0, removes, "Deleted Networks:\none\ntwo\n\n" if removes else "")
