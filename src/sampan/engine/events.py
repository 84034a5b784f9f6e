"""What happens, told to whoever listens: Docker's actions and attributes.

Words.  *ring*: the last 256 events, for those who ask about the past. *subscription*: one listener's queue.
Cost.   publish is O(subscriptions) and never waits: a listener that is RING × 4 events behind loses what follows.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

from sampan.api import schema
from sampan.engine.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sampan.engine.contracts import Filters

RING: Final = 256
BEHIND: Final = 4 * RING


_FILTERS: Final = frozenset(
    {"container", "daemon", "event", "image", "label", "network", "plugin", "scope", "service", "node", "secret",
     "config", "type", "volume"}
)  # fmt: skip


class EventBus:
    """All events of one daemon."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """``clock`` gives nanoseconds since 1970."""
        self._clock = clock
        self._ring: deque[schema.Event] = deque(maxlen=RING)
        self._subscriptions: set[Subscription] = set()

    def publish(self, kind: str, action: str, object_id: str, attributes: dict[str, str]) -> None:
        """Tell that ``action`` happened to the ``kind`` ("container", "image", "daemon") named ``object_id``."""
        now = self._clock()
        event = schema.Event(
            type=kind,
            action=action,
            actor=schema.EventActor(id=object_id, attributes=attributes),
            time=now // SECOND,
            time_nano=now,
        )
        if kind in ("container", "image"):
            event.status, event.legacy_id = action, object_id
        if kind == "container":
            event.legacy_from = attributes.get("image", "")
        self._ring.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)

    def subscribe(self, *, since: int | None, until: int | None, filters: Filters) -> Subscription:
        """Listen from now on; ``since`` (nanoseconds) adds what the ring has, ``until`` ends it.

        A filter that is none filters nothing, as in dockerd.
        """
        filters = {key: values for key, values in filters.items() if key in _FILTERS}
        subscription = Subscription(self, filters, until, self._clock())
        if since is not None:
            for event in self._ring:
                if event.time_nano >= since and (until is None or event.time_nano <= until):
                    subscription.offer(event)
        self._subscriptions.add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a listener."""
        self._subscriptions.discard(subscription)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._subscriptions)


class Subscription(AsyncGenerator[schema.Event, None]):
    """One listener; ends at ``until``, measured on the monotonic clock from now on, or when it is closed."""

    def __init__(self, bus: EventBus, filters: Filters, until: int | None, now: int) -> None:
        self._bus = bus
        self._filters = filters
        self._queue: asyncio.Queue[schema.Event | None] = asyncio.Queue(BEHIND)
        self._loop = asyncio.get_running_loop()
        self._deadline = None if until is None else self._loop.time() + (until - now) / SECOND
        self._closed = False

    def offer(self, event: schema.Event) -> None:
        """Queue an event that this listener wants."""
        if not self._queue.full() and matches(event, self._filters):
            self._queue.put_nowait(event)

    async def asend(self, value: None) -> schema.Event:
        """Return the next event. Raises StopAsyncIteration at the end."""
        if self._closed:
            raise StopAsyncIteration
        event = await self._next()
        if event is None:
            await self.aclose()
            raise StopAsyncIteration
        return event

    async def _next(self) -> schema.Event | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        if self._deadline is None:
            return await self._queue.get()
        try:
            return await asyncio.wait_for(self._queue.get(), max(self._deadline - self._loop.time(), 0))
        except TimeoutError:
            return None

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """End the subscription with an error."""
        await self.aclose()
        raise typ

    async def aclose(self) -> None:
        """Stop listening."""
        self._closed = True
        self._bus.drop(self)


def matches(event: schema.Event, filters: Filters) -> bool:
    """Tell whether an event passes: each key must match, by any one of its values."""
    return all(any(_passes(event, key, value) for value in values) for key, values in filters.items() if values)


def _passes(event: schema.Event, key: str, value: str) -> bool:
    attributes = event.actor.attributes
    match key:
        case "event":
            return value in (event.action, event.action.partition(":")[0])
        case "type":
            return value == event.type
        case "scope":
            return value == event.scope
        case "label":
            name, equals, wanted = value.partition("=")
            return name in attributes and (not equals or attributes[name] == wanted)
        case "image":
            names = {event.actor.id, attributes.get("name", "")} if event.type == "image" else set()
            names |= {attributes["image"]} if "image" in attributes else set()
            return value in names or value in {_without_tag(name) for name in names}
    return event.type == key and (event.actor.id.startswith(value) or attributes.get("name", "").startswith(value))


def _without_tag(name: str) -> str:
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name
