"""The resolver of one sandbox: answers names of its networks, hands on the rest. On the event loop of sampand.

Life.   Sockets are made in the sandbox's namespace (`sampan.network.dns.sockets`), or come from before a restart: what
        was asked meanwhile waits in them.  start → close.
Bounds. Against a container that floods its own resolver: 32 packets at a time, then others have their turn; 32 TCP
        connections, each with one question at a time and 10 s to send it or to take the answer.
Answers as dockerd 26.1: TTL 600, several addresses shuffled, no error and nothing for a name without such records.
        Unlike it, other types (HTTPS, TXT …) of our own names are answered so too, not asked outside: an NXDOMAIN from
        there would say that the name doesn't exist, and the outside would learn it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine
from typing import Final

from sampan.network.dns import wire
from sampan.network.dns.forward import Forwarder
from sampan.network.dns.sockets import Sockets
from sampan.network.dns.wire import Question
from sampan.network.names import Names

log = logging.getLogger(__name__)

BATCH: Final = 32  # packets between two turns of the loop: 0.3 ms of answers
CONNECTIONS: Final = 32  # over TCP, of one sandbox
IDLE_S: Final = 10.0  # seconds for a client to send a question over TCP, or to take an answer

_ANY_CLASS: Final = 255


class Resolver:
    """Answers on the sockets of one sandbox."""

    def __init__(
        self, sandbox_id: str, sockets: Sockets, names: Names, forwarder: Forwarder, *, ndots_given: bool = False
    ) -> None:
        """Answer what ``names`` knows for the sandbox; ``sockets`` and ``forwarder`` are closed with this.

        ``ndots_given``: the container's resolv.conf asks for dots, so a single label isn't asked outside; the client
        tries its search list next.
        """
        self.forwarder = forwarder
        self.sockets = sockets
        self._sandbox_id, self._names, self._ndots_given = sandbox_id, names, ndots_given
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer."""
        loop = asyncio.get_running_loop()
        # A copy: the server closes the socket that it is given, and the caller may want it for the monitor.
        self._server = await asyncio.start_server(self._accept, sock=self.sockets.tcp.dup(), limit=wire.QUERY_LIMIT)
        loop.add_reader(self.sockets.udp.fileno(), self._read_udp)

    async def close(self) -> None:
        """Stop answering; what is under way is dropped."""
        asyncio.get_running_loop().remove_reader(self.sockets.udp.fileno())
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sockets.close()
        self.forwarder.close()

    def answer(self, packet: bytes, *, tcp: bool = False) -> bytes | Question | None:
        """Return the answer to a packet; a question when others have to be asked; None when it deserves nothing."""
        try:
            question = wire.parse(packet)
        except wire.Bad as bad:
            return None if bad.code is None else wire.refusal(packet, bad.code)
        if question.klass not in (wire.IN, _ANY_CLASS):
            return question
        return self._own(question, packet, wire.TCP_LIMIT if tcp else question.udp_limit) or question

    def _own(self, question: Question, packet: bytes, limit: int) -> bytes | None:
        if question.kind == wire.PTR and (packed := wire.reverse_address(question.name)):
            name = self._names.reverse(self._sandbox_id, packed)
            return None if name is None else wire.pointer(question, packet, name)
        version = 6 if question.kind == wire.AAAA else 4
        found = self._names.resolve(self._sandbox_id, question.name, version)
        asked_for_address = question.kind in (wire.A, wire.AAAA)
        if found is None:
            alone = self._ndots_given and asked_for_address and b"." not in question.name
            return wire.addresses(question, packet, [], limit) if alone else None
        if len(found) > 1:
            random.shuffle(found)
        return wire.addresses(question, packet, found if asked_for_address else [], limit)

    # --- UDP ---------------------------------------------------------------------------------------------------------

    def _read_udp(self) -> None:
        udp = self.sockets.udp
        for _ in range(BATCH):
            try:
                packet, client = udp.recvfrom(wire.QUERY_LIMIT + 1)
            except BlockingIOError:
                return
            except OSError as error:
                log.debug("DNS of sandbox %s: %s", self._sandbox_id[:12], error)
                return
            answer = self.answer(packet)
            if isinstance(answer, Question):
                self._spawn(self._forward_udp(packet, answer, client))
            elif answer is not None:
                self._send(answer, client)

    async def _forward_udp(self, packet: bytes, question: Question, client: tuple[str, int]) -> None:
        self._send(await self.forwarder.ask(packet, question, tcp=False), client)

    def _send(self, answer: bytes, client: tuple[str, int]) -> None:
        try:
            self.sockets.udp.sendto(answer, client)
        except OSError as error:  # a full buffer, or the container's own firewall: as if it was lost on the way
            log.debug("DNS answer to sandbox %s: %s", self._sandbox_id[:12], error)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- TCP ---------------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._connections >= CONNECTIONS:
            writer.transport.abort()
            return
        self._connections += 1
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):  # the client left, or is too slow
                while True:
                    await self._serve_one(reader, writer)
        finally:
            self._connections -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a question and answer it. Raises EOFError when the client has no more, or sends nonsense."""
        async with asyncio.timeout(IDLE_S):
            size = int.from_bytes(await reader.readexactly(2), "big")
            if size > wire.QUERY_LIMIT:
                raise EOFError
            packet = await reader.readexactly(size)
        answer = self.answer(packet, tcp=True)
        if isinstance(answer, Question):
            answer = await self.forwarder.ask(packet, answer, tcp=True)
        if answer is None:
            raise EOFError
        async with asyncio.timeout(IDLE_S):
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
