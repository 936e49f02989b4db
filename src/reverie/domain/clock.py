"""Time as a parameter."""

from collections.abc import Callable
from datetime import UTC, datetime

from reverie.domain.errors import InvalidInput

Clock = Callable[[], datetime]
"""Returns the present as an aware UTC time."""


def utc_now() -> datetime:
    """The system clock."""
    return datetime.now(UTC)


def aware(moment: datetime | None) -> datetime | None:
    """`moment` in UTC; what names no offset is UTC already.

    Raises:
        InvalidInput: in UTC it lies outside the years 1 to 9999.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"the time {moment.isoformat()!r} lies outside the years 1 to 9999") from error
