"""Time as a parameter."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as an aware UTC time."""


def utc_now() -> datetime:
    """The system clock."""
    return datetime.now(UTC)


def aware(moment: datetime | None) -> datetime | None:
    """`moment` in UTC; what names no offset is UTC already."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
