"""eBPF as bytes: instructions, programs, and the attributes of bpf(2)."""

import pytest

from sampan.linux import bpf
from sampan.linux.bpf import DeviceMatch, attach_attributes, device_program, instruction, load_attributes

INSTRUCTIONS = [
    ((0xB7, 0, 0, 0, 1), "b7 00 0000 01000000"),  # r0 = 1
    ((0x95,), "95 00 0000 00000000"),  # exit
    ((0x61, 2, 1, 4, 0), "61 12 0400 00000000"),  # r2 = *(u32 *)(r1 + 4)
    ((0x55, 4, 0, 3, -1), "55 04 0300 ffffffff"),  # if r4 != -1 goto +3
]


@pytest.mark.parametrize(("fields", "encoded"), INSTRUCTIONS)
def test_instructions(fields: tuple[int, ...], encoded: str) -> None:
    assert instruction(*fields) == bytes.fromhex(encoded)


HEAD = (
    "61 12 0000 00000000  bc 23 0000 00000000  54 02 0000 ffff0000  74 03 0000 10000000 "
    "61 14 0400 00000000  61 15 0800 00000000"
)
WRITE_TO_SD = "bc 31 0000 00000000  54 01 0000 04000000  55 02 0400 01000000  15 01 0300 00000000  55 04 0200 08000000"
ALLOW, DENY = "b7 00 0000 01000000  95 00 0000 00000000", "b7 00 0000 00000000  95 00 0000 00000000"
PROGRAMS = [
    ([], True, f"{HEAD} {ALLOW}"),
    ([], False, f"{HEAD} {DENY}"),
    (
        [DeviceMatch(bpf.DEVICE_CHAR, 7, 1, 3)],
        False,
        f"{HEAD} 55 02 0400 02000000  55 04 0300 01000000  55 05 0200 03000000 {ALLOW} {DENY}",
    ),
    (
        [DeviceMatch(bpf.DEVICE_BLOCK, bpf.ACCESS_MKNOD, None, None)],
        False,
        f"{HEAD} bc 31 0000 00000000  54 01 0000 01000000  55 02 0300 01000000  5d 31 0200 00000000 {ALLOW} {DENY}",
    ),
    (
        [DeviceMatch(bpf.DEVICE_BLOCK, bpf.ACCESS_WRITE, 8, None)],
        True,
        f"{HEAD} {WRITE_TO_SD} {DENY} {ALLOW}",
    ),
]


@pytest.mark.parametrize(("matches", "default", "encoded"), PROGRAMS)
def test_programs(matches: list[DeviceMatch], default: bool, encoded: str) -> None:
    assert device_program(matches, allow_by_default=default).hex(" ") == bytes.fromhex(encoded).hex(" ")


def test_attributes_of_prog_load() -> None:
    expected = (
        "0f000000 08000000 8877665544332211 1122334455667788 01000000 00000100 efcdab9078563412 00000000 00000000"
        "73616d70616e5f646576696365730000 00000000 06000000"
    )
    made = load_attributes(0x1122334455667788, 8, 0x8877665544332211, 0x1234567890ABCDEF, 1 << 16)
    assert made == bytes.fromhex(expected)
    assert load_attributes(1, 8, 2)[24:40] == bytes(16)


def test_attributes_of_prog_attach() -> None:
    assert attach_attributes(5, 7) == bytes.fromhex("05000000 07000000 06000000 02000000 00000000")
