"""Image references as the command line shows and splits them: ``[registry/]name[:tag][@digest]``."""

from __future__ import annotations

HEX = frozenset("0123456789abcdef")
MAX_TAG = 128  # characters
ID_LENGTH = 64  # hexadecimal digits of a SHA-256


def short_id(text: str) -> str:
    """An ID's first twelve digits, without its algorithm."""
    return text.rpartition(":")[2][:12] if text.startswith("sha256:") else text[:12]


def is_id(text: str) -> bool:
    """Whether `text` is a whole image ID, which no registry knows."""
    digits = text.removeprefix("sha256:")
    return len(digits) == ID_LENGTH and HEX.issuperset(digits)


def take_apart(text: str) -> tuple[str, str, str]:
    """(name, tag, digest); "" where there is none."""
    name, _, digest = text.partition("@")
    base, separator, tag = name.rpartition(":")
    if not separator or "/" in tag:
        return name, "", digest
    return base, tag, digest


def familiar_name(name: str) -> str:
    """`name` without the registry and the prefix that everybody leaves out."""
    for prefix in ("docker.io/library/", "docker.io/", "index.docker.io/library/", "index.docker.io/"):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def familiar(text: str) -> str:
    """A reference as messages show it: with the tag ``latest`` where there is neither tag nor digest."""
    name, tag, digest = take_apart(text)
    name = familiar_name(name)
    if digest:
        return f"{name}:{tag}@{digest}" if tag else f"{name}@{digest}"
    return f"{name}:{tag or 'latest'}"


def split(text: str) -> tuple[str, str]:
    """(name, tag or digest) as POST /images/create wants them: the name in full."""
    name, tag, digest = take_apart(text)
    return qualified(name), digest or tag or "latest"


def registry_of(name: str) -> str:
    """The registry of a name in full, or of a short one: what credentials are kept for."""
    return qualified(name).partition("/")[0]


def qualified(name: str) -> str:
    """`name` with its registry, and ``library/`` where Docker Hub's official images are meant."""
    first, separator, _ = name.partition("/")
    if not separator:
        return f"docker.io/library/{name}"
    if "." in first or ":" in first or first == "localhost":
        return name
    return f"docker.io/{name}"


def check(text: str) -> None:
    """Raises ValueError in Docker's words unless `text` is a reference or an image's ID."""
    name, tag, digest = take_apart(text)
    # Most are plain: no regular expression has to be compiled for them.
    plain_tag = not tag or (tag.isalnum() and tag.isascii() and len(tag) <= MAX_TAG)
    if is_id(text) or (_is_plain(name) and plain_tag and not digest) or _matches(name, tag, digest):
        return
    lower = name.lower()
    if lower != name and _matches(lower, tag, digest):
        path = familiar_name(qualified(name)) if "/" in name else f"library/{name}"
        raise ValueError(f"invalid reference format: repository name ({path}) must be lowercase")
    raise ValueError("invalid reference format")


def check_name(text: str) -> None:
    """Raises ValueError in Docker's words unless `text` is a reference; an ID is none, and no registry knows it."""
    if len(text) == ID_LENGTH and HEX.issuperset(text):
        raise ValueError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    check(text)


def _is_plain(text: str) -> bool:
    """Whether a short look is enough: lower-case words with slashes and single hyphens between them."""
    parts = text.split("/")
    return all(p.isalnum() and p.isascii() and p == p.lower() for part in parts for p in part.split("-"))


def _matches(name: str, tag: str, digest: str) -> bool:
    """The distribution specification's grammar."""
    import re

    part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
    label = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
    host = rf"(?:{label}(?:\.{label})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
    return (
        re.fullmatch(rf"(?:{host}/)?{part}(?:/{part})*", name) is not None
        and (not tag or re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII) is not None)
        and (
            not digest
            or re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}", digest) is not None
        )
    )
