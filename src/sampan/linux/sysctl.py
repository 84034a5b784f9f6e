"""Settings under /proc/sys/net: they are those of the network namespace that the calling thread is in.

Errors. OSError naming the setting.
Cost.   20 µs each. Source. proc_sys_net(5), Documentation/networking/ip-sysctl.rst.
"""

from __future__ import annotations

import os


def read(key: str) -> str:
    """Return ``net/KEY``, such as "ipv4/conf/eth0.10/forwarding": slashes, for names of links have dots."""
    descriptor = os.open(f"/proc/sys/net/{key}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode().strip()
    finally:
        os.close(descriptor)


def write(key: str, value: str) -> None:
    """Set ``net/KEY``."""
    descriptor = os.open(f"/proc/sys/net/{key}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def exists(key: str) -> bool:
    """Tell whether this kernel has ``net/KEY``: some came late, and IPv6 may be switched off."""
    return os.path.exists(f"/proc/sys/net/{key}")


def ensure(key: str, value: str) -> bool:
    """Set ``net/KEY`` unless it is so already; tell whether it was set."""
    if read(key) == value:
        return False
    write(key, value)
    return True
