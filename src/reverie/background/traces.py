"""Keeps what was said to model providers, beside the turns that said it, and forgets it in time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import orjson
import structlog

from reverie.auth.cipher import Cipher, Unreadable
from reverie.background.rounds import Rounds
from reverie.domain.clock import Clock
from reverie.domain.ids import OrganizationId
from reverie.domain.sandbox import SandboxVariable
from reverie.domain.secrecy import hiding, without
from reverie.domain.trace import Exchange
from reverie.storage import sandboxes, traces
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

FLUSH_S: Final = 2.0
"""How long exchanges gather before they are stored together: a transaction for each would cost as much as a turn."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Requests waiting to be stored; beyond it they are dropped, and the log says so."""
SWEEP_S: Final = 3600.0
BATCH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """What the keeper is told."""

    days: float = 7.0
    """How long exchanges are kept."""


class TraceKeeper:
    """Takes exchanges from the loop at no cost to it, and stores them some time later.

    What has not been stored yet is lost when the process is killed; a run itself never depends on it.
    """

    def __init__(self, database: Database, cipher: Cipher, clock: Clock, options: TraceOptions) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock
        self._options = options
        self._waiting: list[Exchange] = []
        self._bytes = 0
        self._dropped = 0
        self._storing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._next_sweep: datetime | None = None
        self._rounds = Rounds("traces", self._round, SWEEP_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TraceKeeper"]:
        """Store and sweep in the background; on leaving, store what is left."""
        async with self._rounds:
            self._rounds.ring()
            yield self
        if self._timer is not None:
            self._timer.cancel()
        await self.flush()

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange; never waits and never fails."""
        if self._bytes > MOST_BYTES:
            self._dropped += 1
            return
        self._waiting.append(exchange)
        self._bytes += len(exchange.request)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._rounds.ring)

    async def flush(self) -> int:
        """Store what is waiting now; returns when that is done, by whomever."""
        async with self._storing:
            waiting, self._waiting, self._bytes, self._timer = self._waiting, [], 0, None
            if self._dropped:
                log.warning("traces_dropped", count=self._dropped)
                self._dropped = 0
            stored = 0
            for start in range(0, len(waiting), BATCH):
                batch = waiting[start : start + BATCH]
                owners = {item.organization_id for item in batch}
                shared = await self._database.read(lambda c, owners=owners: sandboxes.of_organizations(c, owners))  # type: ignore[misc]
                packed = await asyncio.to_thread(self._pack, batch, shared)
                stored += await self._database.write(lambda c, packed=packed: traces.insert_all(c, packed))  # type: ignore[misc]
            return stored

    async def sweep(self) -> int:
        """Remove what is too old."""
        oldest = self._clock() - timedelta(days=self._options.days)
        removed = 0
        while gone := await self._database.write(lambda c: traces.remove_older(c, oldest, BATCH)):
            removed += gone
        return removed

    async def _round(self) -> int:
        await self.flush()
        now = self._clock()
        if self._next_sweep is not None and now < self._next_sweep:
            return 0
        self._next_sweep = now + timedelta(seconds=SWEEP_S)
        return await self.sweep()

    def _pack(
        self, exchanges: list[Exchange], shared: Mapping[OrganizationId, Sequence[SandboxVariable]]
    ) -> list[traces.Packed]:
        return [
            traces.pack(_without_secrets(item, shared.get(item.organization_id, ()), self._cipher))
            for item in exchanges
        ]


def _without_secrets(exchange: Exchange, shared: Sequence[SandboxVariable], cipher: Cipher) -> Exchange:
    """`exchange` with secrets of the agent and of its organisation's tools made unreadable.

    A tool may have shown them to the model.
    """
    sealed_values = [(item.key, item.sealed_value, item.id) for item in shared]
    sealed_values += [(name, sealed, exchange.agent_id) for name, sealed in exchange.sealed_secrets.items()]
    secrets: dict[str, str] = {}
    for name, sealed, bound_to in sealed_values:
        with suppress(Unreadable):
            secrets[name] = cipher.decrypt(sealed, bound_to)
    hide = hiding(secrets)
    if hide is None:
        return exchange
    request = orjson.dumps(without(orjson.loads(exchange.request), hide))
    return replace(exchange, request=request, response=without(exchange.response, hide))
