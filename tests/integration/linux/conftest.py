"""Every test of this folder works in a lab of network namespaces (support/netlab.py)."""

from support.netlab import lab

__all__ = ["lab"]
