"""Contexts that would overflow: what leaves, what stands in for it, and what the provider is sent."""

import json
from itertools import pairwise
from typing import Any

import pytest
from letta_client import Letta
from tests.conftest import MODEL
from tests.support.provider import Provider, Request
from tests.support.replies import Usage as Counted
from tests.support.replies import call, fail, reply, say
from tests.support.server import Server
from tests.wire.samples import ANTHROPIC_MODEL, bare_agent, kinds

OVERFLOW = fail(400, "This model's maximum context length is 4096 tokens", code="context_length_exceeded")
SMALL = 4_096
NARROW = "openai/narrow"
"""A model of which no other test teaches the server how it counts."""
FILLER = "the quick brown fox jumps over the lazy dog " * 10
"""Some 440 characters."""


def small_agent(client: Letta, **more: Any) -> str:
    """An agent with the smallest context there is."""
    return bare_agent(client, **{"model": NARROW, "context_window_limit": SMALL, **more}).id


def fill(client: Letta, provider: Provider, agent_id: str, turns: int = 12) -> None:
    """Say a lot; ends just before or after the context is full."""
    for number in range(turns):
        client.agents.messages.create(agent_id, input=f"fact {number}: {FILLER}")


def is_summary(request: Request) -> bool:
    """Whether a request asks for notes."""
    return "notes" in request.system or "notes for yourself" in request.text


def sent_chars(request: Request) -> int:
    """How much the provider was sent, without the names of JSON."""
    return len(request.system) + sum(
        len(turn.text) + len(str(turn.calls) + str(turn.results)) for turn in request.turns
    )


def stored_users(client: Letta, agent_id: str) -> int:
    found = client.agents.messages.list(agent_id, include_return_message_types=["user_message"], limit=1000)
    return len(list(found))


def test_a_full_context_is_compacted_before_it_overflows_and_nothing_leaves_the_history(
    client: Letta, provider: Provider
) -> None:
    agent_id = small_agent(client)
    provider.script(*[say("They told me facts. The code is 7341.")] * 9, when=is_summary)
    seen: list[str] = []
    told: list[Any] = []
    for number in range(30):
        answer = client.agents.messages.create(
            agent_id, input=f"fact {number}: {FILLER * 2}", include_compaction_messages=True
        )
        seen += kinds(answer.messages)
        told += [item for item in answer.messages if item.message_type in ("event_message", "summary_message")]
    assert seen.count("assistant_message") == 30
    assert seen.count("event_message") == seen.count("summary_message") >= 2
    event, summary = told[0], told[1]
    assert (event.event_type, event.event_data["trigger"]) == ("compaction", "context_window_exceeded")
    assert event.event_data["context_window"] == pytest.approx(SMALL, abs=2)
    assert "7341" in summary.summary
    assert summary.compaction_stats.messages_count_after < summary.compaction_stats.messages_count_before
    assert summary.compaction_stats.context_tokens_after < summary.compaction_stats.context_tokens_before
    assert all(sent_chars(request) < SMALL * 3.6 for request in provider.requests)
    assert "7341" in provider.requests[-1].turns[0].text
    assert provider.requests[-1].text.startswith("fact 29")
    assert stored_users(client, agent_id) == 30
    silent = client.agents.messages.create(agent_id, input="and?")
    assert kinds(silent.messages) == ["assistant_message"]


def test_the_same_comes_in_streams(client: Letta, server: Server, provider: Provider) -> None:
    agent_id = small_agent(client)
    fill(client, provider, agent_id, 20)
    wish = {"input": FILLER * 20, "include_compaction_messages": True, "streaming": True, "stream_tokens": True}
    events: list[str] = []
    with server.http as http:
        # Streams of the SDK know no such messages; who asks for them reads the events.
        for line in http.post(f"/v1/agents/{agent_id}/messages", json=wish).text.splitlines():
            if line.startswith("data: {"):
                events.append(json.loads(line[6:])["message_type"])
    assert events[:2] == ["event_message", "summary_message"]
    assert "assistant_message" in events


@pytest.mark.parametrize("mode", ["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"])
def test_each_mode_makes_room_in_the_middle_of_a_turn(client: Letta, provider: Provider, mode: str) -> None:
    agent_id = small_agent(client, compaction_settings={"mode": mode}, tools=["core_memory_append"],
                           memory_blocks=[{"label": "log", "value": ""}])  # fmt: skip
    fill(client, provider, agent_id, 14)
    before = len(provider.requests)
    provider.script(*[say("Notes.")] * 9, when=is_summary)
    provider.script(*[call("core_memory_append", label="log", content=FILLER)] * 6, say("done"))
    answer = client.agents.messages.create(
        agent_id, input="The question of questions?", include_compaction_messages=True
    )
    assert answer.stop_reason.stop_reason == "end_turn"
    assert "summary_message" in kinds(answer.messages)
    turns = [request for request in provider.requests[before:] if not is_summary(request)]
    assert all("The question of questions?" in str(request.body["messages"]) for request in turns)
    for request in provider.requests[before:]:
        calls = [item for turn in request.turns for item in turn.calls]
        results = [item for turn in request.turns for item in turn.results]
        assert len(calls) == len(results)
        assert sent_chars(request) < SMALL * 3.6


def test_a_provider_that_refuses_a_request_as_too_long_gets_a_shorter_one(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client).id
    fill(client, provider, agent_id, 6)
    provider.reset()
    provider.script(say("Short notes."), when=is_summary)
    provider.script(OVERFLOW, OVERFLOW, say("Now it fits."))
    answer = client.agents.messages.create(agent_id, input="go", include_compaction_messages=True)
    assert answer.stop_reason.stop_reason == "end_turn"
    turns = [request for request in provider.requests if not is_summary(request)]
    assert len(turns) == 3
    assert sent_chars(turns[0]) > sent_chars(turns[1]) >= sent_chars(turns[2])
    assert turns[-1].text == "go"
    assert kinds(answer.messages)[:2] == ["event_message", "summary_message"]


def test_a_summarising_model_that_fails_is_told_and_excerpts_take_its_place(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client, compaction_settings={"model": ANTHROPIC_MODEL, "mode": "sliding_window"}).id
    fill(client, provider, agent_id, 4)
    provider.reset()
    provider.script(fail(400, "no credit here"), when=is_summary)
    provider.script(OVERFLOW, say("Going on."))
    answer: Any = client.agents.messages.create(agent_id, input="go", include_compaction_messages=True)
    assert kinds(answer.messages) == ["event_message", "event_message", "summary_message", "assistant_message"]
    assert answer.messages[1].event_data["summary_failed"] is True
    assert "no credit here" in answer.messages[1].event_data["error"]
    assert "user: fact 0" in answer.messages[2].summary
    assert next(request for request in provider.requests if is_summary(request)).dialect == "anthropic"
    assert "user: fact 0" in provider.requests[-1].turns[0].text
    lost = client.agents.messages.create(agent_id, input="again")
    assert lost.stop_reason.stop_reason == "end_turn"


def test_a_long_history_is_folded_in_parts_that_fit_the_summarising_model(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client).id
    provider.script(call("send_nothing", text="y" * 60_000), say("ok"))
    client.agents.messages.create(agent_id, input="x" * 60_000)
    fill(client, provider, agent_id, 30)
    client.agents.update(agent_id, context_window_limit=SMALL)
    provider.reset()
    provider.script(*[say(f"Notes {number}.") for number in range(8)], when=is_summary)
    done = client.agents.messages.compact(agent_id, compaction_settings={"mode": "all"})
    parts = provider.requests
    assert 1 < len(parts) <= 8
    assert all(is_summary(request) for request in parts)
    assert all(sent_chars(request) < SMALL * 3.6 * 0.75 for request in parts)
    for number, request in enumerate(parts[1:]):
        assert f"earlier notes: Notes {number}." in request.text
    assert done.summary.endswith(f"Notes {len(parts) - 1}.")
    assert "fact 29" in parts[-1].text


def test_a_part_that_the_summarising_model_refuses_is_cut_smaller(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client).id
    fill(client, provider, agent_id, 4)
    provider.reset()
    provider.script(OVERFLOW, say("Notes."))
    done = client.agents.messages.compact(agent_id, compaction_settings={"mode": "all"})
    assert done.summary.endswith("Notes.")
    assert len(provider.requests) == 2


def test_an_agent_that_cannot_sum_up_for_itself_is_summed_up(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client).id
    fill(client, provider, agent_id, 3)
    provider.reset()
    provider.script(OVERFLOW, say("Notes from outside."))
    done = client.agents.messages.compact(agent_id, compaction_settings={"mode": "self_compact_all"})
    assert done.summary.endswith("Notes from outside.")
    assert ["notes" in request.system for request in provider.requests] == [False, True]


def test_blocks_that_take_most_of_a_small_context_leave_room_for_a_turn(client: Letta, provider: Provider) -> None:
    agent_id = small_agent(
        client,
        memory_blocks=[{"label": "log", "value": "w " * 6_000, "limit": 20_000}],
        tools=["core_memory_append"],
    )
    provider.script(call("core_memory_append", label="log", content="more"), say("done"))
    for text in ("short", FILLER * 3, "z" * 50_000, "short again"):
        answer = client.agents.messages.create(agent_id, input=text)
        assert answer.stop_reason.stop_reason == "end_turn"
        last = provider.requests[-1]
        assert sent_chars(last) < SMALL * 3.6
        assert last.text[:5] == text[:5]
    assert stored_users(client, agent_id) == 4


def test_one_giant_message_is_shortened_for_the_model_alone(client: Letta, provider: Provider) -> None:
    agent_id = small_agent(client)
    answer = client.agents.messages.create(agent_id, input=f"BEGIN {'z' * 100_000} END")
    assert answer.stop_reason.stop_reason == "end_turn"
    (request,) = provider.requests
    assert request.text.startswith("BEGIN")
    assert request.text.endswith("END")
    assert "left out" in request.text
    assert SMALL * 2 < sent_chars(request) < SMALL * 3.6
    (stored,) = client.agents.messages.list(agent_id, include_return_message_types=["user_message"])
    assert len(str(stored.content)) > 100_000  # type: ignore[union-attr]


def test_a_prompt_that_alone_cannot_fit_is_told_as_that(client: Letta, provider: Provider) -> None:
    agent_id = small_agent(client, memory_blocks=[{"label": "log", "value": "w " * 10_000, "limit": 30_000}])
    provider.script(*[OVERFLOW] * 3)
    with pytest.raises(Exception, match="shorten the instructions or the memory blocks"):
        client.agents.messages.create(agent_id, input="hi")
    (run,) = client.runs.list(agent_id=agent_id)
    assert run.stop_reason == "context_window_overflow_in_system_prompt"


def test_the_answer_has_its_place_in_the_window(client: Letta, provider: Provider) -> None:
    settings: Any = {"provider_type": "openai", "max_output_tokens": 1_000}
    agent_id = small_agent(client, model_settings=settings)
    fill(client, provider, agent_id, 30)
    turns = [request for request in provider.requests if not is_summary(request)]
    assert len(turns) < len(provider.requests)
    assert all(sent_chars(request) / 3.6 < SMALL - 1_000 for request in turns)


def test_a_turn_without_changes_sends_the_same_prefix_to_the_byte(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client, memory_blocks=[{"label": "human", "value": "Ada"}], include_base_tools=True).id
    for word in ("one", "two", "three"):
        client.agents.messages.create(agent_id, input=word)
    bodies = [request.raw for request in provider.requests]
    for before, after in pairwise(bodies):
        begin = before.index(b'"messages":[')
        end = before.index(b'"}]', begin)
        assert after[: begin + 12] == before[: begin + 12]
        assert after[begin:end] == before[begin:end]
    for request in provider.requests:
        assert request.body["tools"] == provider.requests[0].body["tools"]


def test_a_buffer_that_clears_itself_shows_the_model_one_request_and_keeps_all(
    client: Letta, provider: Provider
) -> None:
    agent_id = bare_agent(client, message_buffer_autoclear=True, memory_blocks=[{"label": "human", "value": "Ada"}],
                          tools=["core_memory_append"]).id  # fmt: skip
    provider.script(call("core_memory_append", label="human", content="likes tea"), say("Noted."))
    client.agents.messages.create(agent_id, input="I like tea")
    assert provider.requests[-1].shape[:3] == ["system", "user", "assistant:core_memory_append"]
    client.agents.messages.create(agent_id, input="and?")
    assert [turn.text for turn in provider.requests[-1].turns] == ["and?"]
    assert "likes tea" in provider.requests[-1].system
    assert stored_users(client, agent_id) == 2


def test_estimates_become_what_the_provider_counts_and_stay_so_over_a_restart(
    own_server: Server, provider: Provider
) -> None:
    def measured(agent_id: str) -> int:
        with own_server.http as http:
            found: int = http.get(f"/v1/agents/{agent_id}/context").json()["context_window_size_current"]
        return found

    agent_id = bare_agent(own_server.client, system=FILLER * 10).id
    plain = measured(agent_id)
    for number in range(6):
        provider.script(reply(say("ok"), usage=Counted(prompt=int(plain * 1.5))))
        own_server.client.agents.messages.create(agent_id, input=f"{number}")
    assert measured(agent_id) > plain * 1.3
    for odd in (1, 10_000_000):
        provider.script(reply(say("ok"), usage=Counted(prompt=odd)))
        own_server.client.agents.messages.create(agent_id, input="odd")
    learnt = measured(agent_id)
    assert plain * 1.3 < learnt < plain * 1.7
    own_server.restart()
    assert measured(agent_id) == pytest.approx(learnt, rel=0.05)
    other = bare_agent(own_server.client, system=FILLER * 10, model=ANTHROPIC_MODEL).id
    assert measured(other) == pytest.approx(plain, rel=0.02)
    assert MODEL != ANTHROPIC_MODEL
