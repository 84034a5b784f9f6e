"""`docker ps`: which containers, in which order, in which words.

Source. dockerd 26.1's filters and texts (tests/unit/engine/test_listing.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.api import schema
from sampan.engine import inspection, places
from sampan.engine.errors import BadParameter
from sampan.engine.mounts import user_mounts
from sampan.engine.units import SECOND, human_duration
from sampan.image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.engine.catalog import Catalog
    from sampan.engine.container import Container
    from sampan.engine.contracts import Filters
    from sampan.engine.core import Core
    from sampan.image.store import Images
    from sampan.network.fabric import Fabric

STATUSES: Final = frozenset({"created", "running", "paused", "restarting", "removing", "exited", "dead"})
_HEALTH: Final = frozenset({"starting", "healthy", "unhealthy", "none"})
_KNOWN: Final = frozenset(
    {"ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "name", "network",
     "publish", "since", "status", "volume"}
)  # fmt: skip
_ALL_BY: Final = frozenset({"before", "since", "exited"})  # these look at stopped containers too


@dataclass(slots=True)
class Query:
    """What a list is asked for, checked."""

    all: bool
    tests: list[Callable[[Container], bool]] = field(default_factory=list)


def parse(catalog: Catalog, images: Images, fabric: Fabric, filters: Filters, *, all_: bool) -> Query:
    """Check filters. Raises BadParameter, NoSuchContainer."""
    for key in filters:
        if key not in _KNOWN:
            raise BadParameter(f"invalid filter '{key}'")
    query = Query(all_ or bool(_ALL_BY & filters.keys()))
    wanted = {key: values for key, values in filters.items() if values}
    if "status" in wanted:
        _check_status(wanted["status"])
        query.all = True
        query.tests.append(lambda one: one.status in wanted["status"])
    _add_simple(query, wanted)
    _add_networks(query, wanted, fabric)
    if "exited" in wanted:
        codes = {_number("exited", text) for text in wanted["exited"]}
        query.tests.append(lambda one: one.state.exit_code in codes and one.status == "exited")
    for key in ("before", "since"):
        if key in wanted:
            mark = [catalog.get(ref) for ref in wanted[key]][-1]
            query.tests.append(_older(mark) if key == "before" else _newer(mark))
    if "ancestor" in wanted:
        ids = _images(images, wanted["ancestor"])
        query.tests.append(lambda one: one.image_id in ids)
    return query


def _add_simple(query: Query, wanted: Filters) -> None:
    if "id" in wanted:
        query.tests.append(lambda one: any(one.id.startswith(text) for text in wanted["id"]))
    if "name" in wanted:
        query.tests.append(lambda one: any(matches(text, one.name) for text in wanted["name"]))
    if "label" in wanted:
        query.tests.append(lambda one: all(has_label(one.stored.config.labels or {}, text) for text in wanted["label"]))
    if "volume" in wanted:
        query.tests.append(lambda one: _has_volume(one, set(wanted["volume"])))
    if "health" in wanted:
        _check_health(wanted["health"])
        query.tests.append(lambda _one: "none" in wanted["health"])
    if "is-task" in wanted:
        flags = [_flag(text) for text in wanted["is-task"]]
        query.tests.append(lambda _one: False in flags)


def _add_networks(query: Query, wanted: Filters, fabric: Fabric) -> None:
    if "network" in wanted:
        query.tests.append(lambda one: any(_on_network(one, fabric, text) for text in wanted["network"]))
    if "expose" in wanted:
        exposed = _port_range("expose", wanted["expose"])
        query.tests.append(lambda one: bool(exposed & {*map(places.parse_port, one.stored.config.exposed_ports or {})}))
    if "publish" in wanted:
        published = _port_range("publish", wanted["publish"])
        query.tests.append(lambda one: bool(published & _published(one, fabric)))


def _published(container: Container, fabric: Fabric) -> set[tuple[int, str]]:
    sandbox = fabric.sandbox(container.id)
    ports = sandbox.publications if sandbox is not None else ()
    return {(one.host_port, one.protocol) for one in ports} | {(one.container_port, one.protocol) for one in ports}


def _port_range(key: str, texts: list[str]) -> set[tuple[int, str]]:
    """Return the ports of "80", "80-90/udp". Raises BadParameter."""
    found: set[tuple[int, str]] = set()
    for text in texts:
        ports, _, protocol = text.partition("/")
        first, _, last = ports.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise BadParameter(f"invalid filter '{key}={text}'")
        found |= {(number, protocol or "tcp") for number in range(int(first), int(last or first) + 1)}
    return found


def _check_status(values: list[str]) -> None:
    for value in values:
        if value not in STATUSES:
            raise BadParameter(f"invalid filter 'status={value}'")


def _check_health(values: list[str]) -> None:
    for value in values:
        if value not in _HEALTH:
            raise BadParameter(f"unrecognized filter value for health: {value}")


def _number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadParameter(f"invalid filter '{key}={text}': strconv.Atoi: parsing \"{text}\": invalid syntax") from None


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise BadParameter(f"invalid filter 'is-task=[{text}]'")
    return text.lower() in ("true", "1")


def matches(pattern: str, text: str) -> bool:
    """Docker's Match: a regular expression somewhere in the text (names with or without slash), or the text itself."""
    try:
        expression = re.compile(pattern)
    except re.error:
        return pattern == text
    return bool(expression.search(text) or expression.search("/" + text))


def has_label(labels: dict[str, str], wanted: str) -> bool:
    """Tell whether ``key`` or ``key=value`` is among the labels."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _on_network(container: Container, fabric: Fabric, wanted: str) -> bool:
    names = places.settings_of(container)
    return any(wanted == name or places.network_id(fabric, name).startswith(wanted) for name in names)


def _has_volume(container: Container, wanted: set[str]) -> bool:
    return any({mount.source, mount.destination} & wanted for mount in user_mounts(container.stored.host))


def _older(mark: Container) -> Callable[[Container], bool]:
    return lambda one: one.created < mark.created


def _newer(mark: Container) -> Callable[[Container], bool]:
    return lambda one: one.created > mark.created


def _images(images: Images, refs: list[str]) -> set[str]:
    """Return the ids of images and of those that stand on them; unknown ones match nothing."""
    found = set()
    for ref in refs:
        try:
            ancestor = images.resolve(ref)
        except ImageError:
            continue
        chain = ancestor.chain_ids
        found |= {one.id for one in images.list() if one.chain_ids[: len(chain)] == chain}
    return found


def select(containers: list[Container], query: Query, limit: int | None) -> list[Container]:
    """Return the containers that are asked for, newest first."""
    show_all = query.all or (limit is not None and limit > 0)
    found = [
        one for one in containers if (show_all or one.running) and all(test(one) for test in query.tests)
    ]  # fmt: skip
    found.sort(key=lambda one: (one.created, one.id), reverse=True)
    return found[:limit] if limit is not None and limit > 0 else found


def status_text(container: Container, now: int) -> str:
    """Return "Up 3 seconds", "Exited (0) 2 minutes ago", "Created"; ``now`` is in nanoseconds since 1970."""
    state = container.state
    if container.removing and not container.running:
        return "Removal In Progress"
    if state.status == "running":
        return f"Up {human_duration((now - state.started) / SECOND)}"
    if state.status == "exited":
        return f"Exited ({state.exit_code}) {human_duration((now - state.finished) / SECOND)} ago"
    return "Created"


def summary(core: Core, container: Container, now: int) -> schema.ContainerSummary:
    """Return one line of the list."""
    stored = container.stored
    networks = {
        name: msgspec.structs.replace(one, aliases=None, dns_names=None, driver_opts=None)
        for name, one in inspection.networks(core, container).items()
    }
    return schema.ContainerSummary(
        id=container.id,
        names=["/" + container.name],
        image=_image_name(container, core.images),
        image_id=container.image_id,
        command=command_text(stored.path, stored.args),
        created=container.created // SECOND,
        labels=stored.config.labels or {},
        state=container.status,
        status=status_text(container, now),
        host_config=schema.SummaryHostConfig(
            network_mode=stored.host.network_mode, annotations=stored.host.annotations
        ),
        ports=places.port_list(container, core.fabric.sandbox(container.id)),
        network_settings=schema.SummaryNetworkSettings(networks=networks),
        mounts=inspection.mount_points(container),
    )


def _image_name(container: Container, images: Images) -> str:
    """Return the name that it was made with while that still means its image, else the image's id."""
    name = container.stored.config.image
    try:
        return name if images.resolve(name).id == container.image_id else container.image_id
    except ImageError:
        return container.image_id


def command_text(path: str, args: list[str]) -> str:
    """Return the command as `ps` shows it: arguments with spaces in quotes."""
    return " ".join([path, *(f"'{arg}'" if " " in arg else arg for arg in args)])
