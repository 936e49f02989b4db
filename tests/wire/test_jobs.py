"""Batches, jobs and callbacks, which the SDKs do not know any more, over plain HTTP; runs through the SDK."""

import base64
import hashlib
import hmac
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
from letta_client import Letta
from letta_client.types.agents import Run
from tests.support.provider import Provider
from tests.support.receiver import Receiver
from tests.support.replies import call, fail, hang, reply, say
from tests.support.server import ROOT, Server
from tests.wire.samples import bare_agent, new_agent

NOBODY = "agent-00000000-0000-4000-8000-000000000000"
NO_JOB = "job-00000000-0000-4000-8000-000000000000"


def ask(server: Server, method: str, path: str, status: int = 200, **body: Any) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer: httpx.Response = http.request(method, path, json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json()


def until(look: Callable[[], Any], done: Callable[[Any], bool], timeout_s: float = 40.0) -> Any:
    """Look again and again until it is done."""
    deadline = time.monotonic() + timeout_s
    while not done(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def ended(server: Server, job_id: str) -> dict[str, Any]:
    """The batch once it has ended."""
    found: dict[str, Any] = until(
        lambda: ask(server, "GET", f"/v1/messages/batches/{job_id}"), lambda job: job["completed_at"] is not None
    )
    return found


def asked(agent_id: str, text: str = "hi", **more: Any) -> dict[str, Any]:
    """A request of a batch."""
    return {"agent_id": agent_id, "messages": [{"role": "user", "content": text}], **more}


def test_each_request_of_a_batch_is_a_run_and_the_batch_ends_with_them(
    server: Server, client: Letta, provider: Provider
) -> None:
    first, second = new_agent(client), bare_agent(client)
    provider.script(
        reply(call("memory_insert", label="human", new_string="x")),
        when=lambda request: "remember" in request.text and request.turns[-1].role == "user",
    )
    with Receiver() as receiver:
        made = ask(
            server,
            "POST",
            "/v1/messages/batches",
            requests=[asked(first.id, "remember"), asked(second.id), asked(second.id, "again")],
            callback_url=receiver.url,
        )
        assert (made["job_type"], made["status"], made["agent_id"]) == ("batch", "created", None)
        assert made["id"].startswith("job-")
        done = ended(server, made["id"])
        (told,) = receiver.wait(1)
    assert done["status"] == "completed"
    assert done["metadata"]["request_counts"]["completed"] == done["metadata"]["request_counts"]["total"] == 3
    assert told.json == {"job_id": made["id"], "status": "completed", "completed_at": done["completed_at"]}
    written = ask(server, "GET", f"/v1/messages/batches/{made['id']}/messages?order=asc")["messages"]
    assert {message["agent_id"] for message in written} == {first.id, second.id}
    mine = ask(server, "GET", f"/v1/messages/batches/{made['id']}/messages?order=asc&agent_id={first.id}")["messages"]
    assert [message["role"] for message in mine] == ["assistant", "tool", "assistant"]
    assert mine[0]["tool_calls"][0]["function"]["name"] == "memory_insert"
    assert mine[1]["tool_returns"][0]["status"] == "success"
    assert mine[2]["content"] == [{"type": "text", "text": "All right."}]
    page = ask(server, "GET", f"/v1/messages/batches/{made['id']}/messages?order=asc&limit=1&after={mine[0]['id']}")
    assert page["messages"] != [mine[0]]
    assert ask(server, "GET", "/v1/messages/batches?limit=1")[0]["id"] == made["id"]


def test_failures_and_refusals_are_counted_and_told(server: Server, client: Letta, provider: Provider) -> None:
    good, bad = bare_agent(client), bare_agent(client)
    provider.script(fail(400, "no"), when=lambda request: "boom" in request.text)
    approval = {"agent_id": good.id, "messages": [{"type": "approval", "approve": True, "approval_request_id": "x"}]}
    made = ask(
        server, "POST", "/v1/messages/batches", requests=[asked(bad.id, "boom"), approval, asked(good.id)]
    )  # fmt: skip
    done = ended(server, made["id"])
    assert done["status"] == "completed"
    assert (done["metadata"]["request_counts"]["failed"], done["metadata"]["request_counts"]["completed"]) == (2, 1)
    (error,) = done["metadata"]["errors"]
    assert (error["request"], error["agent_id"]) == (1, good.id)
    assert "awaiting approval" in error["error"]


def test_what_cannot_be_a_batch_is_refused_whole(server: Server, client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    assert NOBODY in ask(
        server, "POST", "/v1/messages/batches", 404, requests=[asked(agent.id), asked(NOBODY)]
    )["detail"]  # fmt: skip
    assert "requests" in str(ask(server, "POST", "/v1/messages/batches", 422, requests=[])["detail"])
    assert "messages" in str(ask(server, "POST", "/v1/messages/batches", 422, requests=[{"agent_id": agent.id}]))
    ask(server, "POST", "/v1/messages/batches", 422, requests=[asked(agent.id)], callback_url="ftp://x")
    for method, path in (("GET", ""), ("GET", "/messages"), ("PATCH", "/cancel")):
        ask(server, method, f"/v1/messages/batches/{NO_JOB}{path}", 404)
    assert provider.requests == []


def test_a_cancelled_batch_stops_what_runs_and_begins_nothing_more(
    server: Server, client: Letta, provider: Provider
) -> None:
    agent = bare_agent(client)
    provider.script(hang())
    made = ask(server, "POST", "/v1/messages/batches", requests=[asked(agent.id) for _ in range(3)])
    (request,) = provider.wait_for_requests(1)
    running = ask(server, "GET", f"/v1/jobs/{made['id']}")
    assert (running["status"], running["job_type"]) == ("running", "batch")
    assert made["id"] in {job["id"] for job in ask(server, "GET", "/v1/jobs/active?limit=1000")}
    ask(server, "DELETE", f"/v1/jobs/{made['id']}", 409)
    done = ask(server, "PATCH", f"/v1/messages/batches/{made['id']}/cancel")
    assert done["status"] == "cancelled"
    assert done["metadata"]["request_counts"]["cancelled"] == 1
    request.wait_disconnected()
    assert len(provider.requests) == 1
    assert ask(server, "PATCH", f"/v1/jobs/{made['id']}/cancel")["completed_at"] == done["completed_at"]
    assert client.agents.messages.create(agent.id, input="hi").stop_reason.stop_reason == "end_turn"
    assert ask(server, "DELETE", f"/v1/jobs/{made['id']}")["id"] == made["id"]
    ask(server, "GET", f"/v1/jobs/{made['id']}", 404)


def test_a_killed_server_goes_on_with_a_batch(own_server: Server, provider: Provider) -> None:
    agent = bare_agent(own_server.client)
    provider.script(hang())
    with Receiver() as receiver:
        made = ask(
            own_server,
            "POST",
            "/v1/messages/batches",
            requests=[asked(agent.id, f"{n}") for n in range(3)],
            callback_url=receiver.url,
        )
        provider.wait_for_requests(1)
        own_server.restart()
        done = ended(own_server, made["id"])
        receiver.wait(1)
    counts = done["metadata"]["request_counts"]
    assert (done["status"], counts["failed"], counts["completed"]) == ("completed", 0, 3)


def test_jobs_are_runs_and_batches_in_one_order(server: Server, client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    started = client.agents.messages.create_async(agent.id, input="one")
    batch = ask(server, "POST", "/v1/messages/batches", requests=[asked(agent.id)])
    ended(server, batch["id"])
    later = client.agents.messages.create_async(agent.id, input="two")
    until(lambda: client.runs.retrieve(later.id).status, lambda status: status == "completed")
    jobs = ask(server, "GET", "/v1/jobs?limit=4")
    assert [job["job_type"] for job in jobs] == ["run", "run", "batch", "run"]
    assert (jobs[0]["id"], jobs[2]["id"], jobs[3]["id"]) == (later.id, batch["id"], started.id)
    assert (jobs[0]["agent_id"], jobs[0]["status"], jobs[0]["stop_reason"]) == (agent.id, "completed", "end_turn")
    for order, cursor, wanted in (
        ("desc", "after", [3]),
        ("desc", "before", [1]),
        ("asc", "after", [1]),
        ("asc", "before", [3]),
    ):
        page = ask(server, "GET", f"/v1/jobs?limit=1&order={order}&{cursor}={batch['id']}")
        assert [job["id"] for job in page] == [jobs[place]["id"] for place in wanted]
    page = ask(server, "GET", f"/v1/jobs?limit=2&order=desc&after={jobs[1]['id']}")
    assert [job["id"] for job in page] == [jobs[2]["id"], jobs[3]["id"]]
    oldest = ask(server, "GET", f"/v1/jobs?limit=2&ascending=true&after={started.id}")
    assert [job["id"] for job in oldest] == [jobs[2]["id"], jobs[1]["id"]]
    assert ask(server, "GET", "/v1/jobs?source_id=source-1") == []
    ask(server, "GET", f"/v1/jobs?after={NO_JOB}", 404)
    assert ask(server, "GET", f"/v1/jobs/{later.id}")["job_type"] == "run"
    assert ask(server, "PATCH", f"/v1/jobs/{later.id}/cancel")["status"] == "completed"
    ask(server, "DELETE", f"/v1/jobs/{later.id}")
    ask(server, "GET", f"/v1/jobs/{later.id}", 404)


def called_back(client: Letta, run: Run) -> Run:
    """The run once its callback was made, or given up for now."""
    found: Run = until(lambda: client.runs.retrieve(run.id), lambda seen: seen.callback_sent_at is not None)
    return found


def test_a_callback_is_signed_and_tried_again_until_it_is_taken(
    server: Server, client: Letta, provider: Provider
) -> None:
    agent = bare_agent(client)
    with Receiver(500) as receiver:
        run = client.agents.messages.create_async(agent.id, input="hi", callback_url=receiver.url)
        first, second = receiver.wait(2)
        done = until(lambda: client.runs.retrieve(run.id), lambda seen: seen.callback_status_code == 200)
    assert done.callback_error is None
    assert first.body == second.body
    told: Any = first.json
    assert (told["run_id"], told["status"], told["stop_reason"]) == (run.id, "completed", "end_turn")
    result = told["metadata"]["result"]
    assert result["messages"] == ask(server, "GET", f"/v1/runs/{run.id}/messages")
    assert [item["message_type"] for item in result["messages"]] == ["user_message", "assistant_message"]
    assert (result["stop_reason"]["stop_reason"], result["usage"]["run_ids"]) == ("end_turn", [run.id])
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    secret = subprocess.run(
        [sys.executable, "-m", "reverie.cli.main", "keys", "callback-secret", "--data-dir", str(server.data_dir)]
        + (["--database-url", server.database_url] if server.database_url else []),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "HOME": str(server.data_dir)},
    ).stdout.strip()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{second.headers['webhook-id']}.{second.headers['webhook-timestamp']}.".encode() + second.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert second.headers["webhook-signature"] == f"v1,{expected}"


def test_a_callback_outlives_a_kill_and_tells_what_went_wrong(own_server: Server, provider: Provider) -> None:
    agent = bare_agent(own_server.client)
    provider.script(hang(), say("unused"))
    with Receiver(410) as receiver:
        run = own_server.client.agents.messages.create_async(agent.id, input="hi", callback_url=receiver.url)
        provider.wait_for_requests(1)
        own_server.restart(REVERIE_RUN_ATTEMPTS="1")
        (told,) = receiver.wait(1)
    assert (told.json["run_id"], told.json["status"]) == (run.id, "failed")
    assert "error_type" in str(told.json["metadata"])
    done = called_back(own_server.client, run)
    assert (done.callback_status_code, done.status) == (410, "failed")
    assert "410" in str(done.callback_error)
