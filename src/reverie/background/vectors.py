"""Makes the vectors that wait: of messages, and of archives whose embedding model was changed.

What waits stands in the database since the transaction that stored or changed it, so a killed
process loses nothing. Words find the texts meanwhile.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, Table

from reverie.background.rounds import Rounds
from reverie.domain.errors import ModelError, NotFound
from reverie.loop.meaning import embedded
from reverie.models.base import Embedder, ModelCatalogs
from reverie.storage import vectors
from reverie.storage.database import Database
from reverie.storage.schema import message_vectors_due, passage_vectors_due
from reverie.storage.vectors import Due

log = structlog.get_logger(__name__)

BATCH: Final = 8
"""Texts embedded in one call: a search that comes meanwhile waits for no more."""
_INTERVAL_S: Final = 10.0
_LOOK_S: Final = 0.2
_MOST_LOOKS: Final = 25
"""So often it is looked whether turns still run, before a batch is made all the same: nothing waits for ever."""

Settle = Callable[[Connection, Mapping[int, Sequence[float]], Sequence[Due]], None]


class Vectors:
    """Works until nothing waits. Crash point: `vectors_made`, between the model and the database."""

    def __init__(
        self,
        database: Database,
        catalogs: ModelCatalogs,
        *,
        worker_id: str,
        of_all_messages: bool,
        is_quiet: Callable[[], bool],
        fault: Callable[[str], None],
    ) -> None:
        """`of_all_messages`: also of agents among whose messages nobody has looked for a meaning.

        `is_quiet`: whether no turn runs here. Turns come first.
        """
        self._database = database
        self._catalogs = catalogs
        self._worker_id = worker_id
        self._of_all_messages = of_all_messages
        self._is_quiet = is_quiet
        self._fault = fault
        self._checked = False

    def rounds(self) -> Rounds:
        """Rounds that begin at once, with what an earlier process left."""
        rounds = Rounds("vectors", self.work, _INTERVAL_S)
        rounds.ring()
        return rounds

    async def work(self) -> int:
        """One round; returns how many vectors were made."""
        if not self._of_all_messages and not await self._database.read(vectors.any_due):
            return 0  # as after nearly every turn
        return await self._messages() + await self._passages()

    async def _messages(self) -> int:
        done = 0
        if self._of_all_messages and await self._database.read(lambda c: vectors.unwanted(c, None, None)):
            await self._database.write(lambda c: vectors.want_of(c, None, None))
        while batch := await self._claim(message_vectors_due, vectors.claim_messages):
            catalog = await self._catalogs.of(batch[0].organization_id)
            embedder = await catalog.default_embedder()
            if embedder is None or not await self._make(embedder, batch, vectors.settle_messages):
                break
            done += len(batch)
            if not self._checked and embedder.info.dimensions:
                self._checked = True
                renew = partial(vectors.keep_model_of_messages, dimensions=embedder.info.dimensions)
                await self._database.write(renew)
        return done

    async def _claim(self, due: Table, claim: Callable[..., list[Due]]) -> list[Due]:
        """The next batch, when there is one and turns leave room for it."""
        if not await self._database.read(lambda c: vectors.is_due(c, due)):
            return []
        for _ in range(_MOST_LOOKS):
            if self._is_quiet():
                break
            await asyncio.sleep(_LOOK_S)
        return await self._database.write(lambda c: claim(c, self._worker_id, limit=BATCH))

    async def _passages(self) -> int:
        done = above = 0
        while batch := await self._claim(passage_vectors_due, partial(vectors.claim_passages, above=above)):
            above = batch[-1].seq
            embedder = await self._embedder(batch[0])
            if embedder is not None and await self._make(embedder, batch, vectors.settle_passages):
                done += len(batch)
        return done

    async def _embedder(self, of: Due) -> Embedder | None:
        if of.handle is None:
            return None
        try:
            return await (await self._catalogs.of(of.organization_id)).embedder(of.handle)
        except NotFound as error:
            log.warning("no_embedder", archive_id=of.holder, error=str(error))
            return None

    async def _make(self, embedder: Embedder, batch: list[Due], settle: Settle) -> bool:
        """Embed and store a batch; False: the model failed, and the batch waits for the next round."""
        try:
            found = await embedded(embedder, batch)
        except ModelError as error:
            log.warning("embedding_failed", model=embedder.info.handle, error=str(error))
            return False
        self._fault("vectors_made")
        await self._database.write(lambda c: settle(c, found, batch))
        return True
