"""A vigil over notices that a test gives."""

import asyncio
import contextlib
import os

from sampan.linux.netwatch import EVERYWHERE, RULES
from sampan.network.vigil import Vigil

PATIENCE_S = 5.0


class Given:
    """Notices of a test."""

    def __init__(self) -> None:
        self.given: set[int] = set()
        self.reader, self.writer = os.pipe()

    def descriptors(self) -> list[int]:
        return [self.reader]

    def give(self, *seen: int) -> None:
        self.given |= set(seen)
        os.write(self.writer, b"x")

    def read(self) -> set[int]:
        os.set_blocking(self.reader, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self.reader, 100)
        found, self.given = self.given, set()
        return found

    read_rules = read

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


def test_a_swarm_is_one_round_and_a_failure_not_the_last() -> None:
    async def run() -> list[set[int]]:
        notices, rounds, done = Given(), [], asyncio.Event()

        async def act(seen: set[int]) -> None:
            rounds.append(seen)
            done.set()
            if len(rounds) == 1:
                raise OSError("the kernel is busy")

        vigil = Vigil(notices, act)  # type: ignore[arg-type]
        for index in (1, 2, EVERYWHERE):
            notices.give(index)
            await asyncio.sleep(0)
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        done.clear()
        notices.give(7)
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        await vigil.close()
        return rounds

    assert asyncio.run(run()) == [{1, 2, EVERYWHERE}, {7}]


def test_rules_of_others_are_counted_at_once() -> None:
    async def run() -> list[int]:
        notices = Given()

        async def act(_seen: set[int]) -> None:
            raise AssertionError("rules alone are nothing to act on")

        vigil = Vigil(notices, act)  # type: ignore[arg-type]
        numbers = [vigil.rules_of_others()]
        notices.give(RULES)
        numbers += [vigil.rules_of_others(), vigil.rules_of_others()]
        await vigil.close()
        return numbers

    first, second, third = asyncio.run(run())
    assert first != second == third
