"""What programs expect around them: users, a place for scratch files, certificates, name service, terminals.

What depends on the machine (its users, its name service) is made up here, always the same; what packages bring
(certificates, terminal descriptions, names of services) is taken as it is.
"""

from __future__ import annotations

import contextlib
import os

from sampan.cli.packing import runtimes
from sampan.cli.packing.search import is_musl, made_cache
from sampan.cli.packing.tree import Directory, File, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.packing.closure import Closures
    from sampan.cli.packing.tree import Tree

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_DIRECTORIES = {"/root": 0o700, "/tmp": 0o1777, "/var/tmp": 0o1777, "/etc": 0o755, "/run": 0o755}  # noqa: S108
_MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links below /usr on most machines
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"
_NSSWITCH = b"".join(b"%s: files\n" % one for one in (b"passwd", b"group", b"shadow", b"protocols", b"services"))
_NSSWITCH += b"networks: files\nhosts: files dns\n"
_TERMINALS = ("dumb", "linux", "vt100", "xterm", "xterm-256color", "screen", "screen-256color", "tmux", "tmux-256color")
_TLS = ("libssl.", "libcrypto.", "libgnutls.", "libmbedtls.", "libnss3.")


def furnish(closures: Closures) -> None:
    """Add what the programs that are in the tree expect. Raises OSError."""
    tree = closures.tree
    for path in _MERGED:
        _merge(tree, path)
    for path, mode in _DIRECTORIES.items():
        tree.make(path, Directory(mode))
    _make(tree, "/etc/passwd", _PASSWD)
    _make(tree, "/etc/group", _GROUP)
    names = {os.path.basename(path): path for path in closures.files}
    for path in [path for name, path in names.items() if name.startswith("libcrypto.so")]:
        _openssl(tree, closures, path)
    if any(name.startswith(_TLS) for name in names) or any(map(runtimes.is_go, _executables(closures))):
        _certificates(tree)
    if any(name.startswith(("libtinfo.", "libtinfow.", "libncurses")) for name in names):
        _terminals(tree)
    if any(not is_musl(loader) for loader in closures.loaders):
        _make(tree, "/etc/nsswitch.conf", _NSSWITCH)
        _make(tree, "/etc/ld.so.cache", made_cache(closures.cached))
    if closures.loaders:
        for path in ("/etc/protocols", "/etc/services"):
            _try(tree, path)


def _make(tree: Tree, path: str, content: bytes) -> None:
    tree.make(path, File(0o644, len(content), content=content))


def _merge(tree: Tree, path: str) -> None:
    """A link such as ``/bin`` → ``usr/bin`` is for programs that others name by it."""
    if os.path.islink(path) and path not in tree.entries:
        target = os.readlink(path)
        inside = os.path.normpath(os.path.join("/", target))
        if os.path.dirname(inside) == "/usr":
            tree.make(path, Link(target))
            tree.make(inside, Directory())


def _executables(closures: Closures) -> list[str]:
    return [path for path, elf in closures.files.items() if elf.interpreter or not elf.needed]


def _try(tree: Tree, path: str) -> None:
    with contextlib.suppress(OSError):  # nice to have: an image without it works too
        tree.add(path)


def _openssl(tree: Tree, closures: Closures, libcrypto: str) -> None:
    """Settings, default certificates and modules of an OpenSSL, where it looks for them."""
    places = runtimes.openssl(libcrypto)
    if home := places.get("OPENSSLDIR"):
        for name in ("openssl.cnf", "cert.pem"):
            _try(tree, f"{home}/{name}")
        if os.path.isdir(f"{home}/certs"):
            _hashed(tree, f"{home}/certs")
    modules = places.get("MODULESDIR", "")
    if os.path.isdir(modules):
        for path in tree.add_all(modules):
            if elf := closures.look(path):
                closures.files[path] = elf


def _hashed(tree: Tree, directory: str) -> None:
    """Certificates by the hash of their subjects; without those that a package made for this machine."""
    for name in sorted(os.listdir(directory)):
        path = f"{directory}/{name}"
        if "snakeoil" not in os.path.realpath(path) and not name.endswith(".key"):
            _try(tree, path)


def _certificates(tree: Tree) -> None:
    for path in BUNDLES:
        _try(tree, path)


def _terminals(tree: Tree) -> None:
    for directory in ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"):
        for name in _TERMINALS:
            for first in (name[0], f"{ord(name[0]):x}"):
                path = f"{directory}/{first}/{name}"
                if os.path.isfile(path):
                    _try(tree, path)
