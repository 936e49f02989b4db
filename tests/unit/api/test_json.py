"""Everything that was stored can be answered."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reverie.api.encode.json import dumps
from reverie.domain.stop_reason import StopReason


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 11, 23, 12, tzinfo=UTC), "2026-11-23T12:00:00+00:00"),
        (StopReason.END_TURN, "end_turn"),
        (("a", 1), ["a", 1]),
        (2**80, 2**80),
        ("half \ud83d of a pair", "half \ud83d of a pair"),
        ({"at": datetime(2026, 11, 23, tzinfo=UTC), "big": 2**80}, {"at": "2026-11-23T00:00:00+00:00", "big": 2**80}),
    ],
)
def test_values_become_json(value: Any, text: Any) -> None:
    assert json.loads(dumps(value)) == text
