"""Every error has a status and a body that clients can act on."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response

from reverie.api.encode.fold import RunFailed
from reverie.api.errors import answer, status_of
from reverie.domain import errors
from reverie.domain.events import RunFailure


def all_errors(base: type[errors.ReverieError] = errors.ReverieError) -> Iterator[type[errors.ReverieError]]:
    yield base
    for child in base.__subclasses__():
        yield from all_errors(child)


def body_of(response: Response) -> Any:
    return json.loads(bytes(response.body))


@pytest.mark.parametrize("kind", sorted(set(all_errors()), key=str))
def test_every_error_has_a_status(kind: type[errors.ReverieError]) -> None:
    assert 400 <= status_of(kind.__new__(kind)) <= 504


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("x"), 400),
        (errors.MalformedId("agent_id", "x", "agent"), 422),
        (errors.NotAuthenticated("x"), 401),
        (errors.ModelOutOfCredits("x"), 402),
        (errors.NotAllowed("x"), 403),
        (errors.NotFound("agent", "x"), 404),
        (errors.TimedOut("x"), 408),
        (errors.Busy("conv-1", "run-1"), 409),
        (errors.Gone("x"), 410),
        (errors.UnsupportedMedia("x"), 415),
        (errors.ModelRateLimited("x"), 429),
        (errors.NotImplementedHere("x"), 501),
        (errors.BadGateway("x"), 502),
        (errors.Draining("x"), 503),
        (errors.ModelTimedOut("x"), 504),
    ],
    ids=lambda value: type(value).__name__,
)
def test_statuses_are_those_of_the_contract(error: errors.ReverieError, status: int) -> None:
    assert status_of(error) == status


def test_a_busy_conversation_says_the_words_clients_look_for() -> None:
    detail = body_of(answer(errors.Busy("conv-1", "run-7")))["detail"]
    assert "is currently being processed" in detail
    assert "run_id=run-7" in detail


def test_a_pending_approval_names_its_request() -> None:
    detail = body_of(answer(errors.ApprovalPending("message-1")))["detail"]
    assert (detail["code"], detail["pending_request_id"]) == ("PENDING_APPROVAL", "message-1")
    assert "waiting for approval" in detail["message"]


def test_what_would_fail_or_act_again_is_not_to_be_repeated() -> None:
    failed = RunFailed("run-1", RunFailure(error_type="llm_timeout", message="late", http_status=504))
    for error in (failed, errors.NotImplementedHere("x"), errors.ApprovalPending("message-1")):
        assert answer(error).headers["x-should-retry"] == "false"
    assert "x-should-retry" not in answer(errors.Busy("conv-1", "run-7")).headers


def test_a_failed_run_answers_with_the_status_of_its_failure() -> None:
    response = answer(RunFailed("run-1", RunFailure(error_type="llm_timeout", message="late", http_status=504)))
    assert response.status_code == 504
    assert body_of(response) == {"detail": "late", "error_type": "llm_timeout", "run_id": "run-1"}


def test_a_rate_limit_passes_on_how_long_to_wait() -> None:
    assert answer(errors.ModelRateLimited("x", retry_after_s=2.1)).headers["retry-after"] == "3"
