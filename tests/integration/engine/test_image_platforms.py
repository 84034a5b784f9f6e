"""`platform` as the API has had it since 1.46: an image for another machine is refused where it is asked for."""

import json
from urllib.parse import quote

import pytest

from support.daemon import Sampand
from support.http import UnixConnection, ask
from support.images import BUSYBOX, busybox_archive

MISMATCH = f"image with reference {BUSYBOX} was found but its platform (linux/amd64) does not match"
OWN, OTHER = (quote(json.dumps({"os": "linux", "architecture": name})) for name in ("amd64", "arm64"))
NAME = quote(BUSYBOX, safe="")


@pytest.fixture(autouse=True)
def _busybox(shared_sampand: Sampand) -> None:
    shared_sampand.engine.load_busybox()


@pytest.mark.parametrize("path", [f"/images/{NAME}/json", f"/images/{NAME}/history", f"/images/get?names={NAME}"])
def test_of_what_is_there(shared_sampand: Sampand, path: str) -> None:
    host, mark = shared_sampand.engine.host, "&" if "?" in path else "?"
    assert ask(host, "GET", f"{path}{mark}platform={OTHER}")[0] == 404
    assert MISMATCH in ask(host, "GET", f"{path}{mark}platform={OTHER}")[1]["message"]
    connection = UnixConnection(host.removeprefix("unix://"))
    connection.request("GET", f"/v1.51{path}{mark}platform={OWN}")
    assert connection.getresponse().status == 200
    connection.close()


def test_of_what_is_pushed(shared_sampand: Sampand) -> None:
    repository = quote(BUSYBOX.rpartition(":")[0], safe="")
    status, answer = ask(shared_sampand.engine.host, "POST", f"/images/{repository}/push?tag=1&platform={OTHER}")
    assert status == 404
    assert MISMATCH in answer["message"]


def test_of_what_is_loaded(shared_sampand: Sampand) -> None:
    connection = UnixConnection(shared_sampand.engine.host.removeprefix("unix://"))
    answers = []
    for platform in (OTHER, OWN):
        with busybox_archive().open("rb") as file:
            connection.request("POST", f"/v1.51/images/load?platform={platform}", file)
            answers.append(connection.getresponse().read().decode())
    connection.close()
    assert MISMATCH in answers[0]
    assert f"Loaded image: {BUSYBOX}" in answers[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("linux/arm64", "failed to parse platform"),
        ("[]", "failed to parse platform"),
        ('{"os":"linux"}', "both OS and Architecture must be provided"),
        ('{"os":1,"architecture":"arm64"}', "failed to parse platform"),
    ],
)
def test_nonsense(shared_sampand: Sampand, value: str, text: str) -> None:
    status, answer = ask(shared_sampand.engine.host, "GET", f"/images/{NAME}/json?platform={quote(value)}")
    assert status == 400
    assert text in answer["message"]
