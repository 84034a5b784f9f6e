"""A machine for the few eBPF instructions of device programs."""

import struct

WORD = (1 << 32) - 1


def decide(program: bytes, kind: int, access: int, major: int, minor: int) -> bool:
    """Whether ``program`` allows the access; fails on anything but forward jumps, known opcodes and an end."""
    context = struct.pack("=III", access << 16 | kind, major, minor)
    registers = [0] * 11
    registers[1] = -1  # the context's address
    at, length = 0, len(program) // 8
    while True:
        assert at < length, "runs off the end"
        opcode, both, offset, immediate = struct.unpack_from("=BBhi", program, 8 * at)
        dst, src = both & 15, both >> 4
        at += 1
        jump = False
        match opcode:
            case 0x61:
                assert registers[src] == -1, "the context's address is lost"
                (registers[dst],) = struct.unpack_from("=I", context, offset)
            case 0xBC:
                registers[dst] = registers[src] & WORD
            case 0xB7:
                registers[dst] = immediate
            case 0x54:
                registers[dst] = registers[dst] & immediate & WORD
            case 0x74:
                registers[dst] = (registers[dst] & WORD) >> immediate
            case 0x15:
                jump = registers[dst] == immediate
            case 0x55:
                jump = registers[dst] != immediate
            case 0x5D:
                jump = registers[dst] != registers[src]
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"opcode {opcode:#x}")
        assert offset >= 0
        at += offset if jump else 0
