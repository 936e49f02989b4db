import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from reverie.cli.logs import set_up_logs


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def both(words: str) -> None:
    structlog.get_logger("reverie.room").warning(words, run_id="run-1", n=2)
    logging.getLogger("library").warning("%s", words)


def test_people_get_one_line_with_the_fields_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("info", as_json=False, access=False)
    both("lost")
    ours, theirs = capsys.readouterr().err.splitlines()
    assert ours.endswith("warning reverie.room: lost run_id='run-1' n=2")
    assert theirs.endswith("warning library: lost")


def test_machines_get_one_json_object_per_record(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("info", as_json=True, access=False)
    both("lost")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert {name: ours[name] for name in ("level", "logger", "event", "run_id", "n")} == {
        "level": "warning",
        "logger": "reverie.room",
        "event": "lost",
        "run_id": "run-1",
        "n": 2,
    }
    assert (theirs["logger"], theirs["event"]) == ("library", "lost")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_is_kept(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    set_up_logs("info", as_json=as_json, access=False)
    try:
        int("the reason")
    except ValueError:
        structlog.get_logger("room").exception("failed")
    assert "ValueError" in capsys.readouterr().err


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("error", as_json=False, access=False)
    both("lost")
    assert capsys.readouterr().err == ""
