"""IP addresses as Docker's client reads them: Go's net.ParseIP, which takes no zone, and net.ParseCIDR."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(text: str) -> Address | None:
    """An address, IPv4 in IPv6 as IPv4; None for what is none."""
    address = _parse(text)
    return getattr(address, "ipv4_mapped", None) or address


def parse_cidr(text: str) -> tuple[Address, int]:
    """The address and prefix length of ``address/length``. Raises ValueError in Go's words."""
    left, separator, right = text.partition("/")
    address, length = _parse(left), int(right) if right.isascii() and right.isdecimal() else -1
    if not separator or address is None or not 0 <= length <= address.max_prefixlen:
        raise ValueError(f"invalid CIDR address: {text}")
    plain = parse_ip(left)
    if plain is not None and plain.version != address.version and length >= 96:
        return plain, length - 96
    return address, length


def _parse(text: str) -> Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None
