"""What the networks refuse, in Docker's words; each error knows the HTTP status that Docker gives it.

* NetworkError                     HTTP
  x BadConfig                       400   addresses or ranges that are wrong in themselves
  x NotFound                        404
    - NoSuchNetwork(ref)            404
    - NoPoolLeft(version)           404   every subnet of the default ranges is used or routed
  x Refused                         403
    - PoolOverlap                   403   the subnet has addresses of another network
    - AddressInUse                  403
    - AddressOutside                403
    - NetworkInUse(…)               403   endpoints are left on it
    - AlreadyConnected(…)           403
  x Conflict                        409
    - NetworkNameTaken(name)        409
  x CannotReserve                   500   a gateway or auxiliary address that can't be kept back
  x NoAddressLeft(network, version) 500
"""

from __future__ import annotations

from typing import ClassVar


class NetworkError(Exception):
    """A request that can't be served; `str()` is Docker's message."""

    status: ClassVar[int] = 500  # HTTP


class BadConfig(NetworkError):
    """The request is wrong in itself."""

    status = 400


class NotFound(NetworkError):
    """What was asked for isn't there."""

    status = 404


class NoSuchNetwork(NotFound):
    """No network has this id or name."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"network {ref} not found")
        self.ref = ref


class NoPoolLeft(NotFound):
    """No subnet of the default ranges is free."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"could not find an available, non-overlapping IPv{version} address pool "
            "among the defaults to assign to the network"
        )
        self.version = version


class Refused(NetworkError):
    """The request is right in itself and can't be had."""

    status = 403


class PoolOverlap(Refused):
    """A subnet shares addresses with one of another network."""

    def __init__(self) -> None:
        super().__init__("Pool overlaps with other one on this address space")


class AddressInUse(Refused):
    """The address was given to another endpoint, or is kept back."""

    def __init__(self) -> None:
        super().__init__("Address already in use")


class AddressOutside(Refused):
    """The address lies in none of the network's subnets."""

    def __init__(self) -> None:
        super().__init__("Requested address is out of range")


class NetworkInUse(Refused):
    """Containers are connected to the network."""

    def __init__(self, name: str, network_id: str) -> None:
        super().__init__(f"error while removing network: network {name} id {network_id} has active endpoints")
        self.name, self.network_id = name, network_id


class AlreadyConnected(Refused):
    """The sandbox has an endpoint on the network."""

    def __init__(self, name: str, network: str) -> None:
        super().__init__(f"endpoint with name {name} already exists in network {network}")
        self.name, self.network = name, network


class Conflict(NetworkError):
    """The request doesn't fit what is there."""

    status = 409


class NetworkNameTaken(Conflict):
    """Another network has the name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"network with name {name} already exists")
        self.name = name


class CannotReserve(NetworkError):
    """A gateway or an auxiliary address is the subnet's own, or is named twice."""


class NoAddressLeft(NetworkError):
    """Every address of the network's subnets is given."""

    def __init__(self, name: str, network_id: str, version: int) -> None:
        super().__init__(f"no available IPv{version} addresses on this network's address pools: {name} ({network_id})")
        self.name, self.network_id, self.version = name, network_id, version
