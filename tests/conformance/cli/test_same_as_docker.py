"""Everything that `sampan` prints equals what `docker` prints on the same daemon: stdout, stderr and exit code."""

import hashlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.terminal import Terminal

from .conftest import ENDED, IMAGE, RUNNING, Clients

LOOKS = """
ps
ps -a
ps -aq
ps -a --no-trunc
ps -a -s
ps -n 2
ps -l
ps -f name=clitest
ps -a -f status=exited -f name=clitest-ended
ps -f foo=bar
ps -a --format json
ps -a --format '{{.Names}} {{.Status}} {{.Labels}} {{.Mounts}} {{.Networks}} {{.CreatedAt}}'
ps -a --format 'table {{.Names}}\\t{{.Label "a.b-c"}}\\t{{upper .State}}\\t{{.Size}}'
ps --format raw
ps --format '{{.Foo}}'
ps --format '{{.Foo'
ps -q --format x
container ls -a
images
images --no-trunc
images --digests
images -f dangling=true
images clitest/busybox
images ls
images --format json clitest/busybox
images --format '{{.Repository}}:{{.Tag}} {{.CreatedAt}} {{.Size}} {{.VirtualSize}}' clitest/busybox
images --format 'table {{.ID}}\\t{{.Size}}' clitest/busybox
image ls -q clitest/busybox
history clitest/busybox:1
history -H=false --no-trunc clitest/busybox:1
history -q clitest/busybox:1
history --format json clitest/busybox:1
history nosuch
inspect clitest-running
inspect clitest-ended clitest/busybox:1 bridge
inspect -f json clitest-running
inspect -f '{{.State.Status}} {{.Config.Cmd}} {{.HostConfig.Memory}} {{.Config.Env}}' clitest-running clitest-ended
inspect -f '{{json .Config}} {{json .HostConfig.Binds}}' clitest-ended
inspect -f '{{.Config.Entrypoint}}|{{.Config.Labels}}|{{.HostConfig.Binds}}|{{.HostConfig.PidsLimit}}' clitest-running
inspect -f '{{range .Mounts}}{{.Source}}:{{.Destination}} {{.RW}}{{end}}' clitest-ended
inspect -f '{{index .Config.Labels "a.b-c"}}{{index .Config.Labels "nope"}}' clitest-running
inspect -f '{{.State.Health}}' clitest-running
inspect -f '{{.State.Health.Status}}' clitest-running
inspect -f '{{if .State.Running}}up{{else}}down{{end}} {{.State.ExitCode}}' clitest-running clitest-ended
inspect -f '{{.Foo' clitest-running
inspect -f '{{.ID}} {{.HostConfig.NanoCPUs}} {{.HostConfig.DNS}}' clitest-running
inspect -f '{{.Id}} {{.Config.Entrypoint}}' clitest-running
inspect -f '{{.HostConfig.NanoCpus}} {{.HostConfig.Binds}}' clitest-running
inspect -f '{{.ID}} {{.Id}}' clitest-running
inspect -f '{{.Id}} {{.Architecture}} {{.Config.Volumes}}' clitest/busybox:1
inspect -s clitest/busybox:1
inspect --type image clitest-running
inspect --type foo x
inspect --type= x
inspect nosuch
container inspect nosuch clitest-running
image inspect clitest/busybox:1
image inspect nosuch
diff clitest-ended
diff nosuch
container diff clitest-running
logs clitest-running
logs -t clitest-running
logs --tail 1 clitest-running
logs --since 10m clitest-running
logs --until 2020-01-01 clitest-running
logs --since foo clitest-running
logs --details clitest-running
logs --tail x clitest-running
logs nosuch
logs -f clitest-ended
top clitest-running
top clitest-running -eo pid,args
top nosuch
port clitest-running
port clitest-running 80
port clitest-running foo
port nosuch
events --since 10m --until 0s -f container=clitest-ended
events --since 10m --until 0s -f container=clitest-ended --format json
events --since 10m --until 0s -f container=clitest-ended --format '{{.Type}} {{.Status}} {{.Actor.Attributes.name}}'
events --format '{{.Foo}}'
events --since foo
info -f '{{.ServerVersion}} {{.NCPU}}'
info -f '{{json .Plugins}}'
info -f '{{.Foo}}'
version -f '{{.Server.Version}} {{.Server.APIVersion}}'
version -f '{{json .Server}}'
version -f '{{.Foo}}'
"""

FAULTS = """
--foo
container --foo ls
container foo
foo
help run foo
ps x
ps -h
ps --format
ps --all=x
ps -n x
ps -f x
rename a
port
stop
stop nosuch nosuch2
stop -t 1 --time 2 x
stop --time 1 nosuch
stop -t x y
kill nosuch
kill -s FOO clitest-running
kill clitest-ended
restart nosuch
start nosuch nosuch2
start -a a b
start -a nosuch
attach nosuch
attach clitest-ended
attach --no-stdin nosuch
rm nosuch
rm -f nosuch
rm clitest-running
rm /
rename nosuch foo
rename clitest-ended ?
rename clitest-ended clitest-running
wait nosuch
wait clitest-ended
diff
commit
commit a b c
commit nosuch
commit clitest-ended Foo
commit clitest-ended a@sha256:0000000000000000000000000000000000000000000000000000000000000000
commit clitest-ended sha256:x
commit -c 'FROM x' clitest-ended
commit -c ENV clitest-ended a/b
export
export nosuch
export -o /nonexistent/x clitest-ended
export -o /tmp clitest-ended
export -o /dev/null clitest-ended
save
save nosuch
save clitest/busybox:9
save Foo
save -o /nonexistent/x clitest/busybox:1
save -o /tmp clitest/busybox:1
tag clitest/busybox:1 Foo
tag nosuch foo
tag clitest/busybox:1 a@sha256:1234
rmi nosuch
rmi -f nosuch
load -i /nonexistent
import /nonexistent
pull Foo
pull abababababababababababababababababababababababababababababababab
push abababababababababababababababababababababababababababababababab
run
run --foo
run -z x
run -e
run -itz x
run --name
run --tty=maybe x
run --rm --restart always x
run -d -a stdout x
run --pull foo x
run --cpus 1.0000000001 x
run -m x y
run --env-file /nonexistent x
run -p 99999 x
run -v /a:/b:cc:d x
run --mount foo x
run --ulimit nofile=5:3 x
run --label =x y
run --security-opt foo x
run --network-alias a x
run --health-interval 1y x
run --device /dev/null:/x:zz x
run --attach foo x
run Foo
run a@b
run --pull never nosuch
run -it clitest/busybox:1
run --net=none --name clitest-running clitest/busybox:1
run --net=none --name x clitest/busybox:1
run --rm --net=none clitest/busybox:1 nosuch
run --rm --net=none clitest/busybox:1 /etc
run --rm --net=none clitest/busybox:1 /etc/passwd
run --rm --net=none -w /etc/passwd clitest/busybox:1 ls
run --rm --net=none -u nosuch clitest/busybox:1 ls
create --net=none --pull never nosuch
exec a
exec nosuch ls
exec clitest-ended ls
exec -it clitest-running sh
exec -it nosuch sh
exec clitest-running nosuch
exec -d clitest-running nosuch
exec -w /nope clitest-running ls
exec -u nosuch clitest-running ls
exec clitest-running /etc/passwd
exec --env-file /nonexistent clitest-running ls
-H unix:///nonexistent/d.sock ps
-H tcp://127.0.0.1:1 ps
-H foo://x ps
-H a -H b ps
"""

RUNS = """
run --rm --net=none clitest/busybox:1 echo hi
run --rm --net=none clitest/busybox:1 sh -c 'echo out; sleep 0.1; echo err >&2; exit 42'
run --rm --net=none -e A=1 -w /tmp -u app:extra --hostname h clitest/busybox:1 sh -c 'echo $A; pwd; id; hostname'
run --rm --net=none --entrypoint /bin/ls clitest/busybox:1 /
run --rm --net=none clitest/busybox:1 sh -c 'kill -9 $$'
run --rm --net=none -a stdout clitest/busybox:1 sh -c 'echo out; echo err >&2'
run --rm --net=none -t clitest/busybox:1 sh -c 'echo out; echo err >&2'
run --rm --net=none -i clitest/busybox:1 cat
run --rm --net=none clitest/busybox:1 cat
run --rm --net=none -i clitest/busybox:1 head -c 3
exec clitest-running ls /
exec -w /etc -e A=1 clitest-running sh -c 'pwd; echo $A; echo e >&2; exit 4'
exec -i clitest-running cat
exec -t clitest-running sh -c 'echo out; echo err >&2; test -t 0'
exec -d clitest-running true
exec -u app clitest-running id
exec clitest-running sh -c 'kill -15 $$'
container exec clitest-running true
"""


@pytest.mark.parametrize("line", [*LOOKS.strip().splitlines(), *FAULTS.strip().splitlines()])
def test_looks_and_faults(clients: Clients, line: str) -> None:
    clients.same(*shlex.split(line))


@pytest.mark.parametrize("line", RUNS.strip().splitlines())
def test_runs(clients: Clients, line: str) -> None:
    clients.alike(*shlex.split(line), stdin=b"piped\n")


HELP = ("exec", "ps", "logs", "start", "attach", "wait", "stop", "kill", "restart", "rm", "inspect", "top")
HELP += ("save", "export", "diff", "commit", "image save", "container commit", "container diff", "container export")
HELP += ("rename", "info", "events", "rmi", "tag", "load", "import", "history", "pull")


@pytest.mark.parametrize("name", [*HELP, "container ls", "image rm", "image inspect", "container inspect"])
def test_help(clients: Clients, name: str) -> None:
    clients.same(*name.split(), "--help")


def test_help_of_images(clients: Clients) -> None:
    """Docker's, and a flag that has a meaning of its own here (Docker's client shows one to experimental daemons)."""
    expected, got = clients.docker("images", "--help").out, clients.sampan("images", "--help").out
    assert got.partition("      --tree")[0] == expected.partition("      --tree")[0].rstrip("\n") + "\n"
    assert "      --tree            Show which images share which layers" in got


@pytest.mark.parametrize("name", ["run", "create"])
def test_help_of_run(clients: Clients, name: str) -> None:
    """All of Docker's flags but --gpus and --use-api-socket, which mean nothing here yet."""
    missing = ("--gpus", "('all' to pass all GPUs)", "--use-api-socket", "required auth")
    expected = [line for line in clients.docker(name, "--help").out.splitlines() if not any(m in line for m in missing)]
    # The text beside a missing flag is wrapped over two lines.
    assert [line for line in clients.sampan(name, "--help").out.splitlines() if line not in expected] == []


@pytest.mark.parametrize("name", ["info", "version"])
def test_the_server_s_part_has_docker_s_layout(clients: Clients, name: str) -> None:
    expected, got = clients.docker(name), clients.sampan(name)
    ours, theirs = (result.out.partition("\nServer:")[2].splitlines() for result in (got, expected))
    # The runtimes are in the order of a Go map in Docker's: in any. What a daemon does not tell we leave out.
    theirs = [line for line in theirs if line.strip() not in {"Go version:", "Built:"}]
    assert [sorted(line.split()) for line in ours] == [sorted(line.split()) for line in theirs]
    assert (got.err, got.code) == (expected.err, expected.code)


def test_a_life(clients: Clients) -> None:
    """Each client leads a container of its own through the same life, and says the same of it."""
    steps = """
        create --net=none --name NAME clitest/busybox:1 sh -c 'trap "exit 5" TERM; echo up; while :; do sleep .05; done'
        start NAME
        start NAME
        rename NAME NAME-2
        kill -s TERM NAME-2
        wait NAME-2
        logs NAME-2
        restart -t 1 NAME-2
        stop -t 1 NAME-2
        inspect -f '{{.State.ExitCode}}' NAME-2
        start -a -i nosuch
        rm NAME-2
        rm NAME-2
        tag clitest/busybox:1 NAME:1
        rmi NAME:1
        rmi NAME:1
    """
    said: dict[str, list[str]] = {"docker": [], "sampan": []}
    for client, run in (("docker", clients.docker), ("sampan", clients.sampan)):
        for step in steps.strip().splitlines():
            words = shlex.split(step.replace("NAME", f"clitest-life-{client[0]}"))
            said[client].append(repr(run(*words)).replace(f"clitest-life-{client[0]}", "NAME"))
    said["docker"][0] = said["sampan"][0] = "an ID"
    assert said["sampan"] == said["docker"]


def test_many_at_once(clients: Clients) -> None:
    names = [f"clitest-many-{number}" for number in range(3)]
    for name in names:
        clients.sampan("create", "--net=none", "--name", name, IMAGE, "true")
    removed = clients.sampan("rm", *names, "nosuch")
    assert removed.out.split() == names
    assert removed.err == "Error response from daemon: No such container: nosuch\n"
    assert removed.code == 1


def test_a_cidfile(clients: Clients, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    made = clients.sampan("create", "--net=none", "--cidfile", str(path), "--name", "clitest-cid", IMAGE)
    assert path.read_text() == made.out.strip()
    clients.same("create", "--net=none", "--cidfile", str(path), IMAGE)
    path.unlink()
    clients.same("create", "--net=none", "--cidfile", str(path), "--name", "clitest-cid", IMAGE)
    assert not path.exists()
    clients.sampan("rm", "clitest-cid")


def test_load_and_import(clients: Clients, tmp_path: Path) -> None:
    from support.images import busybox_archive, busybox_layer

    archive = busybox_archive()
    clients.same("load", stdin=archive.read_bytes())
    clients.same("load", "-q", "-i", str(archive))
    clients.same("load", "-i", "/etc/passwd")
    layer = tmp_path / "layer.tar"
    layer.write_bytes(busybox_layer())
    made = clients.sampan("import", "-c", 'CMD ["sh"]', "-m", "hello", str(layer), "clitest/imported:1")
    assert made.out.startswith("sha256:")
    assert (
        clients.sampan("image", "inspect", "-f", "{{.Comment}} {{.Config.Cmd}}", "clitest/imported:1").out
        == "hello [sh]\n"
    )
    assert clients.sampan("rmi", "clitest/imported:1").out.startswith("Untagged: clitest/imported:1\nDeleted: sha256:")


def _terminal(clients: Clients, client: str, *argv: str) -> Terminal:
    program = clients.docker_program if client == "docker" else clients.sampan_program
    return Terminal([*program, *argv], {**clients.environ, "TERM": "dumb"}, rows=33, columns=101)


BOTH = pytest.mark.parametrize("client", ["docker", "sampan"])
SHELL = ("--net=none", "-e", "PS1=ready:", IMAGE, "sh")


@BOTH
def test_a_terminal_and_its_size(clients: Clients, client: str) -> None:
    with _terminal(clients, client, "run", "-it", "--rm", *SHELL) as terminal:
        terminal.expect(b"ready:")
        terminal.send(b"stty size\n")
        terminal.expect(b"33 101")
        terminal.resize(44, 122)
        for _ in range(50):
            terminal.send(b"stty size\n")
            if b"44 122" in terminal.expect(rb"\d+ \d+\r\n").group():
                break
        else:
            pytest.fail("the new size did not arrive")
        terminal.send(b"exit 7\n")
        assert terminal.wait() == 7


@BOTH
def test_detaching_and_attaching(clients: Clients, client: str) -> None:
    name = f"clitest-detach-{client[0]}"
    try:
        with _terminal(clients, client, "run", "-it", "--name", name, *SHELL) as terminal:
            terminal.expect(b"ready:")
            terminal.send(b"\x10")
            terminal.send(b"\x11")
            assert terminal.wait() == 0
        with _terminal(clients, client, "attach", "--detach-keys", "ctrl-a,b", name) as terminal:
            terminal.expect(b"ready:")
            terminal.send(b"echo h''i\n")
            terminal.expect(b"hi\r\n")
            terminal.send(b"\x01b")
            assert terminal.wait() == 1
            assert terminal.output.endswith(b"read escape sequence\r\n")
        with _terminal(clients, client, "exec", "-it", "-e", "PS1=exec:", name, "sh") as terminal:
            terminal.expect(b"exec:")
            terminal.send(b"stty size; exit 5\n")
            terminal.expect(b"33 101")
            assert terminal.wait() == 5
        with _terminal(clients, client, "attach", name) as terminal:
            terminal.expect(b"ready:")
            terminal.send(b"exit 9\n")
            assert terminal.wait() == 9
        with _terminal(clients, client, "start", "-ai", name) as terminal:
            terminal.expect(b"ready:")
            terminal.send(b"exit 3\n")
            assert terminal.wait() == 3
    finally:
        clients.docker("rm", "-f", name)


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 2])
def test_signals_are_passed_on(clients: Clients, client: str, number: int) -> None:
    script = f"trap 'echo got; exit 4' {int(number)}; echo ready; while :; do sleep 0.02; done"
    with _terminal(clients, client, "run", "--rm", "--net=none", IMAGE, "sh", "-c", script) as terminal:
        terminal.expect(b"ready")
        os.kill(terminal.pid, number)
        terminal.expect(b"got")
        assert terminal.wait() == 4


@BOTH
@pytest.mark.parametrize("verb", ["run", "attach"])
def test_without_sig_proxy_the_third_signal_ends_the_client(clients: Clients, client: str, verb: str) -> None:
    name = f"clitest-patience-{client}-{verb}"
    create = ["--net=none", "--name", name, IMAGE, "sh", "-c", "while :; do echo beat; sleep 0.05; done"]
    argv = ["run", "--sig-proxy=false", *create]
    if verb == "attach":
        clients.docker("run", "-d", *create)
        argv = ["attach", "--sig-proxy=false", name]
    try:
        with _terminal(clients, client, *argv) as terminal:
            for number in (signal.SIGTERM, signal.SIGINT):
                terminal.expect(b"beat")
                os.kill(terminal.pid, number)
                terminal.expect(b"beat.*beat.*beat")
            os.kill(terminal.pid, signal.SIGINT)
            terminal.expect(b"\ngot 3 SIGTERM/SIGINTs, forcefully exiting\r\n")
            assert terminal.wait() == 1
        assert clients.docker("inspect", "-f", "{{.State.Running}}", name).out == "true\n"
    finally:
        clients.docker("rm", "-f", name)


@BOTH
def test_everything_through_cat_and_back(clients: Clients, client: str, tmp_path: Path) -> None:
    """64 MiB: through a pipe, `cat` in a session of a running container, and back."""
    program = clients.docker_program if client == "docker" else clients.sampan_program
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 20) * 64)
    with source.open("rb") as stdin:
        done = subprocess.run(
            [*program, "exec", "-i", RUNNING, "cat"], stdin=stdin, env=clients.environ, capture_output=True, check=True
        )
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(source.read_bytes()).digest()


def test_nobody_reads_our_output(clients: Clients) -> None:
    codes = []
    for program in (clients.docker_program, clients.sampan_program):
        argv = [*program, "exec", RUNNING, "yes"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clients.environ)
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        codes.append(process.wait(timeout=20))
    assert codes == [-signal.SIGPIPE, -signal.SIGPIPE]


def test_our_reader_waits_for_our_input(clients: Clients) -> None:
    """Output is not read until input has ended: one thread for both would wait for ever."""
    argv = [*clients.sampan_program, "exec", "-i", RUNNING, "cat"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clients.environ)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x" * 600_000)
    process.stdin.close()
    assert len(process.stdout.read()) == 600_000
    assert process.wait(timeout=20) == 0


def test_followed_logs_end_with_the_container(clients: Clients) -> None:
    name = "clitest-follow"
    clients.sampan("run", "-d", "--net=none", "--name", name, IMAGE, "sh", "-c", "echo one; sleep 0.3; echo two")
    started = time.monotonic()
    assert clients.sampan("logs", "-f", name).out == "one\ntwo\n"
    assert time.monotonic() - started < 20
    clients.sampan("rm", "-f", name)


def test_ended_is_as_it_was(clients: Clients) -> None:
    """The looks above changed nothing."""
    assert clients.sampan("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", ENDED).out == "3 exited\n"


def test_archives(clients: Clients, tmp_path: Path) -> None:
    """save and export give the same bytes to stdout and to a file, which is its owner's alone."""
    for command in (("save", IMAGE), ("export", ENDED)):
        path, other = tmp_path / command[0], tmp_path / "theirs"
        ours, theirs = (run(*command, "-o", str(p)) for run, p in ((clients.sampan, path), (clients.docker, other)))
        assert (ours.code, ours.out, ours.err) == (theirs.code, theirs.out, theirs.err) == (0, "", "")
        assert path.read_bytes() == other.read_bytes()
        assert path.stat().st_mode == other.stat().st_mode
        assert sorted(one.name for one in tmp_path.iterdir()) == [command[0], "theirs"]
        path.unlink()
    missing = clients.sampan("export", "-o", str(tmp_path / "none"), "nosuch")
    assert missing.code == 1 and not (tmp_path / "none").exists()


def test_commit(clients: Clients) -> None:
    made = clients.sampan("commit", "-a", "me", "-m", "why", "-c", "ENV A=1", "-p=false", ENDED, "clitest/made")
    shown = clients.docker("image", "inspect", "-f", "{{.Id}} {{.Author}} {{.Comment}} {{.RepoTags}}", "clitest/made")
    assert shown.out == f"{made.out.strip()} me why [clitest/made:latest]\n"
    clients.sampan("rmi", "clitest/made")
