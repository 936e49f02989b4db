"""Stands in the lines before conversations, for requests whose clients wait here."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sqlalchemy import Connection

from reverie.domain.errors import Draining
from reverie.domain.ids import ConversationId
from reverie.loop.state import TurnState
from reverie.runs.acceptance import Acceptor, Waits, Wish, begin
from reverie.runs.bells import Bells
from reverie.runs.lease import Lease
from reverie.runs.left import Left
from reverie.storage import waiting
from reverie.storage.database import Database
from reverie.storage.together import aside

LOOK_S: Final = 0.5
"""How often who waits looks at the line without having heard a bell."""


class Line:
    """Lets requests in, each in its turn."""

    def __init__(
        self, database: Database, bells: Bells, lease: Lease, left: Left, acceptor: Callable[[], Acceptor]
    ) -> None:
        self._database = database
        self._bells = bells
        self._lease = lease
        self._left = left
        self._acceptor = acceptor
        self._waits: dict[ConversationId, set[asyncio.Event]] = {}
        self._closed = False
        bells.on("line", self._hear)

    def close(self) -> None:
        """Send away whoever waits, and let nobody in any more."""
        self._closed = True
        self._hear(None)

    async def accept(self, wish: Wish) -> TurnState | Waits:
        """Begin a request's run when it is its turn; one that waits as a stored run is told so at once.

        Who is cancelled after the run was stored gets it all the same: a run does not depend on its client.

        Raises:
            Draining: the server is shutting down.
            ReverieError: as `acceptance.begin`.
        """
        moved = asyncio.Event()
        place_id: str | None = None
        accepted = False
        self._waits.setdefault(wish.conversation_id, set()).add(moved)
        try:
            while True:
                if self._closed:
                    raise Draining("the server is shutting down and takes no new messages; send it again in a moment")
                moved.clear()
                found = await self._begin(wish, place_id)
                accepted = isinstance(found, TurnState) or found.run is not None
                if isinstance(found, Waits) and found.interrupts:
                    self._bells.ring("cancel", found.holder)
                if accepted:
                    return found
                assert isinstance(found, Waits)
                fresh, place_id = place_id is None, found.place_id
                await self._wait(moved, found, fresh=fresh)
        finally:
            self._waits[wish.conversation_id].discard(moved)
            if not self._waits[wish.conversation_id]:
                del self._waits[wish.conversation_id]
            if place_id is not None and not accepted:
                await self._give_up(wish.conversation_id, place_id)

    async def _begin(self, wish: Wish, place_id: str | None) -> TurnState | Waits:
        async def begun() -> TurnState | Waits:
            with self._left.unless_heard() as noted:

                def work(c: Connection) -> TurnState | Waits:
                    acceptor = self._acceptor()
                    with aside(c):
                        self._lease.beat_if_due(c, acceptor.now)
                    found = begin(c, wish, acceptor, place_id)
                    _note(noted, found)
                    return found

                return await self._database.write(work)

        job = asyncio.ensure_future(begun())
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            found = await job
            if isinstance(found, TurnState) or found.run is not None:
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                return found
            await self._give_up(wish.conversation_id, found.place_id)
            raise

    async def _wait(self, moved: asyncio.Event, found: Waits, *, fresh: bool) -> None:
        """Wait for the line to move. A holder whose process died is ended on the way."""
        if found.holder is not None and await self._lease.bury_holder(found.holder):
            return
        if fresh and found.holder is None:  # it became free in the same moment
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(moved.wait(), LOOK_S)

    async def _give_up(self, conversation_id: ConversationId, place_id: str) -> None:
        with self._left.unless_heard() as noted:
            noted.places.add(place_id)
            await self._database.write(lambda c: waiting.give_up(c, place_id))
        self._bells.ring("line", conversation_id)

    def _hear(self, name: str | None) -> None:
        heard = list(self._waits) if name is None else [ConversationId(name)]
        for conversation_id in heard:
            for moved in self._waits.get(conversation_id, ()):
                moved.set()


def _note(noted: Left, found: TurnState | Waits) -> None:
    """Only what no other process sees to."""
    if isinstance(found, TurnState):
        noted.note(found.run)
    elif found.run is None:
        noted.places.add(found.place_id)
