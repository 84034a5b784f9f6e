"""What a network is made of. Frozen values: the rows of the database, and what the mechanisms are handed.

Words.  *network*: what containers are connected to. *pool*: a subnet of it that addresses are given from. *endpoint*:
        one sandbox's place on one network: an interface with addresses. *sandbox*: the owner of a network namespace;
        its id is that of the container that it was made for. *publication*: an address and port of the host that lead
        to one of a sandbox.
Forms.  Addresses are texts: "172.18.0.2/16" where a prefix belongs to it, "172.18.0.1" where not; "" for none. IPv6
        compressed, in lower case. MAC addresses as "02:42:ac:12:00:02". Everything was validated before it became one
        of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

DEFAULT_NETWORK: Final = "bridge"  # the name of the network that containers get unless told otherwise
DEFAULT_BRIDGE: Final = "sampan0"  # its link on the host

# options of the bridge driver; the names are Docker's
OPTION_BRIDGE_NAME: Final = "com.docker.network.bridge.name"
OPTION_DEFAULT_BRIDGE: Final = "com.docker.network.bridge.default_bridge"
OPTION_MTU: Final = "com.docker.network.driver.mtu"
OPTION_MASQUERADE: Final = "com.docker.network.bridge.enable_ip_masquerade"
OPTION_ICC: Final = "com.docker.network.bridge.enable_icc"
OPTION_HOST_BINDING: Final = "com.docker.network.bridge.host_binding_ipv4"
OPTION_INTERFACE_PREFIX: Final = "com.docker.network.container_iface_prefix"
# options of macvlan and ipvlan
OPTION_PARENT: Final = "parent"
OPTION_MACVLAN_MODE: Final = "macvlan_mode"
OPTION_IPVLAN_MODE: Final = "ipvlan_mode"
OPTION_IPVLAN_FLAG: Final = "ipvlan_flag"


@dataclass(frozen=True, slots=True)
class Pool:
    """One subnet of a network."""

    subnet: str  # "172.18.0.0/16"
    gateway: str = ""  # "172.18.0.1"; "" where there is none (ipvlan l3, or a network without)
    ip_range: str = ""  # within the subnet: addresses are given from here only
    aux: dict[str, str] = field(default_factory=dict)  # name → address: never given

    @property
    def prefix(self) -> int:
        """Return the length of the subnet's prefix, in bits."""
        return int(self.subnet.rpartition("/")[2])

    def contains(self, address: str) -> bool:
        """Tell whether ``address`` (with or without a prefix) lies in the subnet."""
        one, net = ip_address(address.partition("/")[0]), ip_network(self.subnet)
        return one.version == net.version and one in net


@dataclass(frozen=True, slots=True)
class Network:
    """One network."""

    id: str  # 64 hexadecimal digits
    name: str
    driver: str = "bridge"  # bridge | host | null | macvlan | ipvlan
    created_ns: int = 0  # nanoseconds since 1970
    ipv4: tuple[Pool, ...] = ()
    ipv6: tuple[Pool, ...] = ()
    enable_ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)  # the driver's
    ipam_driver: str = "default"
    ipam_options: dict[str, str] = field(default_factory=dict)
    config_given: tuple[dict[str, Any], ...] = ()  # IPAM.Config as the user wrote it; inspect shows it
    config_only: bool = False  # only there to be copied from
    config_from: str = ""  # name of the network that it was copied from

    @property
    def bridge(self) -> str:
        """Return the name of its link on the host (networks of the bridge driver)."""
        if OPTION_BRIDGE_NAME in self.options:
            return self.options[OPTION_BRIDGE_NAME]
        return DEFAULT_BRIDGE if self.name == DEFAULT_NETWORK else f"br-{self.id[:12]}"

    def gateway(self, address: str) -> str:
        """Return the gateway of the pool that ``address`` lies in; "" when there is none."""
        return next((pool.gateway for pool in self.ipv4 + self.ipv6 if pool.contains(address)), "") if address else ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sandbox's place on one network. Its link on the host is `host_link`, in the sandbox ``interface``."""

    id: str  # 64 hexadecimal digits
    network_id: str
    sandbox_id: str
    interface: str = ""  # "eth0"; "" until it is plugged
    mac: str = ""
    ipv4: str = ""  # with the subnet's prefix: "172.18.0.2/16"
    ipv6: str = ""
    mac_given: bool = False  # the user chose it
    aliases: tuple[str, ...] = ()  # as the user gave them
    dns_names: tuple[str, ...] = ()  # every name that it is found by on this network
    links: tuple[str, ...] = ()  # "container:alias", as given
    priority: int = 0  # GwPriority: the highest has the default route
    options: dict[str, str] = field(default_factory=dict)  # DriverOpts of the connection

    @property
    def host_link(self) -> str:
        """Return the name of the host's end of its veth."""
        return f"veth{self.id[:7]}"


@dataclass(frozen=True, slots=True)
class Publication:
    """One published port. A target is an address of the sandbox on one network; "" where it has none of the family."""

    sandbox_id: str
    protocol: str  # tcp | udp | sctp
    host_ip: str  # "0.0.0.0", "::", or one address of the host
    host_port: int
    container_port: int
    target_ipv4: str = ""
    target_ipv6: str = ""
