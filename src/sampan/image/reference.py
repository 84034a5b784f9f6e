"""Names of images: Docker's reference grammar and its familiar short forms.

Words.  *name*: ``[domain/]path``. *reference*: name, then ``:tag`` and/or ``@digest``. *familiar*: as people type it
        (``busybox:latest``); *canonical*: in full (``docker.io/library/busybox:latest``).
Source. github.com/distribution/reference, its grammar (reference.go) and normalisation rules (normalize.go); the
        messages of errors are those that dockerd sends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from sampan.image import digest as digests
from sampan.image.errors import InvalidReference

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
NAME_LIMIT: Final = 255  # characters of a name with its domain

_LABEL: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE: Final = re.compile(rf"({_NAME})(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII)
_TAG_ONLY: Final = re.compile(_TAG, re.ASCII)
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")
_ID_PREFIX: Final = re.compile(r"(?:sha256:)?([a-f0-9]{1,64})")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. Only this module makes one, so its parts are known to be well-formed."""

    domain: str  # "docker.io", "localhost:5000"
    path: str  # "library/busybox"
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Canonical name without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """Name as people type it, without tag and digest: ``busybox``, ``user/app``, ``ghcr.io/a/b``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        official = self.path.removeprefix("library/")
        # "library/a/b" must keep its prefix: "a/b" would be another repository.
        return self.path if "/" in official else official

    @property
    def familiar(self) -> str:
        """Familiar form with tag and digest, as Docker lists it."""
        return self.familiar_name + self._suffix

    @property
    def canonical(self) -> str:
        """Full form with tag and digest."""
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def tagged(self) -> Reference:
        """Return it with the tag ``latest`` when it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def with_tag(self, tag: str) -> Reference:
        """Return it with another tag. Raises InvalidReference when that is none."""
        if not _TAG_ONLY.fullmatch(tag):
            raise InvalidReference("invalid tag format")
        return replace(self, tag=tag)

    def with_digest(self, digest: str) -> Reference:
        """Return the name pinned to a digest, without a tag."""
        return replace(self, tag=None, digest=digest)


def parse(text: str) -> Reference:
    """Parse and normalise a reference as typed: ``busybox`` is ``docker.io/library/busybox``.

    No tag is added (see :meth:`Reference.tagged`). Raises InvalidReference with Docker's words.
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReference(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    remote = remainder.partition(":")[0]
    if remote.lower() != remote:
        raise InvalidReference(f"invalid reference format: repository name ({remote}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None:
        raise InvalidReference("invalid reference format")
    name, tag, digest = match.groups()
    if len(name) > NAME_LIMIT:
        raise InvalidReference(f"repository name must not be more than {NAME_LIMIT} characters")
    if digest is not None:
        digests.parse(digest)
    # A first component without dot, port or "localhost" was given docker.io, so the split below is the grammar's.
    return Reference(domain, name[len(domain) + 1 :], tag, digest)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    looks_like_host = "." in first or ":" in first or first == "localhost" or first.lower() != first
    domain, remainder = (first, rest) if slash and looks_like_host else (DEFAULT_DOMAIN, text)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = "library/" + remainder
    return domain, remainder


def id_prefix(text: str) -> str | None:
    """Return the hex digits when ``text`` may be (the beginning of) an image ID, else None."""
    match = _ID_PREFIX.fullmatch(text)
    return match[1] if match else None
