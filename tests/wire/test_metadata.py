"""Account data, and the headers that clients of the retired server send."""

import httpx
import pytest
from tests.support.server import Server

from reverie.domain.ids import DEFAULT_ORGANIZATION, DEFAULT_USER

pytestmark = pytest.mark.one_database("sqlite")


def test_a_client_is_told_who_it_is(server: Server) -> None:
    with server.http as http:
        user = http.get("/v1/metadata/user").json()
        named = http.get("/v1/metadata/user", headers={"X-Project-Id": "mine"}).json()
        status = http.get("/v1/metadata/status", headers={"X-Project-Id": "mine"}).json()
        balance = http.get("/v1/metadata/balance").json()
    assert (user["id"], user["organization_id"], user["organization_name"]) == (
        DEFAULT_USER, DEFAULT_ORGANIZATION, "default",
    )  # fmt: skip
    assert (user["billing_tier"], user["current_project_id"]) == ("self-hosted", None)
    assert named["current_project_id"] == status["current_project_id"] == "mine"
    assert set(balance.values()) == {0, "self-hosted"}


def test_feedback_is_kept_in_the_servers_log_and_telemetry_nowhere(server: Server) -> None:
    event = {"type": "session_start", "timestamp": "2026-11-01", "data": {"session_id": "secret-session"}}
    with server.http as http:
        assert http.post("/v1/metadata/feedback", json={"message": "well done, " * 3}).json() == {"success": True}
        sent = http.post("/v1/metadata/telemetry", json={"service": "letta-code", "events": [event]})
        assert sent.json() == {"success": True}
        assert http.post("/v1/metadata/feedback", json={"message": ""}).status_code == 422
        assert http.post("/v1/metadata/telemetry", json={"service": "letta-code", "events": []}).status_code == 422
    assert "well done" in server.log
    assert "secret-session" not in server.log


@pytest.mark.parametrize(
    "headers",
    [
        {"user_id": "user-00000000-0000-4000-8000-000000000001"},
        {"user-id": "anyone"},
        {"Authorization": "Bearer sk-let-not-ours"},
        {"Authorization": "Bearer dummy", "user_id": "x"},
        {"X-BARE-PASSWORD": "password whatever"},
    ],
)
def test_headers_of_old_clients_change_nothing(server: Server, headers: dict[str, str]) -> None:
    found = httpx.get(f"{server.url}/v1/metadata/user", headers=headers)
    assert found.status_code == 200
    assert found.json()["id"] == DEFAULT_USER
