"""Docker's rules for rmi, one by one, as plans."""

import pytest

from sampan.image.errors import ImageConflict
from sampan.image.model import Image
from sampan.image.removal import Removal, Use, plan

ID = "sha256:" + "ab" * 32
SHORT = "ab" * 6
PIN, OTHER_PIN = "app@sha256:" + "1" * 64, "x/app@sha256:" + "2" * 64
STOPPED, RUNNING = Use("c" * 64, False), Use("d" * 64, True)


def image(*names: str) -> Image:
    return Image(
        id=ID, config={}, size=0, diff_ids=(), chain_ids=(), layer_sizes=(), blobs=(), manifest=None, tagged_ns=0,
        tags=tuple(name for name in names if "@" not in name), digests=tuple(name for name in names if "@" in name),
    )  # fmt: skip


PLANS = [
    # names, asked, uses, force, names that go, whether the image goes
    (["app:1"], "app:1", [], False, ["app:1"], True),
    (["app:1", "app:2"], "app:1", [], False, ["app:1"], False),
    (["app:1", "app:2"], "app:1", [RUNNING], False, ["app:1"], False),
    (["app:latest"], "app", [], False, ["app:latest"], True),
    (["app:1"], SHORT, [], False, ["app:1"], True),
    (["app:1"], ID, [], False, ["app:1"], True),
    ([], SHORT, [], False, [], True),
    (["app:1", "app:2"], SHORT, [], True, ["app:1", "app:2"], True),
    (["app:1"], "app:1", [STOPPED], True, ["app:1"], True),
    (["app:1"], "app:1", [RUNNING], True, ["app:1"], False),
    (["app:1"], SHORT, [STOPPED], True, ["app:1"], True),
    (["app:1", PIN], "app:1", [], False, ["app:1", PIN], True),
    (["app:1", PIN], SHORT, [], False, ["app:1", PIN], True),
    (["app:1", "app:2", PIN], "app:1", [], False, ["app:1"], False),
    (["app:1", PIN, OTHER_PIN], "app:1", [], False, ["app:1", PIN], False),
    (["app:1", PIN], PIN, [], False, [PIN], False),
    ([PIN], PIN, [], False, [PIN], True),
    (["app:1", "app:2"], PIN, [], False, ["app:1", "app:2"], True),
    (["app:1", "x/app:1"], PIN, [], False, ["app:1"], False),
    ([PIN], SHORT, [], False, [PIN], True),
]

USED = (
    'conflict: unable to remove repository reference "app:1" (must force) - container cccccccccccc is using its'
    f" referenced image {SHORT}"
)
CONFLICTS = [
    (["app:1", "app:2"], SHORT, [], False,
     f"conflict: unable to delete {SHORT} (must be forced) - image is referenced in multiple repositories"),
    (["app:1", "x/app:1"], ID, [], False,
     f"conflict: unable to delete {SHORT} (must be forced) - image is referenced in multiple repositories"),
    (["app:1", OTHER_PIN], ID, [], False,
     f"conflict: unable to delete {SHORT} (must be forced) - image is referenced in multiple repositories"),
    (["app:1"], "app:1", [STOPPED], False,
     USED),
    (["app:1"], SHORT, [STOPPED], False,
     f"conflict: unable to delete {SHORT} (must be forced) - image is being used by stopped container cccccccccccc"),
    (["app:1"], SHORT, [STOPPED, RUNNING], True,
     f"conflict: unable to delete {SHORT} (cannot be forced) - image is being used by running container dddddddddddd"),
    (["app:1", "app:2"], SHORT, [RUNNING], True,
     f"conflict: unable to delete {SHORT} (cannot be forced) - image is being used by running container dddddddddddd"),
    ([], SHORT, [RUNNING], False,
     f"conflict: unable to delete {SHORT} (cannot be forced) - image is being used by running container dddddddddddd"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "asked", "uses", "force", "gone", "delete"), PLANS)
def test_plans(names: list[str], asked: str, uses: list[Use], force: bool, gone: list[str], delete: bool) -> None:
    assert plan(image(*names), asked, uses, force=force) == Removal(tuple(gone), delete)


@pytest.mark.parametrize(("names", "asked", "uses", "force", "message"), CONFLICTS)
def test_conflicts(names: list[str], asked: str, uses: list[Use], force: bool, message: str) -> None:
    with pytest.raises(ImageConflict) as caught:
        plan(image(*names), asked, uses, force=force)
    assert str(caught.value) == message
    assert caught.value.status == 409
