"""Capabilities: dockerd's answers (tests/peer/capabilities.json), names, numbers, masks."""

import json
from pathlib import Path

import pytest

from sampan.runtime.capabilities import DEFAULT, NAMES, NUMBERS, CapabilityError, mask, names, tweak, usable

PEER = json.loads((Path(__file__).parents[2] / "peer" / "capabilities.json").read_text())


@pytest.mark.parametrize("case", PEER["cases"], ids=[f"{case['add']}-{case['drop']}" for case in PEER["cases"]])
def test_add_and_drop_come_to_what_dockerd_gives(case: dict[str, list[str]]) -> None:
    available = names(int(PEER["available"], 16))
    try:
        answer = f"{mask(tweak(case['add'], case['drop'], available)):016x}"
    except CapabilityError as error:
        answer = f"error: {error}"
    assert answer == case["answer"]


def test_a_capability_that_the_machine_withholds_cannot_be_added() -> None:
    available = [name for name in NAMES if name != "CAP_SYS_RESOURCE"]
    text = (
        "invalid CapAdd: capability not supported by your kernel or not available in the current environment: "
        '"CAP_SYS_RESOURCE"'
    )
    with pytest.raises(CapabilityError) as caught:
        tweak(["sys_resource"], [], available)
    assert (str(caught.value), caught.value.status) == (text, 400)
    assert "CAP_SYS_RESOURCE" not in tweak(["ALL"], [], available)


def test_what_is_not_usable_is_not_given_by_default() -> None:
    assert "CAP_MKNOD" not in tweak([], [], [name for name in NAMES if name != "CAP_MKNOD"])


def test_numbers_are_the_kernels() -> None:
    some = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_CHECKPOINT_RESTORE": 40}
    assert {name: NUMBERS[name] for name in some} == some
    assert (len(NAMES), len(DEFAULT), f"{mask(DEFAULT):x}") == (41, 14, "a80425fb")


def test_masks_and_names_are_inverse() -> None:
    assert names(mask(NAMES)) == NAMES
    assert names(1 << 63 | 1) == ("CAP_CHOWN",)


def test_usable_is_what_this_process_has() -> None:
    status = Path("/proc/self/status").read_text()
    assert mask(usable()) == int(status.split("CapEff:")[1].split()[0], 16) & ((1 << 41) - 1)
