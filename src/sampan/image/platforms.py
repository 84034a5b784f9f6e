"""What images run on: ``os[/architecture[/variant]]``, as people write it and as images say it.

Words.  *platform*: operating system and architecture by Go's names, and the architecture's variant, or "".
Source. containerd's platforms (its grammar, names and messages), as dockerd 26.1 has it.
"""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sampan.image.errors import InvalidPlatform

_GOARCH: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "riscv64": "riscv64"}
_SYSTEMS: Final = frozenset(
    ("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
     "openbsd", "plan9", "solaris", "windows", "zos")
)  # fmt: skip
_ARCHITECTURES: Final = frozenset(
    ("386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64", "mips64le",
     "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64",
     "wasm")
)  # fmt: skip
_SYNONYMS: Final = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS: Final = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_SYSTEM: Final = re.compile(r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$")
_COMPONENT: Final = re.compile(r"^[A-Za-z0-9_-]+$")


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on; "" is not said."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def runs(self, image: Platform) -> bool:
        """Tell whether an image for another platform fits a wish for this one; what it doesn't say fits everything."""
        name, variant = normal(image.architecture, image.variant)
        said = ((self.os, image.os), (self.architecture, name))
        if any(wanted and there and wanted != there for wanted, there in said):
            return False
        return not name or Platform("", name, variant).version <= self.version

    @property
    def version(self) -> int:
        """Return the number of the variant, 7 for ``v7``: a machine runs what has a lower one."""
        text = (self.variant or _DEFAULT_VARIANTS.get(self.architecture, "v1")).removeprefix("v")
        return int(text) if text.isascii() and text.isdigit() else 0


def of(document: Mapping[str, object]) -> Platform:
    """Return what an image's configuration or an index says, as it says it."""
    os_name, architecture, variant = (document.get(key) for key in ("os", "architecture", "variant"))
    return Platform(*(one if isinstance(one, str) else "" for one in (os_name, architecture, variant)))


def host_architecture() -> str:
    """Return this machine's GOARCH name."""
    name = machine.machine()
    return _GOARCH.get(name, name)


def asked(text: str | None, architecture: str) -> Platform:
    """Parse what somebody asks for; the machine's ``architecture`` is meant where none is named.

    Raises InvalidPlatform in containerd's words.
    """
    return _parse(text, architecture) if text else Platform("linux", architecture)


def _parse(text: str, architecture: str) -> Platform:
    if "*" in text:
        raise InvalidPlatform(f'"{text}": wildcards not yet supported')
    parts = text.split("/")
    if len(parts) > 3:
        raise InvalidPlatform(f'"{text}": cannot parse platform specifier')
    system = _SYSTEM.match(parts[0])
    if system is None:
        raise InvalidPlatform(
            f'"{parts[0]}" is an invalid OS component of "{text}": OSAndVersion specifier component must match '
            f'"{_quoted(_SYSTEM)}"'
        )
    for part in parts[1:]:
        if not _COMPONENT.match(part):
            raise InvalidPlatform(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match '
                f'"{_quoted(_COMPONENT)}"'
            )
    if len(parts) == 1:
        return _alone(text, system[1].lower(), architecture)
    if len(parts) == 2:
        return Platform(system[1].lower(), *normal(parts[1]))
    name, variant = normal(parts[1], parts[2])
    return Platform(system[1].lower(), name, "v8" if name == "arm64" and not variant else variant)


def _alone(text: str, word: str, architecture: str) -> Platform:
    if word in _SYSTEMS:
        return Platform(word, architecture)
    name, variant = normal(word)
    if name not in _ARCHITECTURES:
        raise InvalidPlatform(f'"{text}": unknown operating system or architecture')
    return Platform("linux", name, variant)


def normal(architecture: str, variant: str = "") -> tuple[str, str]:
    """Return Go's name of an architecture, and its variant."""
    name, own = _SYNONYMS.get(architecture.lower(), (architecture.lower(), ""))
    variant = variant.lower() or own
    variant = f"v{variant}" if variant.isdigit() else variant
    return name, "" if (name, variant) in {("arm64", "v8"), ("amd64", "v1")} else variant


def _quoted(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.replace("\\", "\\\\")
