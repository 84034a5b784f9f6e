"""Clean-up and disk usage: `sampan` prints what `docker` prints on the same daemon: stdout, stderr and exit code."""

import io
import json
import re
import shlex
import subprocess
import tarfile

import pytest

from support.images import save_archive

from .conftest import IMAGE, Clients

LOOKS = """
system df
system df -v
system df --format json
system df --format raw
system df --format 'table {{.Type}}\\t{{.Size}}'
system df --format '{{.Type}}: {{.TotalCount}} {{.Active}} {{.Reclaimable}}'
system df --format '{{.Foo}}'
system df -v --format json
system df -v --format '{{range .Containers}}{{.Names}} {{.Size}};{{end}}'
system df -v --format 'table {{.Type}}'
system df x
system prune x
system prune --volumes --filter until=1h
system prune --filter foo
system prune -f --filter foo=bar
container prune -f --filter foo=bar
container prune -f --filter until=x
container prune -f --filter label=clitest=none
container prune -f --filter label=clitest=none --filter until=1h
container prune -f --filter until=1h --filter until=2h
image prune -f --filter foo=bar
image prune -f --filter until=x
image prune -f --filter label=clitest=none
image prune -a -f --filter label=clitest=none
image prune -f --filter dangling=false --filter label=clitest=none
image prune -f --filter dangling=maybe
system prune -f --filter label=clitest=none
system prune -a -f --volumes --filter label=clitest=none
images -f until=1h -q
images -f until=x
images -f dangling=true -f dangling=false
images -f reference='[a-'
images -f reference='clitest/[^a]*' --format '{{.Repository}}'
rmi ' '
"""
QUESTIONS = """
container prune
image prune
image prune -a
system prune
system prune -a
system prune --volumes
system prune --filter label=a=b --filter label!=c --filter until=1h
"""


@pytest.mark.parametrize("line", LOOKS.strip().splitlines())
def test_looks_and_faults(clients: Clients, line: str) -> None:
    clients.same(*shlex.split(line))


@pytest.mark.parametrize("answer", [b"", b"n\n", b"yes\n", b"N"])
@pytest.mark.parametrize("line", QUESTIONS.strip().splitlines())
def test_questions_that_are_not_answered_with_y(clients: Clients, line: str, answer: bytes) -> None:
    asked = clients.same(*shlex.split(line), stdin=answer)
    assert asked.out.endswith("Are you sure you want to continue? [y/N] ")


@pytest.mark.parametrize("name", ["container prune", "image prune", "system prune"])
def test_help(clients: Clients, name: str) -> None:
    clients.same(*name.split(), "--help")


def test_help_of_df_is_docker_s_and_a_line(clients: Clients) -> None:
    expected = clients.docker("system", "df", "--help").out.replace("sampan disk usage", "disk usage").splitlines()
    got = clients.sampan("system", "df", "--help").out.splitlines()
    assert [line for line in got if line not in expected] == [
        "      --why             Show what is on the disk and what holds it"
    ]


def _made(clients: Clients, who: str) -> None:
    """Two images, one of them without a name, and two containers of a third."""
    for number, layer in enumerate((b"a" * 1024, b"b" * 1024)):
        archive = save_archive([_tar(layer)], {"Labels": {"clitest": who}}, [f"clitest/prune-{who}:1"])
        assert clients.docker("load", stdin=archive).code == 0, number
    for _ in range(2):
        argv = ("create", "--net=none", "--label", f"clitest={who}", IMAGE, "true")
        assert clients.docker(*argv).code == 0
    assert clients.docker("network", "create", "--label", f"clitest={who}", f"clitest-prune-{who}").code == 0


def _tar(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


STEPS = """
container prune --filter label=clitest=WHO
image prune --filter label=clitest=WHO
image prune -a --filter label=clitest=WHO
system prune --filter label=clitest=WHO
"""


def _without_digests(text: str) -> str:
    return re.sub(r"[0-9a-f]{64}", "<id>", text)


ALL = "system prune -a --volumes --filter label=clitest=WHO"


@pytest.mark.parametrize("steps", [STEPS.strip().splitlines(), [ALL]])
def test_each_client_clears_up_behind_itself(clients: Clients, steps: list[str]) -> None:
    said: dict[str, list[str]] = {}
    for who, run in (("docker", clients.docker), ("sampan", clients.sampan)):
        _made(clients, who)
        answers = [run(*shlex.split(step.replace("WHO", who)), stdin=b"y\n") for step in steps]
        said[who] = [_without_digests(repr(answer)).replace("prune-docker", "prune-sampan") for answer in answers]
        left = clients.docker("ps", "-aq", "--filter", f"label=clitest={who}").out
        left += clients.docker("images", "-q", "--filter", f"label=clitest={who}").out
        assert left + clients.docker("network", "ls", "-q", "--filter", f"label=clitest={who}").out == ""
    # Which image goes first depends on its ID, and so on the label.
    ours, theirs = ([sorted(text.splitlines()) for text in texts] for texts in said.values())
    assert ours == theirs


def test_why_adds_up_to_what_du_counts(clients: Clients) -> None:
    """Nothing else happens on the daemon meanwhile, but its database may grow by a few pages."""
    found = json.loads(clients.sampan("system", "df", "--why", "--format", "json").out)
    du = subprocess.run(["du", "-s", "--block-size=1", found["Root"]], capture_output=True, text=True, check=True)
    assert abs(int(du.stdout.split()[0]) - found["Size"]) <= 64 * 1024
    assert sum(one["Size"] for one in found["Holdings"]) == found["Size"]
    table = clients.sampan("system", "df", "--why").out
    assert table.splitlines()[0].split() == ["SIZE", "KIND", "NAME", "HELD", "BY"]
    assert f"as du -s --block-size=1 {found['Root']}" in table
    refused = clients.sampan("system", "df", "--why", "--format", "{{.Foo}}")
    assert (refused.code, refused.err) == (1, "--why is shown as a table, or with --format json\n")
