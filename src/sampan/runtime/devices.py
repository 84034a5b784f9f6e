"""Devices of a container: the nodes that /dev begins with, and which devices may be used at all.

Words.  *rule*: an OCI ``linux.resources.devices`` entry, "allow or deny type major:minor access"; read in order.
        *policy*: what a list of rules comes to: a default, and the exceptions from it.
Access. ``r`` read, ``w`` write, ``m`` mknod.

On cgroup v1 a policy is lines for ``devices.deny`` and ``devices.allow``; on v2 a program (linux/bpf.py) attached
to the cgroup. Both allow the same, and the same as runc under dockerd 26.1 (tests/peer/devices.json).

Source. cgroup-v1/devices.rst; OCI runtime-spec, config-linux.md; devices.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sampan.linux.bpf import ACCESS_MKNOD, ACCESS_READ, ACCESS_WRITE, DEVICE_BLOCK, DEVICE_CHAR, DeviceMatch

ANY: Final = -1
_RULE: Final = re.compile(r"([abc]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})", re.ASCII)


class Node(NamedTuple):
    """A device node: type "c" or "b", mode without the file type."""

    path: str
    type: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


DEFAULT_NODES: Final = (
    Node("/dev/null", "c", 1, 3),
    Node("/dev/zero", "c", 1, 5),
    Node("/dev/full", "c", 1, 7),
    Node("/dev/random", "c", 1, 8),
    Node("/dev/urandom", "c", 1, 9),
    Node("/dev/tty", "c", 5, 0),
)
DEFAULT_LINKS: Final = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


class Rule(NamedTuple):
    """One rule. ``type`` is "a" (all), "b" or "c"; ``major`` and ``minor`` may be ANY; ``access`` is out of "rwm"."""

    allow: bool
    type: str = "a"
    major: int = ANY
    minor: int = ANY
    access: str = "rwm"


DENY_ALL: Final = Rule(allow=False)
ALLOW_ALL: Final = Rule(allow=True)  # --privileged

# What runc lets every container do on top of its spec: make any node, use the default ones, terminals and tun.
RUNTIME_RULES: Final = (
    Rule(True, "c", ANY, ANY, "m"),
    Rule(True, "b", ANY, ANY, "m"),
    Rule(True, "c", 1, 3),
    Rule(True, "c", 1, 5),
    Rule(True, "c", 1, 7),
    Rule(True, "c", 1, 8),
    Rule(True, "c", 1, 9),
    Rule(True, "c", 5, 0),
    Rule(True, "c", 5, 1),  # /dev/console
    Rule(True, "c", 5, 2),  # /dev/ptmx
    Rule(True, "c", 136, ANY),  # /dev/pts/*
    Rule(True, "c", 10, 200),  # /dev/net/tun
)


class DeviceRuleError(ValueError):
    """A device rule that is malformed or that can't be expressed."""

    status = 400


class Policy(NamedTuple):
    """``exceptions`` maps (type, major, minor) to the accesses that differ from the default."""

    allow_by_default: bool
    exceptions: Mapping[tuple[str, int, int], frozenset[str]]


def parse_rule(text: str) -> Rule:
    """Return the rule of ``--device-cgroup-rule``: ``c 1:* rwm``.

    Raises:
        DeviceRuleError: not of that form; the text is dockerd's.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise DeviceRuleError(f"invalid device cgroup rule format: '{text}'")
    major, minor = (ANY if number == "*" else int(number) for number in match.group(2, 3))
    return Rule(True, match[1], major, minor, match[4])


def spec_rules(entries: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """Return the rules of an OCI ``linux.resources.devices`` list.

    Raises:
        DeviceRuleError: an entry with a type or access that is none.
    """
    rules = []
    for entry in entries:
        major, minor = (ANY if entry.get(key) is None else int(entry[key]) for key in ("major", "minor"))
        rule = Rule(bool(entry.get("allow")), entry.get("type") or "a", major, minor, entry.get("access") or "rwm")
        if rule.type not in {"a", "b", "c"} or not set(rule.access) <= set("rwm"):
            raise DeviceRuleError(f"invalid device rule: {dict(entry)}")
        rules.append(rule)
    return rules


def policy(rules: Iterable[Rule]) -> Policy:
    """Return what ``rules``, read in order from "allow all", come to.

    Raises:
        DeviceRuleError: a rule takes a part out of a broader exception, which cgroup v1 has no words for.
    """
    default = True
    exceptions: dict[tuple[str, int, int], frozenset[str]] = {}
    for rule in rules:
        if rule.type == "a":
            default = rule.allow
            exceptions.clear()
        elif rule.allow != default:
            key = (rule.type, rule.major, rule.minor)
            exceptions[key] = exceptions.get(key, frozenset()) | set(rule.access)
        else:
            _take_back(exceptions, rule)
    return Policy(default, {key: access for key, access in exceptions.items() if access})


def _take_back(exceptions: dict[tuple[str, int, int], frozenset[str]], rule: Rule) -> None:
    own = (rule.type, rule.major, rule.minor)
    for key, access in exceptions.items():
        if _covers(own, key):
            exceptions[key] = access - set(rule.access)
        elif _covers(key, own) and access & set(rule.access):
            raise DeviceRuleError(f"{rule} is a part of the broader rule {key} and can't be taken out of it")


def _covers(wide: tuple[str, int, int], narrow: tuple[str, int, int]) -> bool:
    return wide[0] == narrow[0] and all(w in (ANY, n) for w, n in zip(wide[1:], narrow[1:], strict=True))


def v1_lines(rules: Policy) -> list[tuple[str, str]]:
    """Return (file, line) pairs to write in order into a cgroup of the v1 devices controller."""
    first, other = ("allow", "deny") if rules.allow_by_default else ("deny", "allow")
    lines = [(f"devices.{first}", "a")]
    for (kind, major, minor), access in rules.exceptions.items():
        numbers = ":".join("*" if number == ANY else str(number) for number in (major, minor))
        lines.append((f"devices.{other}", f"{kind} {numbers} {_access_text(access)}"))
    return lines


def _access_text(access: frozenset[str]) -> str:
    return "".join(letter for letter in "rwm" if letter in access)


_ACCESS: Final = {"m": ACCESS_MKNOD, "r": ACCESS_READ, "w": ACCESS_WRITE}
_TYPES: Final = {"b": DEVICE_BLOCK, "c": DEVICE_CHAR}


def v2_matches(rules: Policy) -> list[DeviceMatch]:
    """Return the exceptions as `sampan.linux.bpf.device_program` takes them."""
    return [
        DeviceMatch(
            type=_TYPES[kind],
            access=sum(_ACCESS[letter] for letter in access),
            major=None if major == ANY else major,
            minor=None if minor == ANY else minor,
        )
        for (kind, major, minor), access in rules.exceptions.items()
    ]
