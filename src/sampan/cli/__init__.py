"""The ``sampan`` command: one module per group of commands, on `sampan.api.client` alone.

`main` finds the command in `table` and imports its module; `parser` reads the arguments by the command's own table of
flags, from which `help` writes the usage. Nothing heavier than ``json`` is imported on the way to ``sampan run``.
"""
