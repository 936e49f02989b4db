"""What providers say of the size of requests, kept for each model, so that estimates become what they will count."""

from dataclasses import dataclass
from typing import Final

from reverie.domain.ids import OrganizationId
from reverie.domain.token_ratio import TokenRatio
from reverie.storage import token_ratios
from reverie.storage.database import Database

WORTH_STORING: Final = 0.03
"""A ratio is stored when it moved by such a share since it was stored last."""


@dataclass(slots=True)
class _Known:
    ratio: TokenRatio
    stored: float | None
    """None: nothing is stored yet."""


class TokenRatios:
    """The ratios of all models, in memory once they were asked for; several processes each learn their own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[OrganizationId, str], _Known] = {}

    async def of(self, organization_id: OrganizationId, handle: str) -> TokenRatio:
        """What is known of the model; as good as free after the first time."""
        known = self._known.get((organization_id, handle))
        if known is None:
            found = await self._database.read(lambda c: token_ratios.find(c, organization_id, handle))
            fresh = _Known(found or TokenRatio(), None if found is None else found.value)
            known = self._known.setdefault((organization_id, handle), fresh)
        return known.ratio

    def learn(
        self, organization_id: OrganizationId, handle: str, *, estimated: int, reported: int
    ) -> TokenRatio | None:
        """Take in a report. What it returns is to be stored, with `token_ratios.put`; None: nothing is."""
        known = self._known.get((organization_id, handle))
        if known is None:
            return None
        before, known.ratio = known.ratio, known.ratio.after(estimated, reported)
        moved = known.stored is None or abs(known.ratio.value - known.stored) > WORTH_STORING * known.stored
        if known.ratio is before or not moved:
            return None
        known.stored = known.ratio.value
        return known.ratio
