"""Time as a parameter."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as an aware UTC time."""


def utc_now() -> datetime:
    """The system clock."""
    return datetime.now(UTC)
