"""What can go wrong with images; every message is Docker's where Docker has one.

* ImageError                              HTTP
  - InvalidReference(text)                400  invalid reference format
  - InvalidChange(text)                   400  a bad ``--change`` of an import
  - BadArchive(reason)                    500  broken, half or hostile archive; the status is dockerd's
      - DigestMismatch                    500
          - LayerMismatch                 500
  - ImageNotFound(reference)              404  No such image: <reference>
      - AmbiguousId(prefix)               404  Docker answers an ambiguous prefix like an unknown one
  - InvalidPlatform(text)                 400  …: invalid argument
  - WrongPlatform(reference, …)           404  the image is there, for another platform
  - ImageConflict(reason)                 409  conflict: unable to delete …
  - MissingContent(what)                  500  a blob or layer that a row names is not on disk
"""

from __future__ import annotations

from typing import ClassVar


class ImageError(Exception):
    """Base of all errors of this room. ``status`` is the HTTP status that the API answers with.

    ``passing``: the same again may do better.
    """

    status: ClassVar[int] = 500
    passing = False


class InvalidReference(ImageError):
    """A name that Docker's reference grammar refuses."""

    status = 400


class InvalidChange(ImageError):
    """A ``--change`` instruction of an import that can't be applied."""

    status = 400


class BadArchive(ImageError):
    """An archive (of images, or of a layer) that is broken, cut short, or tries to leave its root."""


class DigestMismatch(BadArchive):
    """Bytes that do not have the digest they were announced with."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        """Name the thing (``layer``, ``blob`` …), the digest it should have and the one it has."""
        super().__init__(f"{what} verification failed: expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class LayerMismatch(DigestMismatch):
    """A layer whose plain bytes do not have the diff ID that its image's configuration gives it."""

    def __init__(self, index: int, expected: str, actual: str) -> None:
        """``index`` counts from the bottom, 0."""
        super().__init__(f"layer {index}", expected, actual)
        self.args = (f'invalid diffID for layer {index}: expected "{expected}", got "{actual}"',)


class ImageNotFound(ImageError):
    """No image has this name or ID."""

    status = 404

    def __init__(self, reference: str) -> None:
        """Remember what was asked for, in the words of the person who asked."""
        super().__init__(f"No such image: {reference}")
        self.reference = reference


class AmbiguousId(ImageNotFound):
    """Several images' IDs begin with this prefix. dockerd says "No such image" here, and so do we."""


class InvalidPlatform(ImageError):
    """What was asked for is no platform."""

    status = 400

    def __init__(self, text: str) -> None:
        super().__init__(f"{text}: invalid argument")


class WrongPlatform(ImageError):
    """The image is here, but for another platform than was asked for."""

    status = 404

    def __init__(self, reference: str, has: str, wanted: str) -> None:
        """Say it in dockerd's words; platforms are ``os/architecture[/variant]``."""
        super().__init__(
            f"image with reference {reference} was found but its platform ({has}) does not match the specified"
            f" platform ({wanted})"
        )


class ImageConflict(ImageError):
    """A removal that something else (a container, another name) stands against."""

    status = 409


class MissingContent(ImageError):
    """A blob or layer that should be on disk is not: damage, not a request's fault."""
