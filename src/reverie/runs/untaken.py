"""Answers that were not taken yet: a request that an SDK sends again for want of one gets the run that it was.

The SDKs give up on an answer after a while and send the same request again by themselves, saying so in a header.
Nothing in it names the first one, so that it is known by where it goes and what it says. An answer that was taken
is forgotten at once: the same words in another request are another message.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeAlias, TypeVar

from reverie.domain.ids import ConversationId, OrganizationId
from reverie.domain.inputs import MessageInput
from reverie.runs.arrivals import digest_of

KEPT_S: Final = 120.0
"""An answer whose client was gone is kept so long; SDKs wait at most some seconds before they ask again."""
T = TypeVar("T")
_Key: TypeAlias = tuple[OrganizationId, ConversationId, str]


class Untaken(Generic[T]):
    """What this process answers with, from the arrival of a request until its client has it."""

    def __init__(self) -> None:
        self._answers: dict[_Key, asyncio.Future[T | None]] = {}

    async def answer(
        self,
        organization_id: OrganizationId,
        conversation_id: ConversationId,
        inputs: Sequence[MessageInput],
        make: Callable[[], Awaitable[T]],
        *,
        again: bool,
    ) -> tuple[T, Callable[[bool], None]]:
        """What `make` gives, or `again` what it gave before; and what is to be told whether the client took it."""
        key = (organization_id, conversation_id, digest_of(inputs))
        known = self._answers.get(key) if again else None
        found = None if known is None else await asyncio.shield(known)
        if known is not None and found is not None:
            return found, partial(self._settle, key, known)
        coming: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._answers[key] = coming
        try:
            made = await make()
        except BaseException:
            self._forget(key, coming)
            coming.set_result(None)
            raise
        coming.set_result(made)
        return made, partial(self._settle, key, coming)

    def _settle(self, key: _Key, answer: "asyncio.Future[T | None]", taken: bool) -> None:
        if taken:
            self._forget(key, answer)
        else:
            asyncio.get_running_loop().call_later(KEPT_S, self._forget, key, answer)

    def _forget(self, key: _Key, answer: "asyncio.Future[T | None]") -> None:
        if self._answers.get(key) is answer:
            del self._answers[key]
