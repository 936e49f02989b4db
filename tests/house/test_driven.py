"""The check at the end of a test session: what it takes for driven, and what not."""

import pytest
from tests.support.app import our_routes
from tests.support.driven import (
    NOT_DRIVEN,
    PLAIN,
    PYTHON,
    TYPESCRIPT,
    Note,
    is_whole,
    route_of,
    undriven,
    untouched_by_typescript,
)
from tests.support.sdk import NEWEST, sdk_operations

AGENT = "agent-00000000-0000-4000-8000-000000000000"


def example(path: str) -> str:
    """A path that the route of `path` answers."""
    return path.replace("{agent_id}", AGENT).replace("{", "").replace("}", "")


def all_notes(client: str) -> list[Note]:
    return [Note(client, route.verb, example(route.path)) for route in our_routes().values()]


def test_a_session_that_drives_all_passes() -> None:
    asked = {key for key, route in our_routes().items() if (route.verb, route.path) not in NOT_DRIVEN}
    notes = [note for note in all_notes(PYTHON) if route_of(note) in asked]
    assert list(undriven(notes)) == []


def test_a_session_that_drives_nothing_fails_for_every_route() -> None:
    assert len(list(undriven([]))) == len(our_routes()) - len(NOT_DRIVEN)
    resources = {operation.resource for operation in sdk_operations(NEWEST) if operation.route in our_routes()}
    assert len(list(untouched_by_typescript([]))) == len(resources)


def test_operations_of_the_sdk_must_be_driven_through_it() -> None:
    missing = [fault for fault in undriven(all_notes(PLAIN)) if "NOT_DRIVEN" not in fault]
    own = {operation.route for operation in sdk_operations(NEWEST)} & our_routes().keys()
    assert len(missing) == len(own)
    assert all("through the Python SDK" in fault for fault in missing)


def test_typescript_must_drive_each_resource_itself() -> None:
    assert list(untouched_by_typescript(all_notes(TYPESCRIPT))) == []
    assert list(untouched_by_typescript(all_notes(PYTHON))) == list(untouched_by_typescript([]))


def test_paths_are_known_with_and_without_their_last_slash() -> None:
    assert route_of(Note(PYTHON, "GET", f"/v1/agents/{AGENT}/")) == ("GET", "/v1/agents/{}")
    assert route_of(Note(PYTHON, "GET", "/v1/agents/")) == ("GET", "/v1/agents")
    assert route_of(Note(PYTHON, "GET", "/nowhere")) is None


def test_a_part_of_the_tests_is_not_taken_for_the_whole(pytestconfig: pytest.Config) -> None:
    whole = pytestconfig.args_source is pytest.Config.ArgsSource.TESTPATHS
    assert is_whole(pytestconfig) <= whole
