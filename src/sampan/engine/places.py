"""A container's places on networks: from what the API was told to wishes, ports and what inspect shows of them.

Words.  *settings*: the API's EndpointSettings of one network, kept with the container, by the network's name. *mode*:
        HostConfig.NetworkMode: the network that the container is created on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from sampan.api import schema
from sampan.engine.errors import BadParameter, Conflict
from sampan.network import pools
from sampan.network.errors import BadConfig, NoSuchNetwork
from sampan.network.model import DEFAULT_NETWORK
from sampan.network.ports import Binding
from sampan.network.predefined import PREDEFINED
from sampan.network.sandbox import Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sampan.engine.catalog import Catalog
    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.network.fabric import Fabric
    from sampan.network.model import Endpoint, Network
    from sampan.network.sandbox import Sandbox

SHARED: Final = "container:"
_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})
_LAST_PORT: Final = 65535


def has_own_network(mode: str) -> bool:
    """Tell whether a container of this mode has a network namespace that is plugged into networks."""
    return mode not in ("none", "host") and not mode.startswith(SHARED)


# --- for a creation ---------------------------------------------------------------------------------------------------


def settle(core: Core, body: schema.ContainerCreate) -> schema.NetworkingConfig:
    """Fill in network mode and links, in place, and return the settings by network, the mode's own first.

    Raises BadParameter, BadConfig: what is asked for isn't possible. (A network or a container to share with that isn't
    there yet is told at the start.)
    """
    host = body.host_config
    _settle_mode(core.catalog, host)
    host.links = _settle_links(core.catalog, host)
    _check_ports(host)
    given = {DEFAULT_NETWORK if name == "default" else name: one for name, one in _given(body.networking_config)}
    if not host.network_mode.startswith(SHARED):
        own = given.pop(host.network_mode, None) or schema.EndpointSettings()
        own.mac_address = own.mac_address or body.mac_address
        given = {host.network_mode: own, **given}
    for name, one in given.items():
        if (network := _find(core.fabric, name)) is not None:
            _check_new(network, one)
    return schema.NetworkingConfig(endpoints_config=given)


def _settle_mode(catalog: Catalog, host: schema.HostConfig) -> None:
    mode = host.network_mode or "default"
    host.network_mode = DEFAULT_NETWORK if mode == "default" else mode
    if mode == SHARED:
        raise BadParameter("Invalid network mode: invalid container format container:<name|id>")
    if mode.startswith(SHARED) and (other := catalog.find(mode.removeprefix(SHARED))) is not None:
        host.network_mode = SHARED + other.id


def _settle_links(catalog: Catalog, host: schema.HostConfig) -> list[str] | None:
    """Return the links of HostConfig with ids for names, each with its alias."""
    found = []
    for name, alias in links(host):
        other = catalog.find(name)
        if other is None:
            raise BadParameter(f"could not get container for {name}: No such container: {name}")
        found.append(f"{other.id}:{alias or other.name}")
    return found or None


def links(host: schema.HostConfig) -> list[tuple[str, str]]:
    """Return the links on the default bridge: (name or id, alias)."""
    parts = [text.partition(":") for text in host.links or []]
    return [(name.removeprefix("/"), alias.rpartition("/")[2]) for name, _, alias in parts]


def _check_ports(host: schema.HostConfig) -> None:
    """Refuse ports of the container or the host that are no numbers. Protocols are looked at when it starts."""
    for port, asked in (host.port_bindings or {}).items():
        number = port.partition("/")[0]
        _number(number, number)
        for one in asked or []:
            _binding(0, "", one)


def _check_new(network: Network, settings: schema.EndpointSettings) -> None:
    try:
        _check(network, settings)
    except BadConfig as error:
        raise BadParameter(f"invalid config for network {network.name}: {error}") from None


def _check(network: Network, settings: schema.EndpointSettings) -> None:
    ipam = settings.ipam_config or schema.EndpointIPAMConfig()
    pools.check_endpoint(
        network,
        ipv4=ipam.ipv4_address,
        ipv6=ipam.ipv6_address,
        link_local=ipam.link_local_ips or (),
        aliases=settings.aliases or (),
        mac=settings.mac_address,
    )


def _find(fabric: Fabric, name: str) -> Network | None:
    try:
        return fabric.find(name)
    except NoSuchNetwork:
        return None


def _given(networking: schema.NetworkingConfig) -> Iterable[tuple[str, schema.EndpointSettings]]:
    for name, one in (networking.endpoints_config or {}).items():
        yield name, msgspec.structs.replace(one) if one is not None else schema.EndpointSettings()


def settings_of(container: Container) -> dict[str, schema.EndpointSettings]:
    """Return a container's settings by network."""
    found = container.stored.networking.endpoints_config
    mode = container.stored.host.network_mode
    if found is None:
        return {} if mode.startswith(SHARED) else {mode: schema.EndpointSettings()}
    return found


# --- for a start ------------------------------------------------------------------------------------------------------


def dns_names(container: Container, settings: schema.EndpointSettings) -> tuple[str, ...]:
    """Return the names that a container is found by on a network, in dockerd's order."""
    names = [container.name, *(settings.aliases or []), container.short_id]
    if container.stored.config.hostname:
        names.append(container.stored.config.hostname)
    return tuple(dict.fromkeys(names))


def namer(fabric: Fabric, container: Container) -> Callable[[Endpoint], tuple[str, ...]]:
    """Return what tells the names of a container by its endpoint."""
    settings = settings_of(container)

    def names(endpoint: Endpoint) -> tuple[str, ...]:
        network = fabric.networks[endpoint.network_id]
        return dns_names(container, settings.get(network.name) or schema.EndpointSettings())

    return names


def wish(container: Container, network: Network, settings: schema.EndpointSettings) -> Wish:
    """Return a wish. Raises BadConfig: what is asked for isn't possible on the network."""
    _check(network, settings)
    _check_mac(settings.mac_address)
    ipam = settings.ipam_config or schema.EndpointIPAMConfig()
    return Wish(
        network,
        ipam.ipv4_address,
        ipam.ipv6_address,
        settings.mac_address.lower().replace("-", ":"),
        tuple(settings.aliases or ()),
        dns_names(container, settings),
        tuple(settings.links or ()),
        settings.gw_priority,
        settings.driver_opts or {},
    )


def _check_mac(text: str) -> None:
    """Refuse what is the address of many, or of none. Raises BadParameter."""
    digits = text.replace(":", "").replace("-", "").lower()
    if digits and (set(digits) == {"0"} or digits[1] in "13579bdf"):
        raise BadParameter(f"invalid MAC address {text}: it is not the address of one link")


def wishes(fabric: Fabric, container: Container) -> list[Wish]:
    """Return the wishes of a container, that of its mode first. Raises NoSuchNetwork, BadConfig."""
    found = []
    for name, settings in settings_of(container).items():
        network = fabric.find(name)
        if network.config_only:
            raise BadParameter(f"cannot connect to a configuration-only network {network.name}")
        found.append(wish(container, network, settings))
    return found


def bindings(config: schema.ContainerConfig, host: schema.HostConfig) -> list[Binding]:
    """Return the ports to publish: those that are exposed and bound, or with -P all exposed ones.

    Raises BadParameter.
    """
    bound = host.port_bindings or {}
    found = []
    for port in sorted(config.exposed_ports or {}, key=_order):
        number, protocol = parse_port(port)
        asked = bound.get(port) or []
        if not asked and host.publish_all_ports:
            asked = [schema.PortBinding()]
        found += [_binding(number, protocol, one) for one in asked]
    return found


def _order(port: str) -> tuple[int, str]:
    number, protocol = parse_port(port)
    return number, protocol


def parse_port(text: str) -> tuple[int, str]:
    """Return number and protocol of "80/tcp"; without a protocol it is TCP. Raises BadParameter."""
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise BadParameter(f"invalid port specification: {text}: unknown protocol {protocol}")
    return _number(number, text), protocol


def _number(text: str, shown: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _LAST_PORT:
        raise BadParameter(f'invalid port specification: "{shown}"')
    return int(text)


def _binding(number: int, protocol: str, one: schema.PortBinding) -> Binding:
    first, _, last = one.host_port.partition("-")
    low = _number(first, one.host_port) if first else 0
    high = _number(last, one.host_port) if last else low
    return Binding(protocol, number, one.host_ip, low, high)


def shared_with(catalog: Catalog, mode: str) -> Container:
    """Return the container whose network is shared. Raises NoSuchContainer, Conflict: it does not run."""
    other = catalog.get(mode.removeprefix(SHARED))
    if other.run is None:
        raise Conflict(f"cannot join network of a non running container: {other.id}")
    return other


# --- for inspect ------------------------------------------------------------------------------------------------------


def network_id(fabric: Fabric, name: str) -> str:
    """Return the id of a network; "" when it is gone."""
    network = _find(fabric, name)
    return network.id if network is not None else ""


def endpoint_settings(
    fabric: Fabric, container: Container, sandbox: Sandbox | None
) -> dict[str, schema.EndpointSettings]:
    """Return a container's places by network, as inspect shows them."""
    shown = {}
    for name, asked in settings_of(container).items():
        one = msgspec.structs.replace(asked, mac_address=asked.mac_address if not container.state.started else "")
        if container.state.started or container.running:
            one.network_id = network_id(fabric, name)
            if one.network_id and (name not in PREDEFINED):
                one.dns_names = list(dns_names(container, asked))
        endpoint = sandbox.endpoints.get(one.network_id) if sandbox is not None else None
        if endpoint is not None:
            _fill(one, fabric.networks[endpoint.network_id], endpoint)
            if name in PREDEFINED and container.renamed:
                one.dns_names = [container.name, container.short_id]
        shown[name] = one
    return shown


def _fill(shown: schema.EndpointSettings, network: Network, one: Endpoint) -> None:
    shown.endpoint_id = one.id
    shown.mac_address = one.mac
    shown.ip_address, shown.ip_prefix_len = _split(one.ipv4)
    shown.global_ipv6_address, shown.global_ipv6_prefix_len = _split(one.ipv6)
    shown.gateway = network.gateway(one.ipv4) if not network.internal else ""
    shown.ipv6_gateway = network.gateway(one.ipv6) if not network.internal else ""


def _split(address: str) -> tuple[str, int]:
    bare, _, prefix = address.partition("/")
    return bare, int(prefix or 0)


def port_map(container: Container, sandbox: Sandbox | None) -> dict[str, list[schema.PortBinding] | None]:
    """Return the ports by container port, as inspect shows them."""
    if sandbox is None:
        return {}
    shown: dict[str, list[schema.PortBinding] | None] = {
        port if "/" in port else f"{port}/tcp": None for port in sorted(container.stored.config.exposed_ports or {})
    }
    for one in sorted(sandbox.publications, key=lambda one: (one.container_port, one.protocol, -one.host_port)):
        listed = shown.setdefault(f"{one.container_port}/{one.protocol}", None) or []
        shown[f"{one.container_port}/{one.protocol}"] = [
            *listed, schema.PortBinding(host_ip=one.host_ip, host_port=str(one.host_port))
        ]  # fmt: skip
    return shown


def port_list(container: Container, sandbox: Sandbox | None) -> list[schema.Port]:
    """Return the ports as ``ps`` shows them."""
    if sandbox is None:
        return []
    published = [
        schema.Port(ip=one.host_ip, private_port=one.container_port, public_port=one.host_port, type=one.protocol)
        for one in sandbox.publications
    ]
    has = {(one.private_port, one.type) for one in published}
    exposed = [parse_port(port) for port in container.stored.config.exposed_ports or {}]
    rest = [
        schema.Port(private_port=number, type=protocol) for number, protocol in exposed if (number, protocol) not in has
    ]
    return sorted([*published, *rest], key=lambda one: (not one.ip, one.ip, one.private_port, one.type))


def gateways(fabric: Fabric, places: Sequence[tuple[Network, Endpoint]]) -> list[str]:
    """Return what host-gateway stands for: the host's addresses on the default bridge."""
    default = fabric.find(DEFAULT_NETWORK)
    return [pool.gateway for pool in (*default.ipv4, *default.ipv6) if pool.gateway] if places else []
