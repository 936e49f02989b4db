"""Environments that are connected to this process, and the way to those of other processes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from reverie.domain.clock import Clock
from reverie.domain.ids import ConnectionId, make_id
from reverie.storage import environments
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

POLL_S: Final = 0.2
"""How often messages that other processes left are looked for, while there are connections."""
_WAIT_S: Final = 5.0
"""How long another process has to pass a message on."""

SendText = Callable[[str], Awaitable[bool]]
"""Sends a frame; False: the connection is gone."""
Close = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Open:
    send: SendText
    close: Close
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Frames go out one after the other."""


class Connections:
    """Holds the open connections of this process. `alone`: no other process shares the database."""

    def __init__(self, database: Database, clock: Clock, *, alone: bool) -> None:
        self._database = database
        self._clock = clock
        self._alone = alone
        self._open: dict[ConnectionId, _Open] = {}
        self._postman: asyncio.Task[None] | None = None
        self.pod_id: Final = make_id("pod")
        """This process, as other processes and clients see it."""

    def opened(self, connection_id: ConnectionId, send: SendText, close: Close) -> None:
        """A device is connected here."""
        self._open[connection_id] = _Open(send, close)
        if not self._alone and self._postman is None:
            self._postman = asyncio.create_task(self._pass_on(), name="messages for environments")

    def closed(self, connection_id: ConnectionId) -> None:
        """It is not any more."""
        self._open.pop(connection_id, None)
        if not self._open and self._postman is not None:
            self._postman.cancel()
            self._postman = None

    async def hang_up(self, connection_id: ConnectionId) -> None:
        """Close a connection of this process; nothing happens when there is none."""
        found = self._open.get(connection_id)
        if found is not None:
            await found.close()

    async def send(self, connection_id: ConnectionId, holder: str | None, text: str) -> bool:
        """Send a frame; False: it did not reach the device's connection."""
        if connection_id in self._open:
            return await self._send_here(connection_id, text)
        if self._alone or holder in (None, self.pod_id):
            return False
        delivery_id, now = make_id("delivery"), self._clock()
        await self._database.write(lambda c: environments.leave_delivery(c, delivery_id, connection_id, text, now))
        try:
            for _ in range(int(_WAIT_S / POLL_S)):
                if await self._database.read(lambda c: environments.is_taken(c, delivery_id)):
                    break
                await asyncio.sleep(POLL_S)
        finally:
            taken = await asyncio.shield(self._database.write(lambda c: environments.take_back(c, delivery_id)))
        return taken

    async def _send_here(self, connection_id: ConnectionId, text: str) -> bool:
        found = self._open.get(connection_id)
        if found is None:
            return False
        async with found.lock:
            return await found.send(text)

    async def _pass_on(self) -> None:
        """Send what other processes left, each message at most once."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                mine, since = list(self._open), self._clock() - timedelta(seconds=_WAIT_S)
                for delivery_id, connection_id, text in await self._database.read(
                    lambda c, mine=mine, since=since: environments.waiting_deliveries(c, mine, since)  # type: ignore[misc]
                ):
                    now = self._clock()
                    if await self._database.write(
                        lambda c, taken=delivery_id, now=now: environments.take_delivery(c, taken, now)  # type: ignore[misc]
                    ):
                        await self._send_here(connection_id, text)
            except Exception:  # the database may be away for a while
                log.exception("messages_for_environments_not_read")
