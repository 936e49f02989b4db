"""Messages: sent in every form, listed in every order."""

import base64
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from letta_client import APIStatusError, BadRequestError, Letta, NotFoundError, UnprocessableEntityError
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import Usage, call, hang, redacted, reply, say, think
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.samples import ANTHROPIC_MODEL, PIXEL, bare_agent, echo_source, kinds, new_agent


@pytest.mark.parametrize(
    "sent",
    [
        {"input": "hello"},
        {"messages": [{"role": "user", "content": "hello"}]},
        {"messages": [{"type": "message", "role": "user", "content": [{"type": "text", "text": "hello"}]}]},
        {"input": [{"type": "text", "text": "hello"}]},
    ],
)
def test_a_message_may_be_said_in_several_ways(client: Letta, provider: Provider, sent: dict[str, Any]) -> None:
    agent = bare_agent(client)
    provider.script(say("hi"))
    answer = client.agents.messages.create(agent.id, **sent)
    assert answer.messages[-1].content == "hi"
    assert provider.requests[0].text == "hello"


def test_several_messages_and_roles_go_in_order(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    client.agents.messages.create(
        agent.id,
        messages=[
            {"role": "user", "content": "one", "otid": "mine-1", "name": "Ada"},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "two"},
        ],
    )
    assert [turn.text for turn in provider.requests[0].turns if turn.role == "user"][-1].endswith("two")
    assert "be brief" in str(provider.requests[0].body)
    listed = list(client.agents.messages.list(agent.id, order="asc"))
    said = [(item.message_type, item.otid, item.name) for item in listed if item.message_type == "user_message"]
    assert said == [("user_message", "mine-1", "Ada"), ("user_message", said[1][1], None)]


@pytest.mark.parametrize("model", [MODEL, ANTHROPIC_MODEL])
def test_an_image_reaches_the_model_as_it_was_sent(client: Letta, provider: Provider, model: str) -> None:
    agent = bare_agent(client, model=model)
    provider.script(say("a dot"))
    client.agents.messages.create(
        agent.id,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is it?"},
                    {"type": "image", "source": {"type": "base64", "data": PIXEL, "media_type": "image/png"}},
                ],
            }
        ],
    )
    request = provider.requests[0]
    assert request.turns[-1].images == 1
    assert request.text == "what is it?"
    assert PIXEL in request.raw.decode()
    stored = client.agents.messages.list(agent.id, include_return_message_types=["user_message"]).items[0]
    parts: Any = stored.content  # type: ignore[union-attr]
    assert [part.type for part in parts] == ["text", "image"]
    assert base64.b64decode(parts[1].source.data) == base64.b64decode(PIXEL)
    provider.script(say("still a dot"))
    client.agents.messages.create(agent.id, input="and now?")
    assert PIXEL in provider.requests[1].raw.decode()


def test_lists_are_newest_first_and_page_without_gaps(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    for n in range(6):
        provider.script(say(f"a{n}"))
        client.agents.messages.create(agent.id, input=f"u{n}")
    spoken = [word for n in range(6) for word in (f"u{n}", f"a{n}")]

    def texts(page: Any) -> list[str]:
        return [item.content for item in page if item.message_type in ("user_message", "assistant_message")]

    whole = client.agents.messages.list(agent.id, limit=10_000).items
    assert texts(whole) == spoken[::-1]
    assert texts(client.agents.messages.list(agent.id, order="asc")) == spoken
    ids = [item.id for item in whole]
    assert len(set(ids)) == len(ids)
    assert all(item_id.startswith("message-") for item_id in ids)
    assert [item.id for item in client.agents.messages.list(agent.id, limit=3)] == ids
    assert [item.id for item in client.agents.messages.list(agent.id, limit=3, order="asc")] == ids[::-1]
    middle = ids[5]
    after = [item.id for item in client.agents.messages.list(agent.id, after=middle, limit=2).items]
    before = [item.id for item in client.agents.messages.list(agent.id, before=middle, limit=2).items]
    assert (before, after) == (ids[6:8], ids[6:8])
    upwards = [item.id for item in client.agents.messages.list(agent.id, order="asc", after=middle, limit=2).items]
    assert upwards == [ids[4], ids[3]]
    page = client.agents.messages.list(agent.id, before=ids[3], limit=4, order="asc")
    backwards = [item.id for item in page.items]
    while page.has_next_page():
        page = page.get_next_page()
        backwards = [item.id for item in page.items] + backwards
    assert backwards == ids[:3:-1]
    seen, scrolled = ids[:4], client.agents.messages.list(agent.id, before=ids[3], limit=4).items
    while scrolled:  # as chat programs do
        seen += [item.id for item in scrolled]
        scrolled = client.conversations.messages.list(agent.id, before=seen[-1], limit=4, order="desc").items
    assert seen == ids


def test_a_step_of_several_messages_pages_as_one_list(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(
        reply(think("hm"), say("let me see"), call("memory_insert", label="human", new_string="x")), say("done")
    )
    answer = client.agents.messages.create(agent.id, input="go")
    wanted = ["reasoning_message", "assistant_message", "tool_call_message", "tool_return_message", "assistant_message"]
    assert kinds(answer.messages) == wanted
    listed = list(client.agents.messages.list(agent.id, order="asc", limit=2))
    tail = [item for item in listed if item.message_type not in ("system_message", "user_message")]
    assert kinds(tail) == wanted
    assert [item.id for item in tail] == [item.id for item in answer.messages]
    assert [str(item.otid)[-1] for item in tail] == ["0", "1", "2", "0", "0"]  # programs look at these digits
    steps = [item.step_id for item in answer.messages]
    assert len({*steps[:4]}) == 1
    assert steps[4] != steps[0]
    assert str(steps[0]).startswith("step-")


def test_answers_and_lists_show_only_the_types_asked_for(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(reply(think("hm"), call("memory_insert", label="human", new_string="x")), reply(say("done")))
    answer = client.agents.messages.create(agent.id, input="go", include_return_message_types=["tool_return_message"])
    assert kinds(answer.messages) == ["tool_return_message"]
    listed = client.agents.messages.list(
        agent.id, include_return_message_types=["reasoning_message", "assistant_message"], order="asc"
    )
    assert kinds(listed) == ["reasoning_message", "assistant_message"]
    stream = client.agents.messages.create(
        agent.id, input="again", streaming=True, include_return_message_types=["tool_call_message"]
    )
    assert kinds(stream) == ["stop_reason", "usage_statistics"]


def test_a_tool_call_and_its_return_have_both_forms(client: Letta, provider: Provider) -> None:
    tool = client.tools.upsert(source_code=echo_source("echo_forms"))
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(reply(call("echo_forms", text="a", id="c1"), call("echo_forms", text="b", id="c2")), say("ok"))
    called, returned, _ = client.agents.messages.create(agent.id, input="twice").messages
    assert called.message_type == "tool_call_message"
    assert returned.message_type == "tool_return_message"
    calls: Any = called.tool_calls
    assert [(item.name, item.tool_call_id, item.arguments.replace(" ", "")) for item in calls] == [
        ("echo_forms", "c1", '{"text":"a"}'),
        ("echo_forms", "c2", '{"text":"b"}'),
    ]
    assert called.tool_call.tool_call_id == "c1"
    returns: Any = returned.tool_returns
    assert [(item.tool_call_id, item.status, item.tool_return) for item in returns] == [
        ("c1", "success", "echo: a"),
        ("c2", "success", "echo: b"),
    ]
    assert (returned.tool_call_id, returned.status, returned.tool_return) == ("c1", "success", "echo: a")
    assert provider.requests[1].shape[-3:] == ["assistant:echo_forms", "assistant:echo_forms", "tool:echo: a"] or (
        provider.requests[1].shape[-2:] == ["tool:echo: a", "tool:echo: b"]
    )


def test_older_agents_speak_through_send_message(client: Letta, provider: Provider) -> None:
    agent = client.agents.create(model=MODEL, agent_type="memgpt_agent", memory_blocks=[])
    assert "send_message" in {tool.name for tool in agent.tools}
    provider.script(call("send_message", message="Hello there"))
    answer = client.agents.messages.create(agent.id, input="hi")
    spoken = [item for item in answer.messages if item.message_type == "assistant_message"]
    assert [item.content for item in spoken] == ["Hello there"]
    assert answer.stop_reason.stop_reason == "end_turn"
    assert len(provider.requests) == 1
    raw = client.agents.messages.list(agent.id, use_assistant_message=False, order="asc")
    assert "tool_call_message" in kinds(raw)
    assert "assistant_message" in kinds(client.agents.messages.list(agent.id))
    provider.script(call("send_message", message="One two three"))
    stream = client.agents.messages.create(agent.id, input="hi", streaming=True, stream_tokens=True)
    pieces = [item.content for item in stream if item.message_type == "assistant_message"]
    assert len(pieces) > 1
    assert "".join(map(str, pieces)) == "One two three"
    provider.script(call("send_message", message="bare"))
    bare = client.agents.messages.create(agent.id, input="hi", use_assistant_message=False)
    assert "tool_call_message" in kinds(bare.messages)


def test_a_turn_ends_after_max_steps_and_the_next_message_works(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.default = call("memory_insert", label="human", new_string="x")
    answer = client.agents.messages.create(agent.id, input="loop", max_steps=2)
    assert (answer.stop_reason.stop_reason, answer.usage.step_count) == ("max_steps", 2)
    provider.default = say("fine")
    assert client.agents.messages.create(agent.id, input="stop").messages[-1].content == "fine"  # type: ignore[union-attr]


def test_an_override_acts_for_one_request_and_changes_nothing_stored(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, system="You are terse.")
    client.agents.messages.create(
        agent.id, input="one", override_model=ANTHROPIC_MODEL, override_system="You are a pirate."
    )
    client.agents.messages.create(agent.id, input="two")
    first, second = provider.requests
    assert (first.dialect, first.model) == ("anthropic", "claude-sonnet-4-5")
    assert "pirate" in first.system
    assert second.model == "gpt-4o-mini"
    assert "pirate" not in second.system
    assert "You are terse." in second.system
    again = client.agents.retrieve(agent.id)
    assert (again.model, again.system) == (MODEL, "You are terse.")


def test_an_unknown_override_model_is_404(client: Letta) -> None:
    agent = bare_agent(client)
    with pytest.raises(NotFoundError) as refused:
        client.agents.messages.create(agent.id, input="one", override_model="nobody/nothing")
    assert "nobody/nothing" in str(refused.value.body)


def test_usage_is_summed_over_the_steps(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(
        reply(
            call("memory_insert", label="human", new_string="x"),
            usage=Usage(prompt=100, completion=10, cached=40, reasoning=3),
        ),
        reply(say("done"), usage=Usage(prompt=200, completion=20, cached=150, reasoning=4)),
    )
    usage = client.agents.messages.create(agent.id, input="go").usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (300, 30, 330)
    assert (usage.cached_input_tokens, usage.reasoning_tokens, usage.step_count) == (190, 7, 2)
    assert usage.run_ids is not None
    assert len(usage.run_ids) == 1


def test_reasoning_goes_back_verbatim_to_its_provider_and_to_no_other(client: Letta, provider: Provider) -> None:
    tool = client.tools.upsert(source_code=echo_source("echo_think"))
    agent = bare_agent(client, model=ANTHROPIC_MODEL, tool_ids=[tool.id], reasoning=True)
    provider.script(
        reply(think("first thought", signature="sig-1"), redacted("b64=="), call("echo_think", text="x")), say("done")
    )
    answer = client.agents.messages.create(agent.id, input="think")
    thought = answer.messages[0]
    assert thought.message_type == "reasoning_message"
    assert (thought.reasoning, thought.signature) == ("first thought", "sig-1")
    back = provider.requests[1].raw.decode()
    assert '"thinking":"first thought"' in back.replace('": "', '":"')
    assert "sig-1" in back
    assert "b64==" in back
    provider.script(say("next"))
    client.agents.messages.create(agent.id, input="and now elsewhere", override_model=MODEL)
    other = provider.requests[2]
    assert other.dialect.startswith("openai")
    assert "sig-1" not in other.raw.decode()
    assert "first thought" not in other.raw.decode()


def test_a_reset_forgets_messages_and_keeps_memory(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    client.agents.messages.create(agent.id, input="remember the tea")
    client.agents.messages.reset(agent.id)
    assert "user_message" not in kinds(client.agents.messages.list(agent.id))
    client.agents.messages.create(agent.id, input="anew")
    assert provider.requests[-1].shape == ["system", "user"]
    assert "Name: unknown" in provider.requests[-1].system


def in_line(server: Server) -> bool:
    """Whether somebody waits for a conversation, which no operation tells of those who wait for their answer here."""
    path = (server.database_url or "").removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return bool(database.execute("SELECT count(*) FROM waiting").fetchone()[0])


@pytest.mark.one_database("sqlite")
def test_a_reset_forgets_what_waits_in_line_whole_or_not_at_all(
    client: Letta, server: Server, provider: Provider
) -> None:
    agent = bare_agent(client)
    late = provider.gate("late")
    provider.script(hang(provider.gate("never")), hang(late, say("two")))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        second = pool.submit(lambda: client.agents.messages.create(agent.id, input="b"))
        until(lambda: in_line(server))
        client.agents.messages.reset(agent.id)
        late.release()
        assert first.result(timeout=30).stop_reason.stop_reason == "cancelled"
        second.result(timeout=30)
    history = client.agents.messages.list(agent.id, order="asc").items
    assert kinds(history)[1:] in ([], ["user_message", "assistant_message"])


def test_a_stored_message_is_found_by_its_id(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(say("to be found"))
    made = client.agents.messages.create(agent.id, input="hi").messages[0]
    found = client.messages.retrieve(made.id)
    assert [(item.message_type, item.content) for item in found] == [("assistant_message", "to be found")]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"input": "x", "stream_tokens": True},
        {"input": "x", "background": True},
        {"input": "x", "max_steps": "many"},
    ],
)
def test_a_malformed_message_is_422_and_leaves_nothing_behind(
    client: Letta, server: Server, provider: Provider, body: dict[str, Any]
) -> None:
    agent = bare_agent(client)
    with pytest.raises(UnprocessableEntityError) as refused:
        client.post(f"/v1/agents/{agent.id}/messages", body=body, cast_to=object)
    assert refused.value.body["detail"]  # type: ignore[index]
    assert provider.requests == []
    assert "user_message" not in kinds(client.agents.messages.list(agent.id))


@pytest.mark.parametrize(
    "body", [{"input": ""}, {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}]
)
def test_a_message_that_says_nothing_is_refused(client: Letta, provider: Provider, body: dict[str, Any]) -> None:
    agent = bare_agent(client)
    for path in ("", "/stream", "/async"):
        with pytest.raises(BadRequestError, match="Message content is empty"):
            client.post(f"/v1/agents/{agent.id}/messages{path}", body=body, cast_to=object)
    assert provider.requests == []
    assert kinds(client.agents.messages.list(agent.id)) == ["system_message"]


def test_an_image_that_is_no_image_is_refused(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    source: Any = {"type": "base64", "data": "not base64!", "media_type": "image/png"}
    with pytest.raises(APIStatusError) as refused:
        client.agents.messages.create(
            agent.id, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}]
        )
    assert refused.value.status_code in (400, 422)
    assert provider.requests == []
