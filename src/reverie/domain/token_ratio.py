"""How a provider's count of tokens stands to what is estimated here."""

import math
from dataclasses import dataclass
from typing import Final

LEAST_RATIO: Final = 0.4
MOST_RATIO: Final = 2.5
"""Reports outside of these are no matter of tokenizers: a cached part left out, a proxy that counts otherwise."""
LEAST_ESTIMATE: Final = 100
"""Shorter requests tell more about a provider's frame than about its tokenizer."""
SLOWEST_WEIGHT: Final = 0.1
"""How much of each further report is taken over once there were many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRatio:
    """How many tokens a model's provider counts for each one that is estimated here."""

    value: float = 1.0
    reports: int = 0
    """How many it was learnt from."""

    def after(self, estimated: int, reported: int) -> "TokenRatio":
        """Take in what the provider counted for a request; an odd report changes nothing."""
        if estimated < LEAST_ESTIMATE or not LEAST_RATIO <= reported / estimated <= MOST_RATIO:
            return self
        # The first report moves it half of the way: one alone may be off.
        weight = max(1 / (self.reports + 2), SLOWEST_WEIGHT)
        return TokenRatio(
            value=self.value + (reported / estimated - self.value) * weight, reports=min(self.reports + 1, 1_000_000)
        )

    def counted(self, estimated: int) -> int:
        """What the provider will count."""
        return round(estimated * self.value)

    def estimated(self, counted: int) -> int:
        """What is to be estimated at most where the provider may count `counted`."""
        return math.floor(counted / self.value)
