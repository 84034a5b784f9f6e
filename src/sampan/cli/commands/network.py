"""Commands that change networks: create, connect, disconnect, rm, prune."""

from __future__ import annotations

from sampan.api.client.errors import ClientError, NotFound
from sampan.cli.container_flags import check_label, check_link
from sampan.cli.errors import CommandError, ExitStatus
from sampan.cli.kinds import BOOL, BOOL_TRUE, FILTER, INT, STRING, STRINGS, list_of, map_of, string_default
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

_PRUNE = (
    "WARNING! This will remove all custom networks not used by at least one container.\n"
    "Are you sure you want to continue?"
)
_INGRESS = (
    "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run the same docker "
    "engine version. Otherwise, removal may not be effective and functionality of newly create ingress networks will "
    "be impaired.\nAre you sure you want to continue?"
)


def create(session: Session, arguments: Arguments) -> int:
    """``sampan network create``."""
    try:
        body = create_body(arguments)
    except ValueError as error:
        raise CommandError(str(error)) from None
    session.line(session.client.create_network(body)["Id"])
    return 0


def create_body(arguments: Arguments) -> dict[str, Any]:
    """The request's JSON, as docker 28 sends it. Raises ValueError in Docker's words."""
    source = arguments["config-from"]
    body: dict[str, Any] = {
        "Name": arguments.rest[0],
        "Driver": arguments["driver"],
        "Scope": arguments["scope"],
        "IPAM": {
            "Driver": arguments["ipam-driver"],
            "Options": arguments["ipam-opt"] or {},
            "Config": _pools(arguments),
        },
        "Internal": arguments["internal"],
        "Attachable": arguments["attachable"],
        "Ingress": arguments["ingress"],
        "ConfigOnly": arguments["config-only"],
        "ConfigFrom": {"Network": source} if source else None,
        "Options": arguments["opt"] or {},
        "Labels": dict(text.partition("=")[::2] for text in arguments["label"] or ()),
    }
    for flag, name in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if flag in arguments.given:
            body[name] = arguments[flag]
    return body


def _pools(arguments: Arguments) -> list[dict[str, Any]]:
    subnets, ranges, gateways = (arguments[flag] or () for flag in ("subnet", "ip-range", "gateway"))
    aux = arguments["aux-address"] or {}
    if not (subnets or ranges or gateways or aux):
        return []
    from sampan.cli.network_pools import pools

    return pools(subnets, ranges, gateways, aux)


def connect(session: Session, arguments: Arguments) -> int:
    """``sampan network connect``."""
    network, container = arguments.rest
    session.client.connect_network(network, container, endpoint(arguments))
    return 0


def endpoint(arguments: Arguments) -> dict[str, Any]:
    """The EndpointConfig of a connection. Raises CommandError."""
    from sampan.cli.container_network import endpoint_settings

    wanted = (("IPv4Address", "ip"), ("IPv6Address", "ip6"), ("LinkLocalIPs", "link-local-ip"))
    return endpoint_settings(
        IPAMConfig={name: arguments[flag] for name, flag in wanted if arguments[flag]},
        Links=arguments["link"],
        Aliases=arguments["alias"] or [],
        DriverOpts=_driver_options(arguments["driver-opt"] or ()),
        GwPriority=arguments["gw-priority"],
    )


def _driver_options(texts: Iterable[str]) -> dict[str, str]:
    options = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise CommandError("invalid key/value pair format in driver options")
        options[name.strip()] = value.strip()
    return options


def disconnect(session: Session, arguments: Arguments) -> int:
    """``sampan network disconnect``."""
    network, container = arguments.rest
    session.client.disconnect_network(network, container, force=arguments["force"])
    return 0


def remove(session: Session, arguments: Arguments) -> int:
    """``sampan network rm``: what can't be removed is told, and the rest goes."""
    failed = False
    for name in arguments.rest:
        try:
            if not _may_go(session, name):
                continue
            session.client.remove_network(name)
        except ClientError as error:
            if not (arguments["force"] and isinstance(error, NotFound)):
                session.error_line(str(error))
                failed = True
            continue
        session.line(name)
    if failed:
        session.error_line("exit status 1")
        raise ExitStatus(1)
    return 0


def _may_go(session: Session, name: str) -> bool:
    """A swarm's routing mesh goes only after a question; what can't be looked at is left to the removal to report."""
    from sampan.cli.pruning import confirmed

    try:
        ingress = session.client.inspect_network(name).get("Ingress")
    except ClientError:
        return True
    return not ingress or confirmed(session, _INGRESS)


def prune(session: Session, arguments: Arguments) -> int:
    """``sampan network prune``."""
    from sampan.cli.pruning import confirmed, prune_filters

    filters = prune_filters(session, arguments["filter"])
    if not arguments["force"] and not confirmed(session, _PRUNE):
        return 0
    removed = session.client.prune_networks(filters).get("NetworksDeleted") or []
    if removed:
        session.out("Deleted Networks:\n" + "".join(f"{name}\n" for name in removed) + "\n")
    return 0


CREATE = Command(
    "create [OPTIONS] NETWORK",
    "Create a network",
    create,
    (
        Flag("attachable", BOOL, "Enable manual container attachment"),
        Flag("aux-address", map_of(), "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        Flag("config-from", STRING, "The network from which to copy the configuration"),
        Flag("config-only", BOOL, "Create a configuration only network"),
        Flag("driver", string_default("bridge"), "Driver to manage the Network", "d"),
        Flag("gateway", STRINGS, "IPv4 or IPv6 Gateway for the master subnet"),
        Flag("ingress", BOOL, "Create swarm routing-mesh network"),
        Flag("internal", BOOL, "Restrict external access to the network"),
        Flag("ip-range", STRINGS, "Allocate container ip from a sub-range"),
        Flag("ipam-driver", string_default("default"), "IP Address Management Driver"),
        Flag("ipam-opt", map_of(), "Set IPAM driver specific options"),
        Flag("ipv4", BOOL_TRUE, "Enable or disable IPv4 address assignment"),
        Flag("ipv6", BOOL, "Enable or disable IPv6 address assignment"),
        Flag("label", list_of(check_label), "Set metadata on a network"),
        Flag("opt", map_of(), "Set driver specific options", "o"),
        Flag("scope", STRING, "Control the network's scope"),
        Flag("subnet", STRINGS, "Subnet in CIDR format that represents a network segment"),
    ),
    minimum=1,
    maximum=1,
)
CONNECT = Command(
    "connect [OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    connect,
    (
        Flag("alias", STRINGS, "Add network-scoped alias for the container"),
        Flag("driver-opt", STRINGS, "driver options for the network"),
        Flag(
            "gw-priority",
            INT,
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        ),
        Flag("ip", STRING, 'IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", STRING, 'IPv6 address (e.g., "2001:db8::33")'),
        Flag("link", list_of(check_link), "Add link to another container"),
        Flag("link-local-ip", STRINGS, "Add a link-local address for the container"),
    ),
    minimum=2,
    maximum=2,
)
DISCONNECT = Command(
    "disconnect [OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    disconnect,
    (Flag("force", BOOL, "Force the container to disconnect from a network", "f"),),
    minimum=2,
    maximum=2,
)
RM = Command(
    "rm NETWORK [NETWORK...]",
    "Remove one or more networks",
    remove,
    (Flag("force", BOOL, "Do not error if the network does not exist", "f"),),
    aliases=("network rm", "network remove"),
    minimum=1,
    maximum=None,
)
PRUNE = Command(
    "prune [OPTIONS]",
    "Remove all unused networks",
    prune,
    (
        Flag("filter", FILTER, 'Provide filter values (e.g. "until=<timestamp>")'),
        Flag("force", BOOL, "Do not prompt for confirmation", "f"),
    ),
)
