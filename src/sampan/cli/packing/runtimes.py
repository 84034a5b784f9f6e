"""What interpreters and libraries open by themselves while they run: Python's standard library, plug-ins of OpenSSL's.

A file itself tells where: the name of Python's executable, the directories that libcrypto was built with. Nothing is
run to find out.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.cli.packing.tree import Tree

_PYTHON = re.compile(r"python3\.\d+t?")
# Left out of the standard library: what is compiled (its dates would not fit), other people's modules, tests, and
# what only builds Python again.
_NOT_PACKED = re.compile(r".*/(?:__pycache__|site-packages|dist-packages|test|config-3[^/]*)|.*\.(?:py[co]|a)")
_OPENSSL = re.compile(rb'(OPENSSLDIR|MODULESDIR): "(/[^"\0]{1,1000})"')
_GO = b"\xff Go buildinf:"  # begins the build information of every Go program


def is_python(real: str) -> bool:
    """Whether a program (a path without links) is Python 3."""
    return _PYTHON.fullmatch(os.path.basename(real)) is not None


def add_python(tree: Tree, called: str, real: str) -> list[str]:
    """Take in the standard library of the Python `real`, and the environment of one that was called in a venv.

    Returns the files. Raises OSError; FileNotFoundError where there is no standard library.
    """
    version = os.path.basename(real)
    prefix = _prefix(real, version)
    library = f"{prefix}/lib/{version}"
    found = tree.add_all(library, _wanted)
    archive = f"{prefix}/lib/{version.replace('.', '')}.zip"  # where it is one file
    if os.path.isfile(archive):
        tree.add(archive)
    for link in tree.links_below(library):
        with contextlib.suppress(OSError):  # one that leads nowhere here either
            tree.add(link)
    return found + _environment(tree, os.path.dirname(called))


def _prefix(real: str, version: str) -> str:
    """The directory that has ``lib/python3.x``: the first one up from the program, as Python looks for it."""
    here = os.path.dirname(real)
    while True:
        if os.path.isfile(f"{here.rstrip('/')}/lib/{version}/os.py"):
            return here.rstrip("/")
        if here == "/":
            raise FileNotFoundError(2, "its standard library is not there", f"lib/{version}/os.py")
        here = os.path.dirname(here)


def _environment(tree: Tree, directory: str) -> list[str]:
    """A venv's settings and packages, if `directory` (or the one above) is a venv's."""
    for place in (directory, os.path.dirname(directory)):
        if os.path.isfile(f"{place}/pyvenv.cfg"):
            tree.add(f"{place}/pyvenv.cfg")
            return tree.add_all(f"{place}/lib", _wanted_of_venv)
    return []


def _wanted(path: str) -> bool:
    return _NOT_PACKED.fullmatch(path) is None


def _wanted_of_venv(path: str) -> bool:
    return not path.endswith(("/__pycache__", ".pyc"))


def openssl(real: str) -> dict[str, str]:
    """The directories that a libcrypto was built with: OPENSSLDIR, MODULESDIR; none where it doesn't say."""
    found = _searched(real, lambda data: dict(_OPENSSL.findall(data)))
    return {key.decode(): os.fsdecode(value) for key, value in found.items()}


def is_go(real: str) -> bool:
    """Whether a program was made by Go's compiler, whose library does TLS without any other."""
    return _searched(real, lambda data: {b"": b""} if data.find(_GO) >= 0 else {}) != {}


def _searched(real: str, look: Callable[[mmap.mmap], dict[bytes, bytes]]) -> dict[bytes, bytes]:
    with open(real, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return {}
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return look(data)
