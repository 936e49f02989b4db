"""Streams: steps, tokens, pings, background runs and resuming; as bytes and as the SDK reads them."""

import json
from typing import Any

import pytest
from letta_client import APIStatusError, Letta
from tests.support.provider import Provider
from tests.support.replies import call, hang, reply, say, think
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, kinds, new_agent


def _frames(server: Server, path: str, body: dict[str, Any]) -> list[str]:
    with server.http as http, http.stream("POST", path, json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return response.read().decode().split("\n\n")


def test_a_stream_is_unnamed_data_lines_that_end_with_done(client: Letta, server: Server, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(reply(think("hm"), call("memory_insert", label="human", new_string="x")), say("done"))
    frames = _frames(server, f"/v1/agents/{agent.id}/messages/stream", {"input": "go"})
    assert frames[-2:] == ["data: [DONE]", ""]
    assert all(frame.startswith("data: {") and "\n" not in frame for frame in frames[:-2])
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert [event["message_type"] for event in events][-2:] == ["stop_reason", "usage_statistics"]
    assert len({event["run_id"] for event in events}) == 1
    assert all("seq_id" not in event or event["seq_id"] is None for event in events)
    assert all(event["date"].endswith(("+00:00", "Z")) for event in events[:-2])


def test_tokens_of_every_kind_join_to_what_is_stored(client: Letta, provider: Provider) -> None:
    tool = client.tools.upsert(source_code=echo_source("echo_tokens"))
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(
        reply(
            think("let me think about this"),
            say("I will call it twice"),
            call("echo_tokens", text="first text", id="c1"),
            call("echo_tokens", text="second text", id="c2"),
        ),
        say("all done now"),
    )
    events: list[Any] = list(client.agents.messages.create(agent.id, input="go", streaming=True, stream_tokens=True))
    by_id: dict[str, list[Any]] = {}
    for event in events[:-2]:
        by_id.setdefault(event.id, []).append(event)
    stored: dict[str, list[Any]] = {}
    for item in client.agents.messages.list(agent.id, order="asc"):
        stored.setdefault(item.id, []).append(item)
    order = list(dict.fromkeys(event.message_type for event in events))
    assert order == [
        "reasoning_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert set(by_id) <= set(stored)
    thoughts = [e for e in events if e.message_type == "reasoning_message"]
    assert len(thoughts) > 1
    assert "".join(e.reasoning for e in thoughts) == "let me think about this"
    arguments: dict[str, str] = {}
    names: dict[str, str] = {}
    for event in events:
        if event.message_type == "tool_call_message":
            arguments[event.tool_call.tool_call_id] = arguments.get(event.tool_call.tool_call_id, "") + (
                event.tool_call.arguments or ""
            )
            names.setdefault(event.tool_call.tool_call_id, event.tool_call.name)
    assert {key: json.loads(text) for key, text in arguments.items()} == {
        "c1": {"text": "first text"},
        "c2": {"text": "second text"},
    }
    assert names == {"c1": "echo_tokens", "c2": "echo_tokens"}
    texts = {
        key: "".join(e.content for e in group)
        for key, group in by_id.items()
        if group[0].message_type == "assistant_message"
    }
    assert list(texts.values()) == ["I will call it twice", "all done now"]
    for key, text in texts.items():
        assert [item.content for item in stored[key] if item.message_type == "assistant_message"] == [text]
    for group in by_id.values():
        for kind in {event.message_type for event in group} - {"tool_call_message"}:
            assert len({event.otid for event in group if event.message_type == kind}) == 1


def test_tokens_come_while_the_model_is_still_writing(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("half way")
    provider.script(reply(say("first", " half"), gate, say(" second half")))
    stream = client.agents.messages.create(agent.id, input="go", streaming=True, stream_tokens=True)
    events = iter(stream)
    assert next(events).content == "first"  # type: ignore[union-attr]
    assert next(events).content == " half"  # type: ignore[union-attr]
    gate.release()
    rest = list(events)
    assert "".join(e.content for e in rest if e.message_type == "assistant_message") == " second half"  # type: ignore[misc]


def test_a_tool_result_is_sent_before_the_next_reply_begins(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    gate = provider.gate("second step")
    provider.script(call("memory_insert", label="human", new_string="x"), hang(gate, say("done")))
    events = iter(client.agents.messages.create(agent.id, input="go", streaming=True))
    assert [next(events).message_type for _ in range(2)] == ["tool_call_message", "tool_return_message"]
    gate.release()
    assert kinds(events) == ["assistant_message", "stop_reason", "usage_statistics"]


def test_the_stream_method_streams_always(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(say("one two"))
    with pytest.warns(DeprecationWarning):
        stream = client.agents.messages.stream(agent.id, input="hi")
    assert kinds(stream) == ["assistant_message", "stop_reason", "usage_statistics"]


def test_pings_come_when_asked_for(own_ping_server: Server, provider: Provider) -> None:
    client = own_ping_server.client
    agent = bare_agent(client)
    gate = provider.gate("silence")
    provider.script(hang(gate, say("finally")))
    events = iter(client.agents.messages.create(agent.id, input="hi", streaming=True, include_pings=True))
    first = next(events)
    assert first.message_type == "ping"
    gate.release()
    rest = kinds(events)
    assert [kind for kind in rest if kind != "ping"] == ["assistant_message", "stop_reason", "usage_statistics"]
    slow, slower = provider.gate("slow"), provider.gate("slower")
    provider.script(reply(say("a"), slow, say("b")), hang(slower, say("x")))
    unasked: Any = iter(client.agents.messages.create(agent.id, input="hi", streaming=True, stream_tokens=True))
    first = next(unasked)
    other: Any = client.agents.messages.create(bare_agent(client).id, input="hi", streaming=True, include_pings=True)
    assert next(iter(other)).message_type == "ping"  # an interval of silence has passed for both
    slower.release()
    slow.release()
    assert kinds([first, *unasked]) == ["assistant_message"] * 2 + ["stop_reason", "usage_statistics"]


def test_a_background_run_is_numbered_and_resumes_exactly(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(
        reply(think("hm hm"), call("memory_insert", label="human", new_string="x")), say("one two three four")
    )
    events: list[Any] = list(
        client.agents.messages.create(agent.id, input="go", streaming=True, background=True, stream_tokens=True)
    )
    numbers = [event.seq_id for event in events]
    assert numbers == list(range(1, len(events) + 1))
    assert kinds(events)[-2:] == ["stop_reason", "usage_statistics"]
    (run_id,) = {event.run_id for event in events}
    assert str(run_id).startswith("run-")
    for after in (0, 3, len(events) - 1):
        again: list[Any] = list(client.runs.messages.stream(run_id, starting_after=after))
        assert [event.seq_id for event in again] == numbers[after:]
        assert [event.model_dump() for event in again] == [event.model_dump() for event in events[after:]]
    assert client.runs.retrieve(run_id).background is True


def test_a_reader_that_hangs_up_goes_on_where_it_stopped(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("middle")
    provider.script(reply(say("a", "b"), gate, say("c", "d")))
    stream = client.agents.messages.create(agent.id, input="go", streaming=True, background=True, stream_tokens=True)
    events: Any = iter(stream)
    first, second = next(events), next(events)
    stream.close()
    resumed: Any = iter(client.runs.messages.stream(first.run_id, starting_after=second.seq_id))
    gate.release()
    rest = list(resumed)
    assert [event.seq_id for event in rest] == [3, 4, 5, 6]
    text = "".join(event.content for event in (first, second, *rest[:-2]))
    assert text == "abcd"
    assert kinds(rest)[-2:] == ["stop_reason", "usage_statistics"]


def test_two_readers_follow_one_run(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("both")
    provider.script(reply(say("a"), gate, say("b")))
    first: Any = iter(
        client.agents.messages.create(agent.id, input="go", streaming=True, background=True, stream_tokens=True)
    )
    head = next(first)
    second: Any = iter(client.runs.messages.stream(head.run_id, starting_after=0))
    assert next(second).content == "a"
    gate.release()
    assert [event.seq_id for event in first] == [event.seq_id for event in second]


@pytest.mark.parametrize("kill", [False, True])
def test_a_background_run_is_followed_after_a_restart(own_server: Server, provider: Provider, kill: bool) -> None:
    client = own_server.client
    agent = new_agent(client)
    provider.script(call("memory_insert", label="human", new_string="x"), say("kept"))
    events: list[Any] = list(client.agents.messages.create(agent.id, input="go", streaming=True, background=True))
    if not kill:
        own_server.stop()
    own_server.restart()
    again: list[Any] = list(own_server.client.runs.messages.stream(events[0].run_id, starting_after=1))
    assert [event.seq_id for event in again] == [event.seq_id for event in events[1:]]
    assert [getattr(event, "id", None) for event in again] == [getattr(event, "id", None) for event in events[1:]]
    assert kinds(again) == kinds(events[1:])


def test_a_background_run_that_takes_too_many_servers_with_it_ends_with_an_error_event(
    own_server: Server, provider: Provider
) -> None:
    client = own_server.client
    agent = new_agent(client)
    provider.script(call("memory_insert", label="human", new_string="x"), hang(provider.gate("never")))
    events: Any = iter(client.agents.messages.create(agent.id, input="go", streaming=True, background=True))
    seen = [next(events), next(events)]
    provider.wait_for_requests(2)
    own_server.restart(REVERIE_RUN_ATTEMPTS="1")
    again: list[Any] = []
    with pytest.raises(APIStatusError) as told:
        for event in own_server.client.runs.messages.stream(seen[0].run_id, starting_after=1):
            again.append(event)
    assert [(event.message_type, event.seq_id) for event in again] == [("tool_return_message", 2), ("stop_reason", 3)]
    assert again[0].id == seen[1].id
    assert told.value.body["error_type"] == "internal_error"  # type: ignore[index]
    ended = own_server.client.runs.retrieve(seen[0].run_id)
    assert (ended.status, ended.stop_reason) == ("failed", "error")
    provider.script(say("still here"))
    answer = own_server.client.agents.messages.create(agent.id, input="next")
    assert answer.messages[-1].content == "still here"  # type: ignore[union-attr]


def test_a_run_goes_on_when_its_reader_hangs_up(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("gone")
    provider.script(reply(say("a"), gate, say("b")), say("next"))
    stream = client.agents.messages.create(agent.id, input="go", streaming=True, stream_tokens=True)
    next(iter(stream))
    stream.close()
    gate.release()
    client.agents.messages.create(agent.id, input="still there?")
    assert provider.requests[1].shape == ["system", "user", "assistant", "user"]
    assert provider.requests[1].turns[1].text == "ab"


def test_the_last_event_a_reader_has_may_stand_in_a_header(client: Letta, server: Server, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(say("one two"))
    events: list[Any] = list(
        client.agents.messages.create(agent.id, input="go", streaming=True, background=True, stream_tokens=True)
    )
    run_id = events[0].run_id
    with server.http as http:
        for path in (f"/v1/runs/{run_id}/stream", f"/v1/conversations/{agent.id}/stream"):
            for body, after in ({}, 2), ({"starting_after": 1}, 1):
                sent = http.post(path, json=body, headers={"Last-Event-ID": "2"}).text.split("\n\n")[:-2]
                numbers = [json.loads(frame.removeprefix("data: "))["seq_id"] for frame in sent]
                assert numbers == [event.seq_id for event in events[after:]]
        assert http.post(path, json={}, headers={"Last-Event-ID": "x"}).status_code == 422


def test_who_resumes_is_sent_pings_while_a_model_is_slow(own_ping_server: Server, provider: Provider) -> None:
    client = own_ping_server.client
    agent = bare_agent(client)
    gate = provider.gate("silence")
    provider.script(hang(gate, say("finally")))
    run = client.agents.messages.create_async(agent.id, input="hi")
    events = iter(client.runs.messages.stream(run.id, include_pings=True))
    assert [next(events).message_type for _ in range(2)] == ["ping", "ping"]
    gate.release()
    assert [kind for kind in kinds(events) if kind != "ping"] == [
        "assistant_message", "stop_reason", "usage_statistics",
    ]  # fmt: skip
