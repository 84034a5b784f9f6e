"""The client side of the Engine API: small, synchronous, quick to import.

`address` finds the daemon, `transport` speaks HTTP/1.1 over one socket, `frames` takes multiplexed streams apart,
`client` has a method for each end point. Nothing here imports more than ``json`` and built-in modules at start-up:
the command line pays for every import on every call.
"""
