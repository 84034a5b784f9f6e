"""What ``rmi`` does: Docker's rules as a plan that is computed first and printed or carried out after.

Words.  *use*: a container that was made of the image. *single reference*: at most one tag, and all pinned names of the
        tag's repository. A name is removed by name; an image goes when its last name does, or by ID.
Source. moby daemon/images/image_delete.go: rules and messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sampan.image import reference
from sampan.image.errors import ImageConflict
from sampan.image.model import Image


class Use(NamedTuple):
    """A container that was made of an image."""

    container: str  # ID
    running: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """The plan: names to forget, and whether the image goes with them."""

    names: tuple[str, ...]
    delete: bool


def plan(image: Image, asked: str, uses: Sequence[Use], *, force: bool) -> Removal:
    """Decide what ``rmi asked`` does to ``image``. Raises ImageConflict with Docker's words."""
    if _is_id_prefix(image.id, asked):
        return _plan_by_id(image, uses, force=force)
    return _plan_by_name(image, asked, uses, force=force)


def _plan_by_id(image: Image, uses: Sequence[Use], *, force: bool) -> Removal:
    single = _is_single(image)
    if not single and not force:
        _check_running(image, uses)
        raise _conflict(image, "must be forced", "image is referenced in multiple repositories")
    _check_uses(image, uses, force=force)
    return Removal((*image.tags, *image.digests), delete=True)


def _plan_by_name(image: Image, asked: str, uses: Sequence[Use], *, force: bool) -> Removal:
    if not force and _is_single(image) and uses:
        raise ImageConflict(
            f'conflict: unable to remove repository reference "{asked}" (must force) - container'
            f" {uses[0].container[:12]} is using its referenced image {_short(image)}"
        )
    name = reference.parse(asked).tagged()
    removed = [f"{name.familiar_name}@{name.digest}" if name.digest else name.familiar]
    if name.digest and removed[0] not in image.digests:
        # It was loaded, not pulled, and found by the digest of its manifest: what it has there are tags.
        removed = [tag for tag in image.tags if _repository(tag) == name.familiar_name]
    if name.digest is None and not any(
        _repository(tag) == name.familiar_name for tag in image.tags if tag not in removed
    ):
        removed += [pinned for pinned in image.digests if _repository(pinned) == name.familiar_name]
    left = set(image.tags) | set(image.digests)
    if left - set(removed):
        return Removal(tuple(removed), delete=False)
    # As dockerd: an image still used goes nameless without complaint, since its name was what was asked for.
    return Removal(tuple(removed), delete=not any(use.running for use in uses) and (force or not uses))


def _check_uses(image: Image, uses: Sequence[Use], *, force: bool) -> None:
    _check_running(image, uses)
    if uses and not force:
        reason = f"image is being used by stopped container {uses[0].container[:12]}"
        raise _conflict(image, "must be forced", reason)


def _check_running(image: Image, uses: Sequence[Use]) -> None:
    for use in uses:
        if use.running:
            reason = f"image is being used by running container {use.container[:12]}"
            raise _conflict(image, "cannot be forced", reason)


def _conflict(image: Image, force: str, reason: str) -> ImageConflict:
    return ImageConflict(f"conflict: unable to delete {_short(image)} ({force}) - {reason}")


def _is_single(image: Image) -> bool:
    if len(image.tags) + len(image.digests) <= 1:
        return True
    if len(image.tags) > 1:
        return False
    repositories = {_repository(pinned) for pinned in image.digests}
    first = _repository((image.tags or image.digests)[0])
    return repositories == {first}


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def _is_id_prefix(image_id: str, text: str) -> bool:
    return image_id.startswith(text) or image_id.partition(":")[2].startswith(text)


def _short(image: Image) -> str:
    return image.id.partition(":")[2][:12]
