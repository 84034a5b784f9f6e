"""``inspect``, ``container inspect``, ``image inspect``, ``network inspect``."""

from __future__ import annotations

from sampan.api.client.errors import ClientError, NotFound
from sampan.cli.errors import CommandError
from sampan.cli.gotext import quote
from sampan.cli.kinds import BOOL, STRING
from sampan.cli.output.listing import INSPECT_FORMAT_HELP
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.api.client.client import Client
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

    Found = tuple[str, bytes]  # what kind of thing it is, and the daemon's JSON

TYPES = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
_PATHS = {
    "volume": "/volumes/{}",
    "service": "/services/{}?insertDefaults=true",
    "task": "/tasks/{}",
    "node": "/nodes/{}",
    "secret": "/secrets/{}",
    "plugin": "/plugins/{}/json",
    "config": "/configs/{}",
}
_SWARM = frozenset(("service", "task", "node", "secret", "config"))
_ORDER = ("container", "image", "network", "volume", "service", "task", "node", "secret", "plugin", "config")


def inspect(session: Session, arguments: Arguments) -> int:
    """``sampan inspect``: whatever has that name; containers first."""
    wanted = arguments["type"]
    if "type" in arguments.given and wanted not in TYPES:
        allowed = '"' + '", "'.join(TYPES) + '"'
        raise CommandError(
            f"{f'unknown type: {quote(wanted)}' if wanted else 'type is empty'}: must be one of {allowed}"
        )
    size = arguments["size"]

    def find(client: Client, name: str) -> Found:
        found = (wanted, _get(client, wanted, name, size=size)) if wanted else _search(client, name, size=size)
        if size and found[0] != "container":
            session.error_line(f"WARNING: --size ignored for {found[0]}")
        return found

    return _show(session, arguments, find)


def inspect_containers(session: Session, arguments: Arguments) -> int:
    """``sampan container inspect``."""
    size = arguments["size"]
    return _show(session, arguments, lambda client, name: ("container", _get(client, "container", name, size=size)))


def inspect_images(session: Session, arguments: Arguments) -> int:
    """``sampan image inspect``."""
    return _show(session, arguments, lambda client, name: ("image", _get(client, "image", name)))


def inspect_networks(session: Session, arguments: Arguments) -> int:
    """``sampan network inspect``."""
    verbose = arguments["verbose"]
    return _show(
        session, arguments, lambda client, name: ("network", client.inspect_network_raw(name, verbose=verbose))
    )


def _get(client: Client, kind: str, name: str, *, size: bool = False) -> bytes:
    from sampan.api.client.transport import quote as percent

    if kind == "container":
        return client.inspect_container_raw(name, size=size)
    if kind == "image":
        return client.inspect_image_raw(name)
    if kind == "network":
        return client.inspect_network_raw(name)
    return client.inspect_raw(_PATHS[kind].format(percent(name)))


def _search(client: Client, name: str, *, size: bool) -> Found:
    swarm: bool | None = None
    for kind in _ORDER:
        if kind in _SWARM:
            if swarm is None:
                swarm = bool((client.info().get("Swarm") or {}).get("ControlAvailable"))
            if not swarm:
                continue
        try:
            return kind, _get(client, kind, name, size=size)
        except ClientError as error:
            text = str(error)
            skip = isinstance(error, NotFound) or "not supported" in text or "invalid reference format" in text
            if not skip:
                raise
    raise ClientError(f"Error: No such object: {name}")


def _show(session: Session, arguments: Arguments, find: Callable[[Client, str], Found]) -> int:
    from sampan.cli.output.inspection import Inspector
    from sampan.cli.template import TemplateError

    inspector = Inspector(arguments["format"])
    client, problems = session.client, []
    for name in arguments.rest:
        try:
            inspector.add(*find(client, name))
        except ClientError as error:
            problems.append(str(error))
        except TemplateError as error:
            problems.append(f"template parsing error: {error}")
    session.out(inspector.text())
    if problems:
        raise CommandError("\n".join(problems))
    return 0


_FORMAT = Flag("format", STRING, INSPECT_FORMAT_HELP, "f")
INSPECT = Command(
    "inspect [OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on Docker objects",
    inspect,
    (
        _FORMAT,
        Flag("size", BOOL, "Display total file sizes if the type is container", "s"),
        Flag("type", STRING, "Only inspect objects of the given type"),
    ),
    minimum=1,
    maximum=None,
)
CONTAINER_INSPECT = Command(
    "inspect [OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    inspect_containers,
    (_FORMAT, Flag("size", BOOL, "Display total file sizes", "s")),
    minimum=1,
    maximum=None,
)
IMAGE_INSPECT = Command(
    "inspect [OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    inspect_images,
    (_FORMAT,),
    minimum=1,
    maximum=None,
)
NETWORK_INSPECT = Command(
    "inspect [OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    inspect_networks,
    (_FORMAT, Flag("verbose", BOOL, "Verbose output for diagnostics", "v")),
    minimum=1,
    maximum=None,
)
