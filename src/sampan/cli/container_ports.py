"""``--publish`` and ``--expose`` as the API's port maps."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Bindings = dict[str, list[dict[str, str]]]

PROTOCOLS = frozenset(("tcp", "udp", "sctp"))


def port_maps(publish: Sequence[str], expose: Sequence[str]) -> tuple[dict[str, dict[str, str]], Bindings]:
    """(ExposedPorts, PortBindings). Raises ValueError in Docker's words."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: Bindings = {}
    for text in publish:
        for port, binding in _published(_standard(text)):
            exposed.setdefault(port, {})
            bindings.setdefault(port, []).append(binding)
    for text in expose:
        if ":" in text:
            raise ValueError(f"invalid port format for --expose: {text}")
        ports, protocol = _split_protocol(text)
        try:
            first, last = _range(ports)
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {text}, error: {error}") from None
        for number in range(first, last + 1):
            exposed.setdefault(f"{number}/{protocol}", {})
    return exposed, bindings


def _standard(text: str) -> str:
    """The long form ``published=…,target=…`` as the short one."""
    if "=" not in text:
        return text
    fields = {"protocol": "tcp", "published": "", "target": ""}
    for field in text.split(","):
        key, separator, value = field.partition("=")
        if not separator or not key:
            raise ValueError(f"invalid publish opts format (should be name=value but got '{field}')")
        fields[key] = value
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def _published(text: str) -> list[tuple[str, dict[str, str]]]:
    address, _, container = text.rpartition(":")
    address, _, host = address.rpartition(":")
    ports, protocol = _split_protocol(container)
    address = _checked_address(address)
    if not ports:
        raise ValueError(f"no port specified: {text}<empty>")
    first, last = _named_range(ports, "containerPort")
    host_first, host_last = _named_range(host, "hostPort") if host else (0, 0)
    if host and last - first != host_last - host_first and last != first:
        raise ValueError(f"invalid ranges specified for container and host Ports: {ports} and {host}")
    if protocol.lower() not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    result = []
    for offset in range(last - first + 1):
        on_host = str(host_first + offset) if host else ""
        if first == last and host_first != host_last:
            on_host = f"{on_host}-{host_last}"
        result.append((f"{first + offset}/{protocol.lower()}", {"HostIp": address, "HostPort": on_host}))
    return result


def _checked_address(address: str) -> str:
    if address.startswith("["):
        address = address[1:].rstrip("]")
    if address:
        from sampan.cli.addresses import parse_ip

        if parse_ip(address) is None:
            raise ValueError(f"invalid IP address: {address}")
    return address


def _split_protocol(text: str) -> tuple[str, str]:
    ports, protocol, *_ = [*text.split("/"), ""]
    return ports, protocol or "tcp"


def _named_range(text: str, name: str) -> tuple[int, int]:
    try:
        return _range(text)
    except ValueError:
        raise ValueError(f"invalid {name}: {text}") from None


def _range(text: str) -> tuple[int, int]:
    from sampan.cli.kinds import integer

    if not text:
        raise ValueError("empty string specified for ports")
    first, separator, last = text.partition("-")
    start = integer(first, "ParseUint", 16, 10, signed=False)
    end = integer(last, "ParseUint", 16, 10, signed=False) if separator else start
    if end < start:
        raise ValueError(f"invalid range specified for port: {text}")
    return start, end
