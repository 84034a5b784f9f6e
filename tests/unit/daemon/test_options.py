"""sampand's command line, daemon.json, locks."""

import json
from pathlib import Path

import pytest

from sampan.daemon import flags, locks, main, options, values, withouteffect
from sampan.daemon.flags import UsageError
from sampan.daemon.options import Places

LINES = [
    ([], {}),
    (["-D"], {"debug": True}),
    (["--debug=false"], {"debug": False}),
    (["-D=false"], {"debug": False}),
    (["-H", "unix:///a", "--host=tcp://b:1", "-Hunix:///c"], {"host": ["unix:///a", "tcp://b:1", "unix:///c"]}),
    (["-Dlinfo"], {"debug": True, "log-level": "info"}),
    (["--log-opt", "max-size=1m", "--log-opt=max-file=2"], {"log-opt": {"max-size": "1m", "max-file": "2"}}),
    (["--data-root", "/x", "-p/y"], {"data-root": "/x", "pidfile": "/y"}),
    (["--tls=false", "--"], {"tls": False}),
]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_a_command_line(line: list[str], wanted: dict[str, object]) -> None:
    assert flags.parse(line) == wanted


BAD_LINES = [
    (["--nono"], "unknown flag: --nono"),
    (["-x"], "unknown shorthand flag: 'x' in -x"),
    (["--data-root"], "flag needs an argument: --data-root"),
    (["--debug=maybe"], 'invalid argument "maybe" for "--debug" flag'),
    (["--log-opt", "x"], "must be name=value"),
    (["--mtu", "x"], 'invalid argument "x" for "--mtu" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    (["--dns", "8.8.8."], 'invalid argument "8.8.8." for "--dns" flag: invalid string being converted to IP address'),
    (["--default-ulimit", "x"], 'invalid argument "x" for "--default-ulimit" flag: invalid ulimit argument: x'),
    (["--default-ulimit", "a=1:2:3"], "too many limit value arguments - 1:2:3"),
    (["--default-address-pool", "x"], "flag: invalid field 'x' must be a key=value pair"),
    (["--default-address-pool", "base=10.0.0.0/8,size=x"], "invalid size value: x (must be integer)"),
    (["--default-shm-size", "x"], "flag: invalid size: 'x'"),
    (["--mirrors", "x"], "unknown flag: --mirrors"),
    (["word"], '"sampand" accepts no arguments: word'),
    (["--", "word"], '"sampand" accepts no arguments: word'),
]


@pytest.mark.parametrize(("line", "text"), BAD_LINES)
def test_a_bad_command_line(line: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        flags.parse(line)
    assert text in str(caught.value)


def test_the_help_names_every_flag() -> None:
    assert all(f"--{flag.name}" in flags.usage() for flag in flags.FLAGS)


PLACES = Places(Path("/var/lib/sampan"), Path("/run/sampan"), Path("/nowhere/daemon.json"))


def test_defaults() -> None:
    found = options.decide({}, PLACES)
    assert found.hosts == ("unix:///run/sampan/sampan.sock",)
    assert found.pidfile == Path("/run/sampan/sampand.pid")
    assert (found.log_driver, found.log_level, found.allow_plain_tcp) == ("json-file", "INFO", False)


def test_a_user_without_privileges_has_places_of_their_own() -> None:
    found = options.default_places(1000, {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/1000"})
    assert found == Places(
        Path("/home/u/.local/share/sampan"),
        Path("/run/user/1000/sampan"),
        Path("/home/u/.config/sampan/daemon.json"),
    )


def decide(tmp_path: Path, document: object, given: dict[str, flags.Value] | None = None) -> options.Options:
    path = tmp_path / "daemon.json"
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return options.decide({"config-file": str(path), **(given or {})}, PLACES)


def test_the_file_is_read(tmp_path: Path) -> None:
    document = {"hosts": ["unix:///a"], "debug": True, "log-opts": {"max-size": "1m"}, "data-root": "/x", "tls": False}
    found = decide(tmp_path, document)
    assert (found.hosts, found.debug, found.log_level) == (("unix:///a",), True, "DEBUG")
    assert (found.log_opts, found.data_root, found.allow_plain_tcp) == ({"max-size": "1m"}, Path("/x"), True)


BAD_FILES = [
    ({"nono": 1, "also": 2}, "the following directives don't match any configuration option: also, nono"),
    ({"Debug": True}, "the following directives don't match any configuration option: Debug"),
    ({"debug": "yes"}, "json: cannot unmarshal string into Go struct field Config.debug of type bool"),
    ({"hosts": "unix:///a"}, "json: cannot unmarshal string into Go struct field Config.hosts of type []string"),
    (
        {"log-opts": {"max-file": 3}},
        "json: cannot unmarshal number into Go struct field Config.log-opts of type string",
    ),
    ({"labels": [1]}, "json: cannot unmarshal number into Go struct field Config.labels of type string"),
    ({"labels": ["a"]}, "bad attribute format: a"),
    ({"labels": ["a=1", "a=2"]}, "conflict labels for a=2 and a=1"),
    ({"labels": ["com.docker.x=1"]}, "label com.docker.x=1 is not allowed: the namespaces com.docker.*"),
    ({"dns": ["x"]}, "dns: invalid IP address: x"),
    ({"dns": "1.1.1.1"}, "json: cannot unmarshal string into Go struct field Config.dns of type []net.IP"),
    ({"dns-search": ["a b"]}, "a b is not a valid domain"),
    ({"dns-opts": ["ndots:1\nnameserver 6.6.6.6"]}, "invalid dns-opts"),
    ({"bip": "x"}, "bip: invalid CIDR address: x"),
    ({"bip": "10.0.0.0/8"}, "bip: 10.0.0.0/8 is no address of a bridge"),
    ({"mtu": "x"}, "json: cannot unmarshal string into Go struct field Config.mtu of type int"),
    ({"mtu": 1.5}, "json: cannot unmarshal number 1.5 into Go struct field Config.mtu of type int"),
    ({"mtu": True}, "json: cannot unmarshal bool into Go struct field Config.mtu of type int"),
    ({"mtu": -1}, "invalid default MTU: -1"),
    ({"max-concurrent-downloads": -1}, "invalid max concurrent downloads: -1"),
    ({"max-concurrent-uploads": -1}, "invalid max concurrent uploads: -1"),
    ({"max-download-attempts": -1}, "invalid max download attempts: -1"),
    ({"default-ulimits": {"nofile": "1:2"}}, "Go struct field Config.default-ulimits of type units.Ulimit"),
    ({"default-ulimits": {"nofile": {"Soft": 1 << 63}}}, "Go struct field Config.default-ulimits.Soft of type int64"),
    ({"default-ulimits": ["nofile=1"]}, "Go struct field Config.default-ulimits of type map[string]*units.Ulimit"),
    ({"default-address-pools": "x"}, "Config.default-address-pools of type []*ipamutils.NetworkToSplit"),
    ({"default-shm-size": 64}, 'default-shm-size: invalid size: "64"'),
    ({"default-shm-size": "x"}, "default-shm-size: invalid size: 'x'"),
    ({"ip": "x"}, "ip: invalid IP address: x"),
    ({"ip": "::1"}, "ip: ::1 is no IPv4 address"),
    ({"default-ipc-mode": "x"}, 'default IPC mode setting (x) is invalid; use "shareable" or "private"'),
    ({"default-cgroupns-mode": "x"}, 'default cgroup namespace mode (x) is invalid; use "host" or "private"'),
    ({"log-level": "loud"}, "invalid logging level: loud"),
    ({"live-restore": 1}, "json: cannot unmarshal number into Go struct field Config.live-restore of type bool"),
    (
        {"features": {"buildkit": "x"}},
        "json: cannot unmarshal string into Go struct field Config.features of type bool",
    ),
    ({"registry-mirrors": ["ftp://x"]}, 'invalid mirror: unsupported scheme "ftp" in "ftp://x"'),
    ({"registry-mirrors": ["x"]}, 'invalid mirror: unsupported scheme "" in "x"'),
    ({"registry-mirrors": ["http://x/?a=b"]}, 'query or fragment at end of the URI "http://x/?a=b"'),
    ({"registry-mirrors": ["http://u:p@x"]}, 'username/password not allowed in URI "http://u:xxxxx@x"'),
    ({"registry-mirrors": ["http://a b"]}, 'invalid mirror: "http://a b" is not a valid URI'),
    ({"registry-mirrors": ["http://"]}, "invalid mirror: no host"),
    ({"registry-mirrors": ["http://x:99999"]}, "is not a valid URI"),
    ({"mirrors": {"a/b": []}}, 'mirrors: invalid registry "a/b"'),
    (
        {"mirrors": {"ghcr.io": "http://x"}},
        "cannot unmarshal string into Go struct field Config.mirrors of type []string",
    ),
    (
        {"mirrors": ["http://x"]},
        "cannot unmarshal array into Go struct field Config.mirrors of type map[string][]string",
    ),
    ({"insecure-registries": ["ftp://x"]}, "insecure registry ftp://x should not contain '://'"),
    ({"insecure-registries": ["-x"]}, "invalid index name (-x). Cannot begin or end with a hyphen"),
    ({"insecure-registries": ["x:99999999"]}, 'insecure registry x:99999999 is not valid: invalid port "99999999"'),
    ({"insecure-registries": ["x/y"]}, 'insecure registry x/y is not valid: invalid host "x/y"'),
    ({"insecure-registries": [""]}, 'insecure registry  is not valid: invalid host ""'),
    ("[" * 100000, "exceeded max depth"),
    ('{"group": "\udcff"}', "unable to configure sampand with file"),
    ("{", "unable to configure sampand with file"),
    ("[]", "it must hold one JSON object"),
]


@pytest.mark.parametrize(("document", "text"), BAD_FILES)
def test_a_bad_file(tmp_path: Path, document: object, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decide(tmp_path, document)
    assert text in str(caught.value)


def test_everything_that_the_file_can_say(tmp_path: Path) -> None:
    found = decide(
        tmp_path,
        {
            "labels": ["a=1", "b=2", "a=1"],
            "dns": ["1.1.1.1", "2606:4700::1111"],
            "dns-search": ["corp.example", "."],
            "dns-opts": ["ndots:2"],
            "bip": "10.1.0.5/24",
            "default-address-pools": [{"base": "10.99.0.0/16", "size": 24}],
            "mtu": 1400,
            "ip": "127.0.0.1",
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}, "core": {"Soft": 0, "Hard": -1}},
            "default-shm-size": "128M",
            "default-ipc-mode": "shareable",
            "shutdown-timeout": -1,
            "default-cgroupns-mode": "private",
            "no-new-privileges": True,
            "icc": False,
            "ip-masq": False,
            "storage-driver": "overlay2",
            "group": None,
            "registry-mirrors": ["https://m.example", "http://127.0.0.1:5001/x/"],
            "mirrors": {"ghcr.io": ["https://g.example"], "*": ["https://all.example/"]},
            "insecure-registries": ["10.0.0.0/8", "shop.example:5000", "[::1]:5000"],
            "max-concurrent-downloads": 7,
            "max-concurrent-uploads": 0,
            "max-download-attempts": 2,
        },
    )
    assert (found.labels, found.dns) == (("a=1", "b=2"), ("1.1.1.1", "2606:4700::1111"))
    assert (found.dns_search, found.dns_options) == (("corp.example", "."), ("ndots:2",))
    assert (found.bip, found.mtu, found.binding_ip) == ("10.1.0.5/24", 1400, "127.0.0.1")
    assert found.address_pools == ({"base": "10.99.0.0/16", "size": 24},)
    assert found.ulimits == ({"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "core", "Soft": 0, "Hard": -1})
    assert (found.shm_size, found.ipc_mode, found.shutdown_timeout) == (128 << 20, "shareable", -1)
    assert (found.icc, found.masquerade, found.cgroupns_mode, found.no_new_privileges) == (
        False,
        False,
        "private",
        True,
    )
    assert (found.storage_driver, found.group, found.warnings) == ("overlay", "sampan", ())
    known = found.registries
    assert known.mirrors_of("docker.io") == (
        *("https://m.example/", "http://127.0.0.1:5001/x/"),
        "https://all.example/",
    )
    assert known.mirrors_of("ghcr.io") == ("https://g.example/", "https://all.example/")
    assert known.insecure == ("10.0.0.0/8", "shop.example:5000", "[::1]:5000")
    assert (known.max_downloads, known.max_uploads, known.max_attempts) == (7, 5, 2)
    assert known.certs == options.CERTS


def test_the_same_by_flags() -> None:
    line = """--label a=1 --label b=2 --dns 1.1.1.1,9.9.9.9 --dns 8.8.8.8 --dns-search x --dns-opt ndots:2
        --bip 10.1.0.1/24 --default-address-pool base=10.99.0.0/16,size=24 --mtu 1400 --ip 127.0.0.1
        --default-ulimit nofile=1:2 --default-ulimit core=0 --default-shm-size 1g --shutdown-timeout=3
        --registry-mirror http://a --registry-mirror http://b --insecure-registry c:5000
        --max-concurrent-downloads 9 --max-concurrent-uploads 8 --max-download-attempts 7"""
    found = options.decide(flags.parse(line.split()), PLACES)
    assert (found.labels, found.dns) == (("a=1", "b=2"), ("1.1.1.1", "9.9.9.9", "8.8.8.8"))
    assert (found.dns_search, found.dns_options, found.bip) == (("x",), ("ndots:2",), "10.1.0.1/24")
    assert found.address_pools == ({"base": "10.99.0.0/16", "size": 24},)
    assert (found.mtu, found.binding_ip, found.shm_size, found.shutdown_timeout) == (1400, "127.0.0.1", 1 << 30, 3)
    assert found.ulimits == ({"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "core", "Soft": 0, "Hard": 0})
    known = found.registries
    assert (known.mirrors, known.insecure) == ({"docker.io": ("http://a/", "http://b/")}, ("c:5000",))
    assert (known.max_downloads, known.max_uploads, known.max_attempts) == (9, 8, 7)


def test_a_key_without_effect_is_warned_of(tmp_path: Path) -> None:
    found = decide(tmp_path, {"iptables": False, "features": {"buildkit": True}, "runtimes": {"x": {"path": "/x"}}})
    file = tmp_path / "daemon.json"
    assert found.warnings == tuple(
        f"{file}: {key} has no effect in Sampan" for key in ("iptables", "features", "runtimes")
    )


def test_no_key_both_acts_and_has_no_effect() -> None:
    assert not {flag.key for flag in flags.FLAGS} & set(withouteffect.KINDS)
    assert set(withouteffect.KINDS.values()) <= set(values.GO_TYPES)


def test_dockers_file_counts_where_there_is_none_of_ours(tmp_path: Path) -> None:
    own, dockers = tmp_path / "own.json", tmp_path / "dockers.json"
    places = Places(Path("/d"), Path("/e"), own, dockers)
    document = {"data-root": "/x", "exec-root": "/x", "hosts": ["fd://"], "pidfile": "/x", "bip": "10.0.0.1/8"}
    dockers.write_text(json.dumps({**document, "debug": True, "registry-mirrors": ["http://m"]}))
    found = options.decide({}, places)
    assert (found.data_root, found.exec_root, found.bip) == (Path("/d"), Path("/e"), "")
    assert (found.hosts, found.pidfile) == (("unix:///e/sampan.sock",), Path("/e/sampand.pid"))
    assert (found.debug, found.registries.mirrors_of("docker.io")) == (True, ("http://m/",))
    own.write_text("")
    assert not options.decide({}, places).debug
    named = options.decide({"config-file": str(dockers)}, places)
    assert (named.data_root, named.hosts, named.bip) == (Path("/x"), ("fd://",), "10.0.0.1/8")


def test_drivers_that_are_dockers_alone_are_left_to_it(tmp_path: Path) -> None:
    dockers = tmp_path / "dockers.json"
    places = Places(Path("/d"), Path("/e"), tmp_path / "own.json", dockers)
    dockers.write_text(
        json.dumps({"log-driver": "journald", "log-opts": {"tag": "x"}, "storage-driver": "btrfs", "debug": True})
    )
    found = options.decide({}, places)
    assert (found.log_driver, found.log_opts, found.storage_driver, found.debug) == ("json-file", {}, "", True)
    assert found.warnings == (
        f"{dockers}: log-driver journald is not there in Sampan",
        f"{dockers}: storage-driver btrfs is not there in Sampan",
    )
    assert options.decide({"config-file": str(dockers)}, places).log_driver == "journald"  # to be refused later


def test_a_wrong_file_of_dockers_is_named(tmp_path: Path) -> None:
    dockers = tmp_path / "dockers.json"
    dockers.write_text('{"nono": 1}')
    with pytest.raises(UsageError, match=f"with file {dockers}: the following directives don't match.*: nono"):
        options.decide({}, Places(Path("/d"), Path("/e"), tmp_path / "own.json", dockers))


BOTH = [
    ({"debug": True}, {"debug": True}, "debug: (from flag: true, from file: true)"),
    ({"dns": ["1.1.1.1"]}, {"dns": ["8.8.8.8"]}, "dns: (from flag: [8.8.8.8], from file: [1.1.1.1])"),
    ({"labels": ["a=1"]}, {"label": ["b=1"]}, "labels: (from flag: [b=1], from file: [a=1])"),
    ({"log-opts": {"a": "b"}}, {"log-opt": {"c": "d"}}, "log-opts: (from flag: map[c:d], from file: map[a:b])"),
]


@pytest.mark.parametrize(("document", "given", "text"), BOTH)
def test_what_contradicts_is_told_as_dockerd_tells_it(
    tmp_path: Path, document: object, given: dict[str, flags.Value], text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        decide(tmp_path, document, given)
    told = "the following directives are specified both as a flag and in the configuration file: "
    assert str(caught.value).endswith(told + text)


def test_a_setting_stands_in_one_place_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="specified both as a flag and in the configuration file: debug"):
        decide(tmp_path, {"debug": True}, {"debug": True})


def test_a_file_that_was_named_must_be_there() -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        options.decide({"config-file": "/nowhere/x.json"}, PLACES)


def test_an_unknown_level() -> None:
    with pytest.raises(UsageError, match="invalid logging level: loud"):
        options.decide({"log-level": "loud"}, PLACES)


def test_one_to_a_directory(tmp_path: Path) -> None:
    import os

    first = locks.hold(tmp_path, "--data-root")
    with pytest.raises(locks.Occupied) as caught:
        locks.hold(tmp_path, "--data-root")
    assert f"another sampand (pid {os.getpid()}) uses it" in str(caught.value)
    assert "`sampan system stop`" in str(caught.value) and "--data-root" in str(caught.value)
    os.close(first)
    os.close(locks.hold(tmp_path, "--data-root"))


def test_an_exec_root_belongs_to_one_data_root(tmp_path: Path) -> None:
    locks.claim(tmp_path, Path("/a"))
    locks.claim(tmp_path, Path("/b"))
    (tmp_path / "containers" / "x").mkdir(parents=True)
    locks.claim(tmp_path, Path("/b"))
    with pytest.raises(locks.Occupied, match="containers of the data root /b run there"):
        locks.claim(tmp_path, Path("/a"))


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 5.0), (0, 0.1), (3, 3.0), (-1, main.FOREVER_S)])
def test_how_long_answers_get_at_the_end(timeout: int | None, seconds: float) -> None:
    assert main.grace(timeout) == seconds
