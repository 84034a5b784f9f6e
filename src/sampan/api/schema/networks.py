"""Networks, and how containers see them: endpoints, published ports, what inspect shows of both."""

from typing import Any

from sampan.api.schema.base import ZERO_TIME, Int64, Struct, Uint16, omitted, shown


class EndpointIPAMConfig(Struct):
    """Addresses that the user asked for."""

    ipv4_address: str = omitted("", "IPv4Address")
    ipv6_address: str = omitted("", "IPv6Address")
    link_local_ips: list[str] = omitted([], "LinkLocalIPs")


class EndpointSettings(Struct):
    """A container's place on one network: the wishes (first five fields) and what came of them."""

    ipam_config: EndpointIPAMConfig | None = shown(None, "IPAMConfig")
    links: list[str] | None = shown(None)
    aliases: list[str] | None = shown(None)
    mac_address: str = shown("")
    driver_opts: dict[str, str] | None = shown(None)
    gw_priority: Int64 = shown(0)
    """From API 1.48."""
    network_id: str = shown("", "NetworkID")
    endpoint_id: str = shown("", "EndpointID")
    gateway: str = shown("")
    ip_address: str = shown("", "IPAddress")
    ip_prefix_len: Int64 = shown(0, "IPPrefixLen")
    ipv6_gateway: str = shown("", "IPv6Gateway")
    global_ipv6_address: str = shown("", "GlobalIPv6Address")
    global_ipv6_prefix_len: Int64 = shown(0, "GlobalIPv6PrefixLen")
    dns_names: list[str] | None = shown(None, "DNSNames")
    """From API 1.44."""


class NetworkingConfig(Struct):
    """Networks that a container is created on, by name."""

    endpoints_config: dict[str, EndpointSettings] | None = shown(None)


class PortBinding(Struct):
    """An address of the host that leads to a port of the container; an empty port means any free one."""

    host_ip: str = shown("")
    host_port: str = shown("")


PortMap = dict[str, list[PortBinding] | None]
"""By container port ("80/tcp"); None: exposed, but not published."""


class Port(Struct):
    """One line of `docker ps`'s PORTS."""

    ip: str = omitted("", "IP")
    private_port: Uint16 = shown(0)
    public_port: Uint16 = 0
    type: str = shown("")


class Address(Struct):
    """A secondary address."""

    addr: str = shown("")
    prefix_len: Int64 = shown(0)


class NetworkSettings(Struct):
    """The network part of inspect. The single-network fields repeat those of the bridge network, if it is on it."""

    bridge: str = shown("")
    sandbox_id: str = shown("", "SandboxID")
    sandbox_key: str = shown("")
    ports: PortMap | None = shown({})
    hairpin_mode: bool = shown(False)
    link_local_ipv6_address: str = shown("", "LinkLocalIPv6Address")
    link_local_ipv6_prefix_len: Int64 = shown(0, "LinkLocalIPv6PrefixLen")
    secondary_ip_addresses: list[Address] | None = shown(None, "SecondaryIPAddresses")
    secondary_ipv6_addresses: list[Address] | None = shown(None, "SecondaryIPv6Addresses")
    endpoint_id: str = shown("", "EndpointID")
    gateway: str = shown("")
    global_ipv6_address: str = shown("", "GlobalIPv6Address")
    global_ipv6_prefix_len: Int64 = shown(0, "GlobalIPv6PrefixLen")
    ip_address: str = shown("", "IPAddress")
    ip_prefix_len: Int64 = shown(0, "IPPrefixLen")
    ipv6_gateway: str = shown("", "IPv6Gateway")
    mac_address: str = shown("")
    networks: dict[str, EndpointSettings] | None = shown({})


class SummaryNetworkSettings(Struct):
    """The network part of `ps`."""

    networks: dict[str, EndpointSettings] | None = shown({})


class IPAMConfig(Struct):
    """One pool of addresses: a subnet ("10.1.0.0/16"), and what of it is given out and kept back."""

    subnet: str = ""
    ip_range: str = omitted("", "IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = omitted({})
    """Addresses that are never given to a container, by a name of the user's."""


class IPAM(Struct):
    """Where a network's addresses come from; pools of IPv4 and IPv6 in one list."""

    driver: str = shown("")
    options: dict[str, str] | None = shown(None)
    config: list[IPAMConfig] | None = shown(None)


class ConfigReference(Struct):
    """The name of a config-only network."""

    network: str = shown("")


class NetworkContainer(Struct):
    """A container on a network; addresses with their prefix length ("10.1.0.2/16"), "" for none."""

    name: str = shown("")
    endpoint_id: str = shown("", "EndpointID")
    mac_address: str = shown("")
    ipv4_address: str = shown("", "IPv4Address")
    ipv6_address: str = shown("", "IPv6Address")


class PeerInfo(Struct):
    """A node of an overlay network."""

    name: str = shown("")
    ip: str = shown("", "IP")


class NetworkResource(Struct):
    """A network, as listed and inspected. `containers` is filled by inspect only, by the containers' IDs."""

    name: str = shown("")
    id: str = shown("")
    created: str = shown(ZERO_TIME)
    scope: str = shown("local")
    driver: str = shown("")
    enable_ipv4: bool = shown(True, "EnableIPv4")
    """From API 1.48."""
    enable_ipv6: bool = shown(False, "EnableIPv6")
    ipam: IPAM = shown(IPAM(), "IPAM")
    internal: bool = shown(False)
    attachable: bool = shown(False)
    ingress: bool = shown(False)
    config_from: ConfigReference = shown(ConfigReference())
    config_only: bool = shown(False)
    containers: dict[str, NetworkContainer] | None = shown({})
    options: dict[str, str] | None = shown({})
    labels: dict[str, str] | None = shown({})
    peers: list[PeerInfo] = omitted([])
    services: dict[str, Any] = omitted({})


class NetworkCreateRequest(Struct):
    """The body of POST /networks/create; an empty driver means "bridge"."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = omitted(None, "EnableIPv4")
    """From API 1.48; None: the daemon's default."""
    enable_ipv6: bool | None = omitted(None, "EnableIPv6")
    ipam: IPAM | None = omitted(None, "IPAM")
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkCreated(Struct):
    """The answer to a creation."""

    id: str = shown("")
    warning: str = shown("")


class NetworkConnect(Struct):
    """The body of POST /networks/{id}/connect."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Struct):
    """The body of POST /networks/{id}/disconnect."""

    container: str = ""
    force: bool = False


class NetworksPruned(Struct):
    """The names of the networks that were removed."""

    networks_deleted: list[str] | None = shown(None)


class PortVerdict(Struct):
    """Sampan's own: whether somebody reaches a port of a container, and which rule decides it."""

    port: str = shown("")
    """The container's: "80/tcp"."""
    published: str = shown("")
    """The host's: "0.0.0.0:8080"; "" for none."""
    who: str = shown("")
    """"other machines", "this machine by 127.0.0.1", "containers of network x" …"""
    verdict: str = shown("")
    """"yes", "no", or "only if …"."""
    rule: str = shown("")
    """The rule, in its own words, and whose it is."""
