"""``hello-world``, built in: the first command works without network, archive or compiler.

The image has one file, ``/hello``: a static program of two system calls, put together here from machine code. The bytes
are always the same, so the image's ID is the same on every machine of one architecture.

Source: System V ABI, ELF-64; Linux system call numbers; Intel SDM and Arm ARM for the few instructions.
"""

from __future__ import annotations

import io
import struct
import tarfile
from typing import Final

from sampan.image import digest, reference
from sampan.image.changes import empty_config
from sampan.image.errors import ImageNotFound, InvalidReference
from sampan.image.v1 import go_json

NAME: Final = "hello-world"
CREATED: Final = "2025-01-01T00:00:00Z"  # fixed: the ID is made of it
_CREATED_S: Final = 1_735_689_600

GREETING: Final = b"""
Hello from Sampan!
This message shows that your installation appears to be working.

To bring it to your screen, Sampan took these steps:
 1. The client asked the daemon, sampand, to create a container.
 2. The daemon made it from the built-in "hello-world" image; no network was needed.
 3. A small program in that image ran in the container and wrote what you are reading.
 4. The daemon passed its output to the client, and the client to your terminal.

To try something larger, make an image of this machine's own programs, and start a
shell in it:
 $ sampan image pack -t tools sh ls python3
 $ sampan run -it tools sh

"""

_BASE: Final = 0x400000  # where the program is mapped, as linkers have it
_HEADERS: Final = 64 + 56  # an ELF header and one program header
_MACHINES: Final = {"amd64": 62, "arm64": 183}  # e_machine: EM_X86_64, EM_AARCH64


def is_name(text: str) -> bool:
    """Tell whether ``text`` names the built-in image, with tag ``latest`` or none."""
    try:
        return reference.parse(text).tagged().familiar == f"{NAME}:latest"
    except InvalidReference:
        return False


def is_own(image_id: str) -> bool:
    """Tell whether an image is a built-in one, of whatever architecture."""
    return image_id in {digest.of(configuration(one, layer(one))) for one in _MACHINES}


def layer(architecture: str) -> bytes:
    """Return the layer: a tar archive with the program. Raises ImageNotFound for other architectures (GOARCH)."""
    content = program(architecture)
    entry = tarfile.TarInfo("hello")
    entry.size, entry.mode, entry.mtime = len(content), 0o755, _CREATED_S
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def configuration(architecture: str, content: bytes) -> bytes:
    """Return the image configuration for the layer ``content``."""
    config = empty_config() | {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["/hello"],
        "WorkingDir": "/",
    }
    return go_json(
        {
            "architecture": architecture,
            "config": config,
            "created": CREATED,
            "history": [{"created": CREATED, "created_by": "sampan: built in", "comment": "sampan"}],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest.of(content)]},
        }
    )


def program(architecture: str) -> bytes:
    """Return an ELF executable that writes GREETING to standard output and exits with 0 (1 when it can't)."""
    assemble = {"amd64": _amd64, "arm64": _arm64}.get(architecture)
    if assemble is None:
        raise ImageNotFound(f"{NAME} (no built-in program for {architecture})")
    code = assemble(len(GREETING))
    size = _HEADERS + len(code) + len(GREETING)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little-endian, version 1
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, _MACHINES[architecture], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)  # PT_LOAD, readable and executable
    return ident + header + load + code + GREETING


def _amd64(length: int) -> bytes:
    """write(1, text, length); exit(result != length)."""
    parts = (
        b"\xb8\x01\x00\x00\x00",  # mov eax, 1 (write)
        b"\xbf\x01\x00\x00\x00",  # mov edi, 1
        b"\x48\x8d\x35TEXT",  # lea rsi, [rip + text]
        b"\xba" + struct.pack("<I", length),  # mov edx, length
        b"\x0f\x05",  # syscall
        b"\x31\xff",  # xor edi, edi
        b"\x3d" + struct.pack("<I", length),  # cmp eax, length
        b"\x40\x0f\x95\xc7",  # setne dil
        b"\xb8\x3c\x00\x00\x00",  # mov eax, 60 (exit)
        b"\x0f\x05",  # syscall
    )
    code = b"".join(parts)
    after_lea = len(b"".join(parts[:3]))
    return code.replace(b"TEXT", struct.pack("<i", len(code) - after_lea))


def _arm64(length: int) -> bytes:
    """write(1, text, length); exit(result != length)."""
    count = 9
    words = (
        0xD2800020,  # mov x0, #1
        0x10000001 | (count - 1) << 5,  # adr x1, text (immediate in bytes/4 at bit 5: text follows the code)
        0xD2800002 | length << 5,  # mov x2, #length
        0xD2800808,  # mov x8, #64 (write)
        0xD4000001,  # svc #0
        0xEB02001F,  # cmp x0, x2
        0x9A9F07E0,  # cset x0, ne
        0xD2800BA8,  # mov x8, #93 (exit)
        0xD4000001,  # svc #0
    )
    assert len(words) == count
    return struct.pack(f"<{count}I", *words)
