"""The JSON of `create` against what docker 28 sent for the same flags (tests/peer/cli/create_bodies.json)."""

import json
import os
from pathlib import Path

import pytest

from sampan.cli.container_body import container_body
from sampan.cli.container_flags import CONTAINER_FLAGS
from sampan.cli.kinds import STRING
from sampan.cli.parser import Flag, parse

RECORDED = json.loads((Path(__file__).parents[2] / "peer" / "cli" / "create_bodies.json").read_text())
FLAGS = (*CONTAINER_FLAGS, Flag("pull", STRING, ""))
UNORDERED = ("Env", "Binds")  # Docker's client keeps these in maps, and sends them in any order


def _body(*argv):
    return container_body(parse(FLAGS, argv, interspersed=False), os.environ, (0, 0))


def _sorted(body):
    for part in (body, body["HostConfig"]):
        for name in UNORDERED:
            if part.get(name):
                part[name] = sorted(part[name])
    return body


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: " ".join(case["argv"]))
def test_body_is_docker_s(case, monkeypatch) -> None:
    monkeypatch.setenv("SAMPAN_TEST_SET", "yes")
    monkeypatch.delenv("SAMPAN_TEST_UNSET", raising=False)
    monkeypatch.chdir("/usr")  # where the recorded client ran: relative sources depend on it
    expected = json.loads(json.dumps(RECORDED["base"]))
    for name, value in case["changes"].items():
        part, _, key = name.rpartition(".")
        (expected["HostConfig"] if part else expected)[key] = value
    assert _sorted(json.loads(json.dumps(_body(*case["argv"])))) == _sorted(expected)


BOTH = "conflicting options: cannot specify both --{} and {}"
MIXED = "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
FAULTS = [
    (["--rm", "--restart", "always"], "conflicting options: cannot specify both --restart and --rm"),
    (["--network-alias", "a"], "network-scoped aliases are only supported for user-defined networks"),
    (["-v", ":"], None),
    (["-v", "/a:/b:cc:d"], "invalid spec: /a:/b:cc:d: too many colons"),
    (["-v", "/a::ro"], "invalid spec: /a::ro: empty section between colons"),
    (["--expose", "1:2"], "invalid port format for --expose: 1:2"),
    (["--env-file", "/nonexistent"], "open /nonexistent: no such file or directory"),
    (["--memory-swappiness", "101"], "invalid value: 101. Valid memory swappiness range is 0-100"),
    (["--pid", "foo"], "--pid: invalid PID mode"),
    (["--uts", "foo"], "--uts: invalid UTS mode"),
    (["--log-driver", "none", "--log-opt", "a=b"], "invalid logging opts for driver none"),
    (["--security-opt", "foo"], 'Invalid --security-opt: "foo"'),
    (["--device", "/dev/null:/x:zz"], "bad mode specified: zz"),
    (["--device", "null"], "null is not an absolute path"),
    (["--mac-address", "foo"], "foo is not a valid mac address"),
    (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
    (["--health-retries", "-1"], "--health-retries cannot be negative"),
    (["--network", "a", "--network", "a"], 'network "a" is specified multiple times'),
    (["--network", ""], "no name set for network"),
    (["--network", "a", "--network", "bridge"], MIXED),
    (["--network", "name=a,alias=x", "--network-alias", "y"], BOTH.format("network-alias", "per-network alias")),
    (["--network", "name=a,ip=1.2.3.4", "--ip", "1.2.3.5"], BOTH.format("ip", "per-network IPv4 address")),
    (["--network", "name=a,mac-address=foo"], "foo is not a valid mac address"),
    (["--network", "name=bridge,alias=x"], "network-scoped aliases are only supported for user-defined networks"),
    (["--mac-address", "0:0:5e:0:53:1"], "0:0:5e:0:53:1 is not a valid mac address"),
    (["--mac-address", "02-00:00:00:00:01"], "02-00:00:00:00:01 is not a valid mac address"),
    (["-p", "foo"], "invalid containerPort: foo"),
    (["-p", "foo:80"], "invalid hostPort: foo"),
    (["-p", "80/foo"], "invalid proto: foo"),
    (["-p", ""], "no port specified: <empty>"),
    (["-p", "8080:"], "no port specified: 8080:<empty>"),
    (["-p", "8080-8081:80-82"], "invalid ranges specified for container and host Ports: 80-82 and 8080-8081"),
    (["-p", "localhost:80:80"], "invalid IP address: localhost"),
    (["-p", "fe80::1%eth0:80:80"], "invalid IP address: fe80::1%eth0"),
    (["-p", "99999:80"], "invalid hostPort: 99999"),
    (["-p", "target=80,published"], "invalid publish opts format (should be name=value but got 'published')"),
    (["--expose", "82-80"], "invalid range format for --expose: 82-80, error: invalid range specified for port: 82-80"),
    (["--expose", ""], "invalid range format for --expose: , error: empty string specified for ports"),
    (["--restart", ":1"], "invalid restart policy format: no policy provided before colon"),
    (["--storage-opt", "x"], "invalid storage option"),
]


@pytest.mark.parametrize(("argv", "text"), FAULTS)
def test_faults_are_docker_s(argv, text) -> None:
    if text is None:
        assert _body(*argv, "x")["Volumes"] == {":": {}}
        return
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        _body(*argv, "x")
    assert str(caught.value) == text


def test_pair_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SAMPAN_TEST_SET", "yes")
    monkeypatch.delenv("SAMPAN_TEST_UNSET", raising=False)
    path = tmp_path / "env"
    path.write_bytes(b"\xef\xbb\xbf# comment\r\n\r\n  A=1 \r\nB=\nSAMPAN_TEST_SET\nSAMPAN_TEST_UNSET\n")
    assert _body("--env-file", str(path), "-e", "C=3", "x")["Env"] == ["A=1 ", "B=", "SAMPAN_TEST_SET=yes", "C=3"]
    assert _body("--label-file", str(path), "x")["Labels"] == {"A": "1 ", "B": ""}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"=x\n", "no variable name on line '=x'"),
        (b"a b=c\n", "variable 'a b' contains whitespaces"),
        (b"\xff\n", "invalid utf8 bytes at line 1: [255]"),
    ],
)
def test_bad_pair_files(tmp_path, content, fault) -> None:
    path = tmp_path / "env"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        _body("--env-file", str(path), "x")
    assert str(caught.value) == f"invalid env file ({path}): {fault}"


def test_seccomp_profile_is_sent_by_content(tmp_path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }\n')
    config = _body("--security-opt", f"seccomp={path}", "x")["HostConfig"]
    assert config["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
