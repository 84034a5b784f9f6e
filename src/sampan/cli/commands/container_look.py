"""``top`` and ``port``."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import natural
from sampan.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

TOP_SIZES = (20, 3)  # minimum column width and padding


def top(session: Session, arguments: Arguments) -> int:
    """``sampan top``."""
    from sampan.cli.output.tabwriter import align

    answer = session.client.top(arguments.rest[0], " ".join(arguments.rest[1:]))
    lines = [answer.get("Titles") or [], *(answer.get("Processes") or [])]
    session.out(align("".join("\t".join(line) + "\n" for line in lines), *TOP_SIZES))
    return 0


def port(session: Session, arguments: Arguments) -> int:
    """``sampan port``."""
    container, wanted = arguments.rest[0], arguments.rest[1] if len(arguments.rest) > 1 else ""
    ports = session.client.inspect_container(container)["NetworkSettings"].get("Ports") or {}
    if wanted:
        lines = [_join(binding) for binding in _bindings(ports, wanted, container)]
    else:
        lines = [f"{inside} -> {_join(binding)}" for inside, all_of in ports.items() for binding in all_of or ()]
    if lines:
        session.line("\n".join(sorted(lines, key=natural)))
    return 0


def _bindings(ports: dict[str, list[dict[str, str]] | None], wanted: str, container: str) -> list[dict[str, str]]:
    from sampan.cli.kinds import integer

    number, _, protocol = wanted.partition("/")
    try:
        integer(number, "ParseUint", 16, 10, signed=False)
    except ValueError as error:
        raise CommandError(f"Error: invalid port ({number}): {error}") from None
    found = ports.get(f"{number}/{protocol or 'tcp'}")
    if not found:
        raise CommandError(f"Error: No public port '{wanted}' published for {container}")
    return found


def _join(binding: dict[str, str]) -> str:
    address = binding["HostIp"]
    return f"[{address}]:{binding['HostPort']}" if ":" in address else f"{address}:{binding['HostPort']}"


TOP = Command(
    "top CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    top,
    aliases=("container top", "top"),
    minimum=1,
    maximum=None,
    interspersed=False,
)
PORT = Command(
    "port CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    port,
    aliases=("container port", "port"),
    minimum=1,
    maximum=2,
)
