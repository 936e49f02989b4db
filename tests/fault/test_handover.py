"""Background runs outlive the process that drives them: another goes on from what was saved, and repeats no call."""

import contextlib
import threading
from typing import Any

import httpx
import pytest
from letta_client import APIError, Letta
from tests.support.databases import database_urls
from tests.support.provider import Provider, roles
from tests.support.replies import call, hang, reply, say
from tests.support.server import Server, provider_environment, running_server
from tests.support.waiting import until
from tests.wire.samples import bare_agent

COUNT = '''
def count_up(amount: int) -> str:
    """Count.

    Args:
        amount: how far
    """
    return f"counted {amount}"
'''
CALLED = ["system", "user", "assistant:count_up", "tool"]
GOES_ON = {
    # where it dies: what the model reads first after the restart, and what the call came to
    "reply_streaming:2": (["system", "user"], None),
    "reply_saved": (CALLED, "may have taken effect or not"),
    "tools_done": (CALLED, "may have taken effect or not"),
    "model_called:2": (CALLED, "counted 2"),
}
WHERE = dict(zip(GOES_ON, ("postgresql", "sqlite", "postgresql", "sqlite"), strict=True))


def _counting_agent(client: Letta) -> str:
    tool = client.tools.upsert(source_code=COUNT)
    return bare_agent(client, tool_ids=[tool.id]).id


class Reader:
    """Sends a background message, and reads along until the line is cut."""

    def __init__(self, client: Letta, agent_id: str) -> None:
        self._client = client
        self._agent_id = agent_id
        self.seen: list[dict[str, Any]] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        with contextlib.suppress(APIError, OSError, httpx.HTTPError):
            for event in self._client.agents.messages.create(
                self._agent_id, input="count", streaming=True, stream_tokens=True, background=True
            ):
                self.seen.append(event.model_dump())


def _check_pieces(client: Letta, run_id: str, events: list[Any]) -> None:
    """What was told in pieces joins to what is stored, over the death of who told it."""
    for item in client.runs.messages.list(run_id):
        pieces = [event for event in events if event.message_type == item.message_type and event.id == item.id]
        if item.message_type == "assistant_message":
            assert "".join(piece.content for piece in pieces) == item.content
        elif item.message_type == "tool_call_message":
            assert "".join(piece.tool_call.arguments for piece in pieces) == item.tool_call.arguments


def _events(client: Letta, run_id: str) -> list[Any]:
    return list(client.runs.messages.stream(run_id))


def _ended(client: Letta, run_id: str) -> Any:
    until(lambda: client.runs.retrieve(run_id).completed_at is not None)
    return client.runs.retrieve(run_id)


@pytest.mark.parametrize("point", GOES_ON)
def test_what_was_begun_is_gone_on_with_after_kill_9_and_what_waits_behind_it_follows(
    provider: Provider, point: str
) -> None:
    read, result = GOES_ON[point]
    crashing = {**provider_environment(provider), "REVERIE_CRASH_AT": point}
    with database_urls(WHERE[point]) as url, running_server(url, crashing) as server:
        agent_id = _counting_agent(server.client)
        gate = provider.gate("until the second one waits")
        provider.script(reply(gate, say("I count."), call("count_up", amount=2)), say("never said"))
        reader = Reader(server.client, agent_id)
        provider.wait_for_requests(1)
        (first,) = server.client.runs.list(agent_id=agent_id, active=True).items
        second = server.client.agents.messages.create_async(agent_id, input="and then?")
        assert second.status == "created"
        gate.release()
        server.wait_dead()
        reader.thread.join(timeout=30)

        provider.reset()
        provider.script(say("went on"), say("then this"))
        client = server.restart(REVERIE_CRASH_AT="").client
        done, after = _ended(client, first.id), _ended(client, second.id)
        assert [(run.status, run.stop_reason) for run in (done, after)] == [("completed", "end_turn")] * 2
        assert roles(provider.requests[0]) == read
        assert len(provider.requests) == 2
        assert provider.requests[1].turns[-1].text == "and then?"
        if result is not None:
            assert result in str(provider.requests[0].turns[-1].results)
        steps = list(client.runs.steps.list(first.id, order="asc"))
        interrupted = point in ("reply_saved", "tools_done")
        assert [step.status for step in steps] == [
            *(["failed" if interrupted else "success"] * bool(result)),
            "success",
        ]
        events = _events(client, first.id)
        assert [event.model_dump() for event in events[: len(reader.seen)]] == reader.seen
        assert [event.seq_id for event in events] == list(range(1, len(events) + 1))
        assert [event.message_type for event in events].count("stop_reason") == 1
        _check_pieces(client, first.id, events)
        assert events[-1].step_count == len(steps)
        said = [
            item for item in client.agents.messages.list(agent_id, order="asc") if item.message_type == "user_message"
        ]
        assert [item.content for item in said] == ["count", "and then?"]


def test_a_server_that_leaves_hands_its_background_runs_to_the_next(provider: Provider) -> None:
    leaving = {**provider_environment(provider), "REVERIE_DRAIN_TIMEOUT_S": "0.2"}
    with database_urls("sqlite") as url, running_server(url, leaving) as server:
        agent_id = _counting_agent(server.client)
        provider.script(call("count_up", amount=2), hang(provider.gate("never")))
        run = server.client.agents.messages.create_async(agent_id, input="count")
        provider.wait_for_requests(2)
        seen = [server.client.runs.retrieve(run.id).status, server.stop()]
        assert seen == ["running", 0]

        provider.reset()
        gate = provider.gate("gone on with")
        provider.script(hang(gate, say("went on")))
        client = server.start().client
        provider.wait_for_requests(1)
        assert roles(provider.requests[0]) == CALLED
        assert client.runs.retrieve(run.id).status == "running"
        gate.release()
        assert _ended(client, run.id).status == "completed"
        events = _events(client, run.id)
        assert [event.message_type for event in events][-3:] == ["assistant_message", "stop_reason", "usage_statistics"]
        assert [event.seq_id for event in events] == list(range(1, len(events) + 1))


@pytest.mark.one_database("postgresql")
@pytest.mark.parametrize("how", ["cancel", "interrupt"])
def test_a_run_that_waits_to_be_gone_on_with_is_ended_by_a_cancel(
    own_server: Server, provider: Provider, how: str
) -> None:
    client = own_server.client
    agent_id = _counting_agent(client)
    provider.script(call("count_up", amount=2), hang(provider.gate("never")))
    run = client.agents.messages.create_async(agent_id, input="count")
    provider.wait_for_requests(2)
    own_server.kill()
    provider.reset()
    client = own_server.start(REVERIE_WORKERS="0").client  # nobody goes on with it
    assert client.runs.retrieve(run.id).status == "running"
    if how == "cancel":
        assert client.agents.messages.cancel(agent_id, run_ids=[run.id]) == {run.id: "cancelled"}
    answer = client.agents.messages.create(agent_id, input="next", extra_body={"busy_policy": "interrupt"})
    assert answer.stop_reason.stop_reason == "end_turn"
    ended = client.runs.retrieve(run.id)
    assert (ended.status, ended.stop_reason) == ("cancelled", "cancelled")
    events = _events(client, run.id)
    assert [event.message_type for event in events][-2:] == ["stop_reason", "usage_statistics"]
    assert [event.seq_id for event in events] == list(range(1, len(events) + 1))
    assert roles(provider.requests[0]) == [*CALLED, "user"]
