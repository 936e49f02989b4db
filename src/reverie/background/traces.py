"""Keeps what was said to model providers, beside the turns that said it, and forgets it in time."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
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
SMALL_BYTES: Final = 100_000
"""Requests that are packed sooner than a thread is found for it."""


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
        self._with_variables: set[OrganizationId] = set()
        """Organisations whose sandbox had variables when that was last looked at."""
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
                left = await self._store(batch, self._with_variables)
                # Their runs are gone, or their organisations have had no variables before.
                left = await self._store(left, {item.organization_id for item in left})
                stored += len(batch) - len(left)
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

    async def _store(self, exchanges: Sequence[Exchange], among: Collection[OrganizationId]) -> list[Exchange]:
        """Store exchanges without the variables of the organisations `among`; those that were not stored."""
        if not exchanges:
            return []
        owners = {item.organization_id for item in exchanges if item.organization_id in among}
        shared: Mapping[OrganizationId, Sequence[SandboxVariable]] = {}
        if owners:
            shared = await self._database.read(lambda c: sandboxes.of_organizations(c, owners))
            self._with_variables = self._with_variables - owners | shared.keys()

        def packed() -> list[traces.Packed]:
            return [
                traces.pack(
                    _without_secrets(item, shared.get(item.organization_id, ()), self._cipher),
                    knows_variables=item.organization_id in owners,
                )
                for item in exchanges
            ]

        is_small = sum(len(item.request) for item in exchanges) < SMALL_BYTES
        given = packed() if is_small else await asyncio.to_thread(packed)
        stored = await self._database.write_one(lambda c: traces.insert_all(c, given))
        return [item for item, one in zip(exchanges, given, strict=True) if one.id not in stored]


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
