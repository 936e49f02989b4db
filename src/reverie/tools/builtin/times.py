"""Times between models and memory: models write local dates, memory keeps UTC."""

from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reverie.domain.errors import ToolError


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def read_bound(text: str | None, name: str, zone: tzinfo, *, end: bool) -> datetime | None:
    """The UTC time that `text` means; a mere date is its whole day, so as an end its last moment.

    Raises:
        ToolError: not an ISO 8601 date or time.
    """
    if text is None or not text.strip():
        return None
    try:
        if len(text.strip()) == 10:
            moment = datetime.combine(date.fromisoformat(text.strip()), time.max if end else time.min)
        else:
            moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ToolError(
            f"{name} must be a date or time such as '2026-03-01' or '2026-03-01T14:30', got {text!r}"
        ) from None
    local = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return local.astimezone(UTC)


def write(moment: datetime, zone: tzinfo) -> str:
    """`moment` as the agent reads it: its own time zone, whole seconds."""
    return moment.astimezone(zone).isoformat(timespec="seconds")
