"""``container prune``, ``image prune`` and ``system prune``.

Each kind's clean-up returns the bytes that it gave back, and the text that tells what went.
"""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import human_size
from sampan.cli.kinds import BOOL, FILTER
from sampan.cli.parser import Command, Flag
from sampan.cli.pruning import confirmed, prune_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

    Filters = dict[str, list[str]]
    Pruned = tuple[int, str]

_CONTINUE = "\nAre you sure you want to continue?"
_CONTAINERS = "WARNING! This will remove all stopped containers." + _CONTINUE
_DANGLING = "WARNING! This will remove all dangling images." + _CONTINUE
_ALL_IMAGES = "WARNING! This will remove all images without at least one container associated to them." + _CONTINUE


def container_prune(session: Session, arguments: Arguments) -> int:
    """``sampan container prune``."""
    filters = prune_filters(session, arguments["filter"])
    if arguments["force"] or confirmed(session, _CONTAINERS):
        _tell(session, *_containers(session, filters))
    return 0


def image_prune(session: Session, arguments: Arguments) -> int:
    """``sampan image prune``."""
    everything = arguments["all"]
    filters = prune_filters(session, arguments["filter"])
    if arguments["force"] or confirmed(session, _ALL_IMAGES if everything else _DANGLING):
        _tell(session, *_images(session, filters, everything=everything))
    return 0


def system_prune(session: Session, arguments: Arguments) -> int:
    """``sampan system prune``."""
    everything, volumes = arguments["all"], arguments["volumes"]
    given = arguments["filter"] or {}
    if volumes and "until" in given:
        raise CommandError('ERROR: The "until" filter is not supported with "--volumes"')
    if not arguments["force"] and not confirmed(session, _question(given, everything=everything, volumes=volumes)):
        return 0
    filters = prune_filters(session, given)
    done = [_containers(session, filters), _networks(session, filters)]
    if volumes:
        done.append(_named(session.client.prune("volumes", filters), "VolumesDeleted", "Deleted Volumes:"))
    done.append(_images(session, filters, everything=everything))
    caches = session.client.prune("build", filters, everything=everything)
    done.append(_named(caches, "CachesDeleted", "Deleted build cache objects:"))
    _tell(session, sum(size for size, _ in done), *(text for _, text in done))
    return 0


def _question(given: Filters, *, everything: bool, volumes: bool) -> str:
    what = ["all stopped containers", "all networks not used by at least one container"]
    what += ["all anonymous volumes not used by at least one container"] if volumes else []
    images = "all images without at least one container associated to them" if everything else "all dangling images"
    what += [images, "all build cache" if everything else "unused build cache"]
    lines = ["WARNING! This will remove:", *(f"  - {one}" for one in what), ""]
    if given:
        lines += ["  Items to be pruned will be filtered with:"]
        lines += sorted(f"  - {name}={value}" for name, values in given.items() for value in values)
        lines += [""]
    return "\n".join([*lines, "Are you sure you want to continue?"])


def _containers(session: Session, filters: Filters) -> Pruned:
    return _named(session.client.prune("containers", filters), "ContainersDeleted", "Deleted Containers:")


def _networks(session: Session, filters: Filters) -> Pruned:
    return _named(session.client.prune_networks(filters), "NetworksDeleted", "Deleted Networks:")


def _images(session: Session, filters: Filters, *, everything: bool) -> Pruned:
    dangling = "false" if everything else "true"
    answer = session.client.prune("images", {**filters, "dangling": [*filters.get("dangling", ()), dangling]})
    lines = [
        f"untagged: {one['Untagged']}" if one.get("Untagged") else f"deleted: {one['Deleted']}"
        for one in answer.get("ImagesDeleted") or ()
    ]
    return _listed(answer, lines, "Deleted Images:")


def _named(answer: dict[str, Any], key: str, title: str) -> Pruned:
    return _listed(answer, answer.get(key) or [], title)


def _listed(answer: dict[str, Any], lines: list[str], title: str) -> Pruned:
    text = "".join(f"{line}\n" for line in [title, *lines]) if lines else ""
    return answer.get("SpaceReclaimed") or 0, text


def _tell(session: Session, reclaimed: int, *texts: str) -> None:
    for text in filter(None, texts):
        session.line(text)
    session.line(f"Total reclaimed space: {human_size(reclaimed)}")


_FORCE = Flag("force", BOOL, "Do not prompt for confirmation", "f")
_FILTER = Flag("filter", FILTER, 'Provide filter values (e.g. "until=<timestamp>")')
CONTAINER_PRUNE = Command("prune [OPTIONS]", "Remove all stopped containers", container_prune, (_FILTER, _FORCE))
IMAGE_PRUNE = Command(
    "prune [OPTIONS]",
    "Remove unused images",
    image_prune,
    (Flag("all", BOOL, "Remove all unused images, not just dangling ones", "a"), _FILTER, _FORCE),
)
SYSTEM_PRUNE = Command(
    "prune [OPTIONS]",
    "Remove unused data",
    system_prune,
    (
        Flag("all", BOOL, "Remove all unused images not just dangling ones", "a"),
        Flag("filter", FILTER, 'Provide filter values (e.g. "label=<key>=<value>")'),
        _FORCE,
        Flag("volumes", BOOL, "Prune anonymous volumes"),
    ),
)
