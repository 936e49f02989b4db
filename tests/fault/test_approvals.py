"""Approvals over the death of the server: they still wait, and their time goes on."""

from typing import Any

import pytest
from tests.support.provider import Provider
from tests.support.replies import call, reply, say
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.samples import bare_agent, echo_source, kinds

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_a_pending_approval_outlives_the_server_and_its_time_ends_after_the_restart(
    own_server: Server, provider: Provider
) -> None:
    client = own_server.client
    tool = client.tools.create(source_code=echo_source("asks"), default_requires_approval=True)
    patient = bare_agent(client, tool_ids=[tool.id], metadata={"approval_timeout_s": 0})
    hasty = bare_agent(client, tool_ids=[tool.id])
    provider.script(reply(call("asks", text="a", id="c1"), call("asks", text="b", id="c2")))
    events = list(client.agents.messages.create(patient.id, input="go", streaming=True, background=True))
    assert kinds(events) == ["approval_request_message", "stop_reason", "usage_statistics"]
    provider.script(call("asks", text="h", id="c3"), say("Another time, then."))
    client.agents.messages.create(hasty.id, input="go")

    own_server.restart(REVERIE_APPROVAL_TIMEOUT_S="0.5")
    until(lambda: any(run.background and run.status == "completed" for run in client.runs.list(agent_id=hasty.id)))
    assert "nobody answered within 0.5 s" in str(provider.requests[-1].turns[-1].results)
    (waiting,) = own_server.http.get("/v1/approvals").json()
    assert (waiting["agent_id"], waiting["expires_at"]) == (patient.id, None)
    provider.script(say("done"))
    answers: Any = [
        {"type": "approval", "tool_call_id": "c1", "approve": True},
        {
            "type": "tool",
            "tool_call_id": "c2",
            "tool_return": "mine",
            "status": "error",
            "stdout": ["o"],
            "stderr": ["e"],
        },
    ]
    given: Any = [{"type": "approval", "approvals": answers}]
    events = list(client.agents.messages.create(patient.id, messages=given, streaming=True, background=True))
    assert kinds(events) == ["tool_return_message", "assistant_message", "stop_reason", "usage_statistics"]
    first, second = events[0].tool_returns  # type: ignore[union-attr,misc]
    assert (first.tool_return, second.tool_return, second.status) == ("echo: a", "mine", "error")
    assert (second.stdout, second.stderr) == (["o"], ["e"])
