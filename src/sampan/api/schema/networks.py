"""Networks as containers see them: endpoints, published ports, what inspect shows of both."""

from sampan.api.schema.base import Int64, Struct, Uint16, omitted, shown


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
