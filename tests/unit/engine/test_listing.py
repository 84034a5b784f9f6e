"""`ps`: filters and words, as dockerd 26.1 has them."""

from types import SimpleNamespace

import pytest

from sampan.engine import listing
from sampan.engine.catalog import Catalog
from sampan.engine.container import Container, State
from sampan.engine.errors import BadParameter, NoSuchContainer
from sampan.engine.units import SECOND, human_duration
from sampan.image.errors import ImageNotFound
from support.fabrics import nobody

from .conftest import container

DURATIONS = [
    (0.9, "Less than a second"),
    (1, "1 second"),
    (59.9, "59 seconds"),
    (60, "About a minute"),
    (120, "2 minutes"),
    (3599, "59 minutes"),
    (3600, "About an hour"),
    (5400, "2 hours"),
    (47 * 3600, "47 hours"),
    (48 * 3600, "2 days"),
    (14 * 86400, "2 weeks"),
    (60 * 86400, "2 months"),
    (800 * 86400, "2 years"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_a_duration(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


NOW = 1000 * SECOND
STATUSES = [
    (State(), "Created"),
    (State(status="running", started=997 * SECOND), "Up 3 seconds"),
    (State(status="exited", started=1, finished=880 * SECOND, exit_code=3), "Exited (3) 2 minutes ago"),
    (State(exit_code=127, error="no"), "Created"),
]


@pytest.mark.parametrize(("state", "text"), STATUSES)
def test_a_status(state: State, text: str) -> None:
    assert listing.status_text(container(state=state), NOW) == text


class NoImages:
    def resolve(self, ref: str) -> object:
        if ref != "img":
            raise ImageNotFound(ref)
        return SimpleNamespace(id="sha256:1", chain_ids=("a",))

    def list(self) -> list[object]:
        return [self.resolve("img")]


def catalog() -> Catalog:
    found = Catalog()
    found.add(container(1, "web", State(status="running", started=1), Labels={"a": "1", "b": ""}))
    found.add(container(2, "db-1", State(status="exited", finished=2, exit_code=3)))
    found.add(container(0xAB << 248, "db-2", host={"NetworkMode": "host", "Binds": ["/src:/data"]}))
    return found


def names(filters: dict[str, list[str]], *, all_: bool = True, limit: int | None = None) -> list[str]:
    found = catalog()
    query = listing.parse(found, NoImages(), nobody(), filters, all_=all_)  # type: ignore[arg-type]
    return [one.name for one in listing.select(list(found), query, limit)]


FILTERS = [
    ({}, ["db-2", "db-1", "web"]),
    ({"name": ["db"]}, ["db-2", "db-1"]),
    ({"name": ["^/db-1$"]}, ["db-1"]),
    ({"name": ["["]}, []),
    ({"id": ["ab"]}, ["db-2"]),
    ({"label": ["a"]}, ["web"]),
    ({"label": ["a=1", "b"]}, ["web"]),
    ({"label": ["a=2"]}, []),
    ({"status": ["exited", "created"]}, ["db-2", "db-1"]),
    ({"exited": ["3"]}, ["db-1"]),
    ({"before": ["db-1"]}, ["web"]),
    ({"since": ["web"]}, ["db-2", "db-1"]),
    ({"network": ["host"]}, ["db-2"]),
    ({"volume": ["/data"]}, ["db-2"]),
    ({"volume": ["/src"]}, ["db-2"]),
    ({"ancestor": ["img"]}, ["db-2", "db-1", "web"]),
    ({"ancestor": ["other"]}, []),
    ({"health": ["none"]}, ["db-2", "db-1", "web"]),
    ({"is-task": ["true"]}, []),
    ({"publish": ["80"]}, []),
]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS)
def test_a_filter(filters: dict[str, list[str]], wanted: list[str]) -> None:
    assert names(filters) == wanted


def test_only_running_ones_unless_asked() -> None:
    assert names({}, all_=False) == ["web"]
    assert names({"status": ["exited"]}, all_=False) == ["db-1"]
    assert names({}, all_=False, limit=2) == ["db-2", "db-1"]


REFUSALS = [
    ({"foo": ["x"]}, "invalid filter 'foo'"),
    ({"status": ["x"]}, "invalid filter 'status=x'"),
    ({"exited": ["x"]}, "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
    ({"health": ["x"]}, "unrecognized filter value for health: x"),
    ({"is-task": ["x"]}, "invalid filter 'is-task=[x]'"),
]


@pytest.mark.parametrize(("filters", "text"), REFUSALS)
def test_a_filter_that_is_none(filters: dict[str, list[str]], text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        names(filters)
    assert str(caught.value) == text


def test_before_somebody_unknown() -> None:
    with pytest.raises(NoSuchContainer, match="No such container: x"):
        names({"before": ["x"]})


COMMANDS = [
    ("sleep", ["10"], "sleep 10"),
    ("sh", ["-c", "echo a b"], "sh -c 'echo a b'"),
]


@pytest.mark.parametrize(("path", "args", "text"), COMMANDS)
def test_a_command(path: str, args: list[str], text: str) -> None:
    assert listing.command_text(path, args) == text


def test_the_catalogue_finds_by_id_prefix_and_name() -> None:
    found = Catalog()
    first, second = container(0xAB << 248, "web"), container(0xAC << 248, "ab")
    for one in (first, second):
        found.add(one)
    wanted: list[tuple[str, Container]] = [
        (first.id, first), ("web", first), ("/web", first), (first.id[:12], first), ("ac", second), ("ab", second)
    ]  # fmt: skip
    for ref, one in wanted:
        assert found.get(ref) is one, ref
    with pytest.raises(Exception, match="multiple IDs found with provided prefix: a"):
        found.get("a")
    with pytest.raises(NoSuchContainer):
        found.get("nono")
