"""How lists are asked for."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A window on an ordered list.

    `after` and `before` are ids and follow the requested order: `after` is what comes later
    in it. The page itself comes in that order too.
    """

    limit: int | None = 50
    after: str | None = None
    before: str | None = None
    order: Literal["asc", "desc"] = "desc"
    order_by: str = "created_at"
