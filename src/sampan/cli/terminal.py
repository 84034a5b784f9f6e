"""The user's terminal: raw mode while a container has it, and the keys that detach from the container."""

from __future__ import annotations

import os
import termios

CTRL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
DETACH_KEYS = b"\x10\x11"  # ctrl-p,ctrl-q


class RawTerminal:
    """The terminal on a descriptor in raw mode from `enter` to `leave`; both may be called where it is no terminal."""

    __slots__ = ("_descriptor", "_saved")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[object] | None = None

    def enter(self) -> None:
        """Make it raw: every octet goes to the container as typed. NORAW in the environment forbids it."""
        if not os.isatty(self._descriptor) or os.environ.get("NORAW"):
            return
        mode = termios.tcgetattr(self._descriptor)
        self._saved = [*mode[:6], list(mode[6])]
        iflag, oflag, cflag, lflag = mode[:4]
        mode[0] = iflag & ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[1] = oflag & ~termios.OPOST
        mode[2] = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] = lflag & ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def leave(self) -> None:
        """Put the terminal back as it was; the second time does nothing."""
        saved, self._saved = self._saved, None
        if saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSANOW, saved)  # type: ignore[arg-type]


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as octets. Raises ValueError for an unknown key."""
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1 and key.isascii():
            keys.append(ord(key))
        elif key.startswith("ctrl-") and len(key) == 6 and (key[5].isascii() and key[5].islower()):
            keys.append(ord(key[5]) - ord("a") + 1)
        elif key.startswith("ctrl-") and key[5:] in CTRL:
            keys.append(CTRL[key[5:]])
        else:
            raise ValueError(f"Unknown character: '{key}'")
    return bytes(keys)


class DetachFilter:
    """Passes input on until the detach keys were typed. A beginning of them is held back until it is clear."""

    __slots__ = ("_keys", "_matched", "detached")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0  # how many of the keys have come
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """What of `data` (and of what was held back) goes to the container; sets `detached`."""
        passed = bytearray()
        for octet in data:
            if octet == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self.detached = True
                    return bytes(passed)
                continue
            passed += self._keys[: self._matched]
            self._matched = 0
            if octet == self._keys[0]:
                self._matched = 1
            else:
                passed.append(octet)
        return bytes(passed)
