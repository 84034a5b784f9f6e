"""``port``."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import natural
from sampan.cli.kinds import BOOL
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

_TITLES = ("PORT", "PUBLISHED", "WHO", "VERDICT", "RULE")
_FIELDS = ("Port", "Published", "Who", "Verdict", "Rule")


def port(session: Session, arguments: Arguments) -> int:
    """``sampan port``: what of the host leads to a container's ports; with --explain, who gets through and why."""
    container, wanted = arguments.rest[0], arguments.rest[1] if len(arguments.rest) > 1 else ""
    if arguments["explain"]:
        return _explain(session, container, wanted)
    ports = session.client.inspect_container(container)["NetworkSettings"].get("Ports") or {}
    if wanted:
        lines = [_join(binding) for binding in _bindings(ports, wanted, container)]
    else:
        lines = [f"{inside} -> {_join(binding)}" for inside, all_of in ports.items() for binding in all_of or ()]
    if lines:
        session.line("\n".join(sorted(lines, key=natural)))
    return 0


def _bindings(ports: dict[str, list[dict[str, str]] | None], wanted: str, container: str) -> list[dict[str, str]]:
    found = ports.get(_full(wanted))
    if not found:
        raise CommandError(f"Error: No public port '{wanted}' published for {container}")
    return found


def _full(wanted: str) -> str:
    """``80`` as ``80/tcp``. Raises CommandError for what is no port."""
    from sampan.cli.kinds import integer

    number, _, protocol = wanted.partition("/")
    try:
        integer(number, "ParseUint", 16, 10, signed=False)
    except ValueError as error:
        raise CommandError(f"Error: invalid port ({number}): {error}") from None
    return f"{number}/{protocol or 'tcp'}"


def _join(binding: dict[str, str]) -> str:
    address = binding["HostIp"]
    return f"[{address}]:{binding['HostPort']}" if ":" in address else f"{address}:{binding['HostPort']}"


def _explain(session: Session, container: str, wanted: str) -> int:
    from sampan.cli.output.tabwriter import TABLE, align

    only = _full(wanted) if wanted else ""
    rows = [row for row in _verdicts(session, container) if only in {"", row["Port"]}]
    if only and not rows:
        raise CommandError(f"Error: Port '{wanted}' is neither exposed nor published by {container}")
    lines = [_TITLES, *(tuple(row[field] or "-" for field in _FIELDS) for row in rows)]
    session.out(align("".join("\t".join(line) + "\n" for line in lines), *TABLE))
    return 0


def _verdicts(session: Session, container: str) -> list[dict[str, Any]]:
    from sampan.api.client.errors import NotFound
    from sampan.cli.errors import explain

    try:
        return session.client.explain_ports(container)
    except NotFound as error:
        if error.message != "page not found":
            raise
        raise explain(
            f"cannot explain the ports of {container}",
            f"the daemon at {session.client.address.text} is not a sampand that can",
            "the same without --explain, or a newer sampand",
        ) from None


PORT = Command(
    "port CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    port,
    (Flag("explain", BOOL, "Show who can reach each port, and which rule decides it"),),
    aliases=("container port", "port"),
    minimum=1,
    maximum=2,
)
