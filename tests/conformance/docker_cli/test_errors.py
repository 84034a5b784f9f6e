"""What bad input gets: Docker's words, the right exit code, nothing left."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import Engine
from support.images import BUSYBOX

# Docker's own daemon was asked each of these. (flags, command, exit code, words)
RUN = [
    (["--user", "nosuch"], ["true"], 125, "unable to find user nosuch: no matching entries in passwd file"),
    (["--user", "app:nogrp"], ["true"], 125, "unable to find group nogrp: no matching entries in group file"),
    (["-w", "/etc/plain"], ["true"], 125, "/etc/plain is not a directory"),
    (["-w", "rel"], ["true"], 125, "the working directory 'rel' is invalid, it needs to be an absolute path"),
    ([], ["nosuchprogram"], 127, 'exec: "nosuchprogram": executable file not found in $PATH'),
    ([], ["/no/such"], 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
    ([], ["/etc/plain"], 126, 'exec: "/etc/plain": permission denied'),
    ([], ["/etc"], 126, 'exec: "/etc": is a directory'),
    (["--entrypoint", "/no/such"], [], 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
    (["--entrypoint", ""], [], 125, "no command specified"),
    (["--name", "a"], ["true"], 125, "Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (["--name", "-x"], ["true"], 125, "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (["--memory", "1k"], ["true"], 125, "Minimum memory limit allowed is 6MB"),
    (["--cpus", "999"], ["true"], 125, "Range of CPUs is from 0.01 to"),
    (["--cap-add", "NOSUCH"], ["true"], 125, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
    (["-v", "/a:relative"], ["true"], 125, "invalid volume specification: '/a:relative'"),
    (["-v", "/a:/b:nosuch"], ["true"], 125, "invalid mode: nosuch"),
    (["--stop-signal", "NOSUCH"], ["true"], 125, "invalid signal: NOSUCH"),
    (["--tmpfs", "/x:nosuch"], ["true"], 125, 'invalid tmpfs option "nosuch"'),
    (["--log-driver", "nosuch"], ["true"], 125, "nosuch"),
    (["--log-opt", "nosuch=1"], ["true"], 125, "unknown log opt 'nosuch' for json-file log driver"),
    (["--nosuch"], ["true"], 125, "unknown flag: --nosuch"),
    (["-v", "/etc/passwd:/etc"], ["true"], 125, 'error mounting "/etc/passwd" to rootfs at "/etc": '),
    (["-v", "/etc/passwd:/etc"], ["true"], 125, ": not a directory: unknown: Are you trying to mount a directory onto"),
    (["-v", "/etc:/etc/plain"], ["true"], 125, "create mount destination for /etc/plain mount: cannot mkdir in "),
    (["-v", "/etc/passwd/x:/x"], ["true"], 125, "bind mount source stat: stat /etc/passwd/x: not a directory: unknown"),
    (["-v", "/etc:/proc"], ["true"], 125, "cannot be mounted because it is not of type proc"),
    (["-v", "/etc:/proc/sys"], ["true"], 125, "cannot be mounted because it is inside /proc"),
    (["-v", "/etc/passwd:/proc/version"], ["true"], 125, "cannot be mounted because it is inside /proc"),
    (["--cpu-shares", "1"], ["true"], 125,
     "error setting cgroup config for procHooks process: the minimum allowed cpu-shares is 2: unknown"),
    (["--hostname", "x" * 65], ["true"], 125, "error during container init: sethostname: invalid argument: unknown"),
    (["--cpu-shares", "-1"], ["true"], 125, "shares: invalid argument"),
    (["--isolation", "bogus"], ["true"], 125, "Invalid isolation: \"bogus\" - linux only supports 'default'"),
    (["--log-opt", "max-size=bad"], ["true"], 125, "failed to initialize logging driver: invalid size: 'bad'"),
    (["--log-opt", "max-file=0"], ["true"], 125, "failed to initialize logging driver: max-file cannot be less than 1"),
    (["--log-opt", "mode=bogus"], ["true"], 125, "logger: logging mode not supported: bogus"),
    (["--sysctl", "net.bogus=1"], ["true"], 127, "open /proc/sys/net/bogus: no such file or directory: unknown"),
    (["--ulimit", "nofile=2000000000"], ["true"], 125,
     "error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "command", "code", "words"), RUN, ids=[" ".join([*r[0], *r[1]]) for r in RUN])
def test_run(engine: Engine, flags: list[str], command: list[str], code: int, words: str) -> None:
    answer = engine.run("--rm", *flags, BUSYBOX, *command)
    assert answer.code == code and words in answer.err, answer
    assert engine.ok("ps", "-aq", "--filter", f"label=sampan.test={engine.token}") == ""


NOBODY = [
    (["kill", "nosuch"], "cannot kill container: nosuch: No such container: nosuch"),
    (["stop", "nosuch"], "No such container: nosuch"),
    (["rm", "nosuch"], "No such container: nosuch"),
    (["start", "nosuch"], "No such container: nosuch"),
    (["wait", "nosuch"], "No such container: nosuch"),
    (["restart", "nosuch"], "No such container: nosuch"),
    (["rename", "nosuch", "other"], "No such container: nosuch"),
    (["attach", "nosuch"], "No such container: nosuch"),
    (["top", "nosuch"], "No such container: nosuch"),
    (["inspect", "nosuch"], "No such object: nosuch"),
    (["rmi", "nosuch"], "No such image: nosuch"),
    (["tag", "nosuch", "x:y"], "No such image: nosuch"),
    (["history", "nosuch"], "No such image: nosuch"),
    (["create", "--pull", "never", "nosuch"], "No such image: nosuch:latest"),
]


@pytest.mark.parametrize(("args", "words"), NOBODY, ids=[" ".join(args) for args, _ in NOBODY])
def test_of_what_is_not_there(engine: Engine, args: list[str], words: str) -> None:
    answer = engine.docker(*args)
    assert answer.code == 1 and words in answer.err, answer


def test_a_missing_image_at_run(engine: Engine) -> None:
    answer = engine.run("--pull", "never", "nosuch:tag")
    assert answer.code == 125 and "No such image: nosuch:tag" in answer.err


def test_a_taken_name(engine: Engine) -> None:
    name = engine.name()
    container = engine.create("--name", name, BUSYBOX)
    answer = engine.run("--name", name, BUSYBOX, "true")
    words = (
        f'Conflict. The container name "/{name}" is already in use by container "{container}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert answer.code == 125 and words in answer.err


STOPPED = [
    (["kill"], "cannot kill container: {name}: container {id} is not running"),
    (["top"], "container {id} is not running"),
    (["attach"], "cannot attach to a stopped container, start it first"),
]


@pytest.mark.parametrize(("args", "words"), STOPPED, ids=[" ".join(args) for args, _ in STOPPED])
def test_of_a_stopped_container(engine: Engine, args: list[str], words: str) -> None:
    name = engine.name()
    container = engine.create("--name", name, BUSYBOX, "true")
    answer = engine.docker(*args, name)
    assert answer.code == 1 and words.format(name=name, id=container) in answer.err, answer


def test_an_unknown_signal(engine: Engine) -> None:
    name = engine.name()
    engine.start("--name", name, BUSYBOX, "sleep", "1000")
    answer = engine.docker("kill", "-s", "NOSUCH", name)
    assert answer.code == 1 and f"cannot kill container: {name}: invalid signal: NOSUCH" in answer.err


@pytest.mark.parametrize("number", ["99", "33", "-1"])
def test_a_signal_that_linux_has_not(engine: Engine, number: str) -> None:
    name = engine.name()
    engine.create("--name", name, BUSYBOX)  # said before it is asked whether the container runs
    answer = engine.docker("kill", "-s", number, name)
    words = f"cannot kill container: {name}: the linux daemon does not support signal {number}"
    assert answer.code == 1 and words in answer.err


def test_an_unknown_stop_signal(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sleep", "1000")[:20]
    stop = engine.docker("stop", "-s", "foo", container)
    assert stop.code == 1 and f"cannot stop container: {container}: invalid signal: foo" in stop.err
    restart = engine.docker("restart", "-s", "foo", container)
    assert restart.code == 1 and f"Cannot restart container {container}: invalid signal: foo" in restart.err
    assert engine.look(container, "{{.State.Running}}") == "true"


def test_detach_keys_that_are_none(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sleep", "1000")
    answer = engine.docker("exec", "--detach-keys", "bad", container, "true")
    assert answer.code == 1 and "Invalid escape keys (bad) provided" in answer.err


def test_events_pass_over_an_unknown_filter(engine: Engine) -> None:
    assert engine.ok("events", "--since", "1", "--until", "2", "--filter", "bogus=1") == ""


def test_an_ambiguous_tag(engine: Engine) -> None:
    answer = engine.docker("tag", BUSYBOX, "sha256:abc")
    assert answer.code == 1 and "refusing to create an ambiguous tag using digest algorithm as name" in answer.err


def test_a_propagation_that_the_source_cannot_give(engine: Engine, private: str) -> None:
    answer = engine.run("--rm", "-v", f"{private}:/x:rshared", BUSYBOX, "true")
    assert answer.code == 125 and f"path {private} is mounted on " in answer.err
    assert "but it is not a shared mount" in answer.err


@pytest.fixture
def private(tmp_path: Path) -> Iterator[str]:
    """A mount of its own that tells nobody of what is mounted in it."""
    subprocess.run(["mount", "-t", "tmpfs", "--make-private", "none", tmp_path], check=True)
    yield str(tmp_path)
    subprocess.run(["umount", tmp_path], check=True)


def test_a_container_that_could_not_start_says_why(engine: Engine) -> None:
    name = engine.name()
    engine.run("--name", name, BUSYBOX, "/no/such")
    assert engine.look(name, "{{.State.Status}} {{.State.ExitCode}}") == "created 127"
    assert "no such file or directory" in engine.look(name, "{{.State.Error}}")


def test_an_unknown_network(engine: Engine) -> None:
    name = engine.name()
    answer = engine.docker("run", "--name", name, "--network", "nosuchnet", BUSYBOX, "true")
    engine.docker("rm", "-f", name)
    assert answer.code == 125 and "network nosuchnet not found" in answer.err


def test_ps_filters_ids_by_their_beginning(engine: Engine) -> None:
    container = engine.create(BUSYBOX)
    assert engine.ok("ps", "-aq", "--no-trunc", "--filter", f"id={container[:20]}").split() == [container]
    assert engine.ok("ps", "-aq", "--no-trunc", "--filter", f"id={container[5:20]}").split() == []
