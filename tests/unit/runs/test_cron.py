from datetime import UTC, datetime

import pytest

from reverie.domain.errors import InvalidInput, MalformedInput
from reverie.runs.cron import latest_until, next_after, split_zone

BERLIN = "Europe/Berlin"


def times(expression: str, start: str, count: int, zone: str = BERLIN) -> list[str]:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        moment = next_after(expression, zone, moment)
        found.append(f"{moment:%m-%d %H:%M}")
    return found


def test_fields_are_read_in_the_time_zone() -> None:
    assert times("0 9 * * *", "2026-07-01T00:00", 2) == ["07-01 07:00", "07-02 07:00"]
    assert times("0 9 * * *", "2026-07-01T00:00", 1, "UTC") == ["07-01 09:00"]


def test_an_expression_may_name_its_zone() -> None:
    assert split_zone("CRON_TZ=Asia/Tokyo  0 9 * *  *", BERLIN) == ("Asia/Tokyo", "0 9 * * *")
    assert split_zone("TZ=Asia/Tokyo @daily", BERLIN) == ("Asia/Tokyo", "0 0 * * *")
    assert split_zone("@hourly", BERLIN) == (BERLIN, "0 * * * *")


def test_a_time_that_clocks_skip_is_due_when_they_go_on() -> None:
    assert times("30 2 * * *", "2026-03-28T12:00", 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_fixed_hour_that_clocks_show_twice_is_due_once() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00", 2) == ["10-25 00:30", "10-26 01:30"]
    late = datetime(2026, 10, 25, 1, 45, tzinfo=UTC)
    assert latest_until("30 2 * * *", BERLIN, late) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_every_hour_is_every_hour_also_when_clocks_go_back() -> None:
    assert times("0 * * * *", "2026-10-24T23:30", 3) == ["10-25 00:00", "10-25 01:00", "10-25 02:00"]


def test_the_latest_time_is_the_moment_itself_or_before() -> None:
    nine = datetime(2026, 7, 1, 9, tzinfo=UTC)
    assert latest_until("0 9 * * *", "UTC", nine) == nine
    assert next_after("0 9 * * *", "UTC", nine) == datetime(2026, 7, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    ["", "soon", "* * *", "61 * * * *", "* * * * * *", "R R * * *", "H * * * *", "TZ=Mars/Base 0 9 * * *", "@reboot"],
)
def test_what_is_no_expression_is_refused_with_a_remedy(expression: str) -> None:
    with pytest.raises(MalformedInput, match=r"cron_expression.*give"):
        split_zone(expression, "UTC")


def test_days_that_never_come_are_refused() -> None:
    with pytest.raises(InvalidInput, match="never due"):
        next_after("0 0 30 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC))
