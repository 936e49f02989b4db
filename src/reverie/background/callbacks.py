"""Makes callbacks: signed, tried again with longer and longer pauses, never lost with a process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import orjson
import structlog
from sqlalchemy import Connection

from reverie.auth.signing import Signer
from reverie.background.rounds import Rounds
from reverie.domain.callback import Callback
from reverie.domain.clock import Clock
from reverie.domain.errors import AddressRefused, BadGateway, NotFound, TimedOut
from reverie.domain.ids import RunId
from reverie.domain.json import JsonObject
from reverie.domain.message import Message, MessageFilter
from reverie.domain.paging import Page
from reverie.domain.run import Run
from reverie.storage import callbacks, messages, runs
from reverie.storage.database import Database
from reverie.web.addresses import WebOptions
from reverie.web.fetch import fetch

log = structlog.get_logger(__name__)

PAUSES_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Before each further attempt; after the last one it is given up."""
LEASE: Final = timedelta(seconds=60)
"""Longer than an attempt can take; a callback whose process died is taken up by another after it."""
INTERVAL_S: Final = 15.0
"""How often those are looked for that another process left, or the end of a dead process's run."""
AT_ONCE: Final = 20
GONE: Final = 410
"""A receiver that says so wants to be asked no more."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    status_code: int | None
    error: str | None
    final: bool


class Callbacks:
    """Makes what `storage.callbacks` holds."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        clock: Clock,
        web: WebOptions,
        outcome_of: Callable[[Run, Sequence[Message]], JsonObject],
    ) -> None:
        """`outcome_of`: what is told of an ended run besides its own metadata, made of its messages."""
        self._outcome_of = outcome_of
        self._database = database
        self._signer = signer
        self._clock = clock
        self._web = replace(web, timeout_s=10.0, max_bytes=1_000_000)
        self._timer: asyncio.TimerHandle | None = None
        self._rounds = Rounds("callbacks", self.round, INTERVAL_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Callbacks"]:
        """Make them in the background. One that is under way on leaving is made again at the next start."""
        async with self._rounds:
            self._rounds.ring()
            yield self
        if self._timer is not None:
            self._timer.cancel()

    def ring(self) -> None:
        """There may be one to make."""
        self._rounds.ring()

    async def round(self) -> int:
        """Try every callback that is due, and see to it that the next one will be."""
        made = 0
        while True:
            now = self._clock()
            due_at = await self._database.read(callbacks.next_due)
            if due_at is None or due_at > now:
                self._set_timer(due_at)
                return made
            due = await self._database.write(lambda c, now=now: callbacks.claim(c, now, LEASE, AT_ONCE))  # type: ignore[misc]
            if not due:  # another process is just taking them
                self._set_timer(now + timedelta(seconds=1))
                return made
            await asyncio.gather(*(self._try(item) for item in due))
            made += len(due)

    def _set_timer(self, due_at: datetime | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_at is not None:
            wait_s = max(0.0, (due_at - self._clock()).total_seconds())
            if wait_s < INTERVAL_S:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._rounds.ring)

    async def _try(self, callback: Callback) -> None:
        outcome = await self._send(callback)
        now = self._clock()
        again_at = None
        if not outcome.final and callback.attempts < len(PAUSES_S):
            again_at = now + timedelta(seconds=PAUSES_S[callback.attempts])
        if outcome.error is not None:
            log.info("callback_failed", owner_id=callback.owner_id, error=outcome.error, again_at=again_at)
        await self._database.write(
            lambda c: callbacks.record(
                c,
                callback,
                now=now,
                status_code=outcome.status_code,
                error=outcome.error,
                again_at=again_at,
            )
        )

    async def _send(self, callback: Callback) -> _Outcome:
        body = orjson.dumps(await self._told(callback))
        headers = {
            "content-type": "application/json",
            "user-agent": "reverie",
            **self._signer.headers(callback.organization_id, callback.id, self._clock(), body),
        }
        try:
            answer = await fetch(callback.url, self._web, method="POST", headers=headers, content=body)
        except AddressRefused as error:
            return _Outcome(None, str(error), final=True)
        except (BadGateway, TimedOut) as error:
            return _Outcome(None, str(error), final=False)
        if 200 <= answer.status < 300:
            return _Outcome(answer.status, None, final=True)
        return _Outcome(answer.status, f"the receiver answered with {answer.status}", final=answer.status == GONE)

    async def _told(self, callback: Callback) -> JsonObject:
        """The payload, with what the run came to: read when it is sent, so that it is not stored twice."""
        if "run_id" not in callback.payload:
            return callback.payload

        def read(c: Connection) -> JsonObject:
            try:
                run = runs.get(c, callback.organization_id, RunId(callback.owner_id))
            except NotFound:  # its record was deleted since
                return {}
            where = MessageFilter(run_id=run.id)
            written = messages.list_page(c, run.organization_id, where, Page(limit=None, order="asc"))
            return self._outcome_of(run, written)

        outcome = await self._database.read(read)
        return {**callback.payload, "metadata": {**callback.payload["metadata"], **outcome}}
