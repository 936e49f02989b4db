"""Messages that are found by meaning: of those agents where somebody looks for them so.

Most agents are never searched, and vectors cost more than a turn does. So the first search by meaning says that an
agent's messages want vectors, from then on and for what was said before; see `storage.vectors.want_of`. What is
newest gets them before that search goes on, the rest in the background.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from reverie.domain.errors import ModelError
from reverie.domain.ids import OrganizationId
from reverie.models.base import Embedder
from reverie.storage import vectors
from reverie.storage.database import Database
from reverie.storage.vectors import Due

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 64
"""Messages that a search waits for: some half a second of the built-in embedder. Those behind get theirs later."""
LONGEST: Final = 8_000
"""Characters of one text that are embedded: what follows changes the vector little, if the model reads it at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Sees to it that a search by meaning finds what was just said."""

    database: Database
    enabled: bool = True
    """Whether messages get vectors at all."""

    async def catch_up(self, embedder: Embedder, organization_id: OrganizationId, agent_id: str | None) -> None:
        """Before a search among an agent's messages, or among all of an organisation.

        Where the model fails, the search goes on with the vectors that are there.
        """
        if not self.enabled:
            return
        read, write = self.database.read, self.database.write
        if await read(lambda c: vectors.unwanted(c, organization_id, agent_id)):
            await write(lambda c: vectors.want_of(c, organization_id, agent_id))
        due = await read(lambda c: vectors.newest_due(c, organization_id, agent_id, _AT_ONCE))
        if not due:
            return
        try:
            found = await embedded(embedder, due)
        except ModelError as error:
            log.warning("embedding_failed", model=embedder.info.handle, error=str(error))
            return
        await write(partial(vectors.settle_messages, vectors=found, embedded=due))


async def embedded(embedder: Embedder, due: list[Due]) -> dict[int, list[float]]:
    """The vectors by place; texts without a word have none.

    Raises:
        ModelError: the embedding model failed.
    """
    wordy = [item for item in due if item.text.strip()]
    made = await embedder.embed([item.text[:LONGEST] for item in wordy]) if wordy else []
    return {item.seq: list(vector) for item, vector in zip(wordy, made, strict=True)}
