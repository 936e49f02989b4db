"""When an expression of cron is due, in a time zone, through the changes of its clocks."""

import importlib
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reverie.domain.errors import InvalidInput, MalformedInput

_FIELD: Final = "schedule.cron_expression"
_ZONE: Final = re.compile(r"^(?:CRON_TZ|TZ)=(\S+)\s+(.*)$")
_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_WORDS: Final = "minute hour day-of-month month day-of-week, such as '0 9 * * MON-FRI', or one of " + ", ".join(
    _ALIASES
)


def split_zone(expression: str, default: str) -> tuple[str, str]:
    """The time zone that an expression names, or `default`, and its five fields.

    Raises:
        MalformedInput: it has another form, or names a zone that is not known.
    """
    found = _ZONE.match(expression.strip())
    zone, rest = (found[1], found[2]) if found else (default, expression)
    rest = " ".join(rest.split())
    fields = _ALIASES.get(rest.lower(), rest)
    # Croniter also knows seconds, and fields that it fills with random numbers.
    if (
        len(fields.split()) != 5
        or re.search(r"(?<![A-Za-z])[RrHh](?![A-Za-z])", fields)
        or not _croniter().is_valid(fields)
    ):
        raise MalformedInput(_FIELD, f"{expression!r} is not an expression of cron; give {_WORDS}")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MalformedInput(
            _FIELD, f"time zone {zone!r} is not known; give a name such as Europe/Berlin, or UTC"
        ) from error
    return zone, fields


def next_after(expression: str, zone: str, moment: datetime) -> datetime:
    """The first due time after `moment`, in UTC.

    Raises:
        InvalidInput: there is none within the next fifty years, as for 30 February.
    """
    found = _step(expression, zone, moment, forward=True)
    if found is None:
        raise InvalidInput(f"{_FIELD}: {expression!r} is never due; give days that exist")
    return found


def latest_until(expression: str, zone: str, moment: datetime) -> datetime | None:
    """The last due time at or before `moment`, in UTC; None: there is none."""
    return _step(expression, zone, moment + timedelta(microseconds=1), forward=False)


def _step(expression: str, zone: str, moment: datetime, *, forward: bool) -> datetime | None:
    _, fields = split_zone(expression, zone)
    walk = _croniter()(fields, moment.astimezone(ZoneInfo(zone)))
    # Clocks that go back show an hour twice. What is due at fixed hours is due in the first one only;
    # what is due every hour is due in both.
    once = not fields.split()[1].startswith("*")
    while True:
        try:
            found: datetime = walk.get_next(datetime) if forward else walk.get_prev(datetime)
        except ValueError:  # croniter's own error for days that do not exist
            return None
        if not (once and _is_second(found)):
            return found.astimezone(UTC)


def _is_second(moment: datetime) -> bool:
    return moment.utcoffset() != moment.replace(fold=0).utcoffset()


@cache
def _croniter() -> Any:
    # Loaded for the first schedule: it takes longer than everything else in this room together.
    return importlib.import_module("croniter").croniter
