"""The client side of registries: pull, push, search, auth, mirrors.

Blocking, for threads: what it does is to move bytes between a socket, a hash and a file.
"""
