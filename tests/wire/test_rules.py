"""Tool rules steer the loop; what agents put away is found again."""

from typing import Any

import pytest
from letta_client import Letta, UnprocessableEntityError
from letta_client.types import AgentState
from tests.support.provider import Provider
from tests.support.replies import call, reply, say
from tests.wire.samples import bare_agent, echo_source, kinds

pytestmark = pytest.mark.one_database("sqlite")

NAMES = ("first_step", "second_step", "third_step")


def _agent(client: Letta, *rules: Any) -> AgentState:
    ids = [client.tools.upsert(source_code=echo_source(name)).id for name in NAMES]
    return bare_agent(client, tool_ids=ids, tool_rules=list(rules))


def test_the_first_call_is_the_one_that_must_run_first(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "run_first", "tool_name": "second_step"})
    provider.script(call("second_step", text="a"), say("ok"))
    client.agents.messages.create(agent.id, input="go")
    first, second = provider.requests
    assert first.tools == ("second_step",)
    assert set(second.tools) == set(NAMES)


def test_a_model_that_cannot_be_forced_is_told_once_and_then_has_its_way(client: Letta, provider: Provider) -> None:
    first, second, _ = NAMES
    child = {"type": "constrain_child_tools", "tool_name": first, "children": [second]}
    agent = _agent(client, {"type": "run_first", "tool_name": first}, child)
    provider.script(say("No."), call(first, text="a"), say("No."), say("Never."))
    answer = client.agents.messages.create(agent.id, input="go")
    assert (
        kinds(answer.messages)
        == ["assistant_message", "tool_call_message", "tool_return_message"] + ["assistant_message"] * 2
    )
    assert answer.stop_reason.stop_reason == "end_turn"
    assert [request.shape[-1] for request in provider.requests] == ["user", "system", "tool:echo: a", "system"]


def test_a_terminal_tool_ends_the_turn(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "exit_loop", "tool_name": "first_step"})
    provider.script(call("first_step", text="a"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert kinds(answer.messages) == ["tool_call_message", "tool_return_message"]
    assert answer.stop_reason.stop_reason == "tool_rule"
    assert len(provider.requests) == 1


def test_a_child_is_hidden_until_its_parent_ran(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "constrain_child_tools", "tool_name": "first_step", "children": ["second_step"]})
    provider.script(call("first_step", text="a"), call("second_step", text="b"), say("ok"))
    client.agents.messages.create(agent.id, input="go")
    assert provider.requests[1].tools == ("second_step",)


def test_a_parent_rule_hides_children_until_the_parent_ran(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "parent_last_tool", "tool_name": "first_step", "children": ["third_step"]})
    provider.script(call("first_step", text="a"), call("third_step", text="b"), say("ok"))
    client.agents.messages.create(agent.id, input="go")
    assert "third_step" not in provider.requests[0].tools
    assert "third_step" in provider.requests[1].tools


def test_a_conditional_rule_looks_at_what_the_tool_returned(client: Letta, provider: Provider) -> None:
    rule = {
        "type": "conditional",
        "tool_name": "first_step",
        "child_output_mapping": {"echo: left": "second_step"},
        "default_child": "third_step",
    }
    agent = _agent(client, rule)
    for word, child in (("left", "second_step"), ("right", "third_step")):
        provider.script(call("first_step", text=word), call(child, text="b"), say("ok"))
        client.agents.messages.create(agent.id, input=word)
        assert provider.requests[-2].tools == (child,)


def test_a_count_allows_so_many_calls_in_each_request(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "max_count_per_step", "tool_name": "first_step", "max_count_limit": 2})
    for _ in range(2):
        provider.script(call("first_step", text="a"), call("first_step", text="b"), say("ok"))
        client.agents.messages.create(agent.id, input="go")
        asked = provider.requests[-3:]
        assert ["first_step" in request.tools for request in asked] == [True, True, False]


def test_a_required_tool_keeps_the_turn_going(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "required_before_exit", "tool_name": "first_step"})
    provider.script(say("I am done."), call("first_step", text="a"), say("Now I am."))
    answer = client.agents.messages.create(agent.id, input="go")
    assert answer.messages[-1].content == "Now I am."  # type: ignore[union-attr]
    assert answer.stop_reason.stop_reason == "end_turn"


def test_a_rule_of_approval_asks(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "requires_approval", "tool_name": "first_step"})
    provider.script(reply(call("first_step", text="a"), call("second_step", text="b")))
    answer = client.agents.messages.create(agent.id, input="go")
    request: Any = answer.messages[-1]
    assert answer.stop_reason.stop_reason == "requires_approval"
    assert [item.name for item in request.tool_calls] == ["first_step"]


def test_arguments_of_a_rule_override_the_models(client: Letta, provider: Provider) -> None:
    agent = _agent(client, {"type": "run_first", "tool_name": "first_step", "args": {"text": "fixed"}})
    provider.script(call("first_step", text="free"), say("ok"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert answer.messages[1].tool_return == "echo: fixed"  # type: ignore[union-attr]
    assert answer.messages[0].tool_call.arguments == '{"text":"fixed"}'  # type: ignore[union-attr]
    (made,) = [item for turn in provider.requests[1].turns for item in turn.calls]
    assert "fixed" in str(made)  # so the model does not wonder at the result


def test_rules_act_together_and_a_broken_one_is_told(client: Letta, provider: Provider) -> None:
    first, second, third = NAMES
    left: Any = {"type": "conditional", "tool_name": second, "child_output_mapping": {"echo: left": third}}
    rules: list[Any] = [
        {"type": "run_first", "tool_name": first, "args": {"text": "fixed"}, "prompt_template": "1: {{ tool_name }}"},
        {"type": "constrain_child_tools", "tool_name": first, "children": [second],
         "child_arg_nodes": [{"name": second, "args": {"text": "left"}}]},
        {**left, "default_child": first, "require_output_mapping": False},
        {"type": "parent_last_tool", "tool_name": second, "children": [third]},
        {"type": "max_count_per_step", "tool_name": third, "max_count_limit": 1},
        {"type": "required_before_exit", "tool_name": third},
        {"type": "continue_loop", "tool_name": third},
        {"type": "requires_approval", "tool_name": second},
    ]  # fmt: skip
    agent = _agent(client, *rules)
    provider.script(
        call(third, text="too early"), call(first, text="free"), call(second, text="right", id="gated"),
        call(third, text="last"), reply(call(third, text="once too often"), call(first, text="again")),
        call(second, text="x", id="again"),
    )  # fmt: skip
    asked = client.agents.messages.create(agent.id, input="go")
    request: Any = asked.messages[-1]
    assert request.tool_call.arguments == '{"text":"left"}'  # what would run, not what the model wrote
    answer = {"type": "approval", "tool_call_id": "gated", "approve": True}
    done = client.agents.messages.create(agent.id, messages=[{"type": "approval", "approvals": [answer]}])  # type: ignore[list-item]
    results = [item for turn in provider.requests[-1].turns for _, item in turn.results]
    assert results[0].startswith(f"{third} may not be called now by your tool rules, and it was not run. ")
    assert f"You may call: {first}." in results[0]
    assert results[1:3] == ["echo: fixed", "echo: left"]
    offered = [(request.tools, request.body.get("tool_choice")) for request in provider.requests]
    forced = {"type": "function", "function": {"name": first}}
    assert offered[0] == offered[1] == ((first,), forced)
    assert [tools for tools, _ in offered[2:4]] == [(second,), (third,)]
    assert third not in offered[4][0]
    assert "1: first_step" in provider.requests[0].system
    assert done.stop_reason.stop_reason == "requires_approval"


def test_a_terminal_tool_waits_for_what_is_required(client: Letta, provider: Provider) -> None:
    first, second, _ = NAMES
    terminal, required = (
        {"type": "exit_loop", "tool_name": first},
        {"type": "required_before_exit", "tool_name": second},
    )
    agent = _agent(client, terminal, required)
    provider.script(call(first, text="a"), call(second, text="b"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert (answer.stop_reason.stop_reason, len(answer.messages)) == ("tool_rule", 4)
    assert provider.requests[1].tools == (second,)


def test_contradictions_are_422_and_a_rule_of_a_missing_tool_waits_for_it(client: Letta, provider: Provider) -> None:
    first, second, third = NAMES
    ends = {"type": "exit_loop", "tool_name": first}
    contradictions: list[list[Any]] = [
        [ends, {"type": "continue_loop", "tool_name": first}],
        [
            {"type": "run_first", "tool_name": second},
            {"type": "parent_last_tool", "tool_name": first, "children": [second]},
        ],
        [
            {"type": "constrain_child_tools", "tool_name": first, "children": [third]},
            {"type": "parent_last_tool", "tool_name": second, "children": [third]},
        ],
        [{"type": "max_count_per_step", "tool_name": first, "max_count_limit": 0}],
    ]
    agent = _agent(client, ends)
    for rules in contradictions:
        with pytest.raises(UnprocessableEntityError, match="tool_rules"):
            _agent(client, *rules)
        with pytest.raises(UnprocessableEntityError, match="tool_rules"):
            client.agents.update(agent.id, tool_rules=rules)
    rules_now = client.agents.retrieve(agent.id).tool_rules or []
    assert [rule.type for rule in rules_now] == ["exit_loop"]

    later = client.tools.upsert(source_code=echo_source("fourth_step"))
    client.agents.update(agent.id, tool_rules=[{"type": "run_first", "tool_name": "fourth_step"}])
    client.agents.messages.create(agent.id, input="go")
    client.agents.tools.attach(later.id, agent_id=agent.id)
    provider.script(call("fourth_step", text="now"), say("ok"))
    client.agents.messages.create(agent.id, input="go")
    assert [request.tools for request in provider.requests[:2]] == [NAMES, ("fourth_step",)]


def test_what_was_put_away_is_found_by_meaning_and_counted_in_the_prompt(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, include_base_tools=True, embedding="openai/scripted-embedding")
    provider.script(
        call("archival_memory_insert", content="The cat is called Minka."),
        call("archival_memory_insert", content="The car is red."),
        call("archival_memory_search", query="what is the cat called"),
        say("Minka"),
    )
    answer = client.agents.messages.create(agent.id, input="remember")
    found = answer.messages[5]
    assert found.message_type == "tool_return_message"
    text = str(found.tool_return)
    assert text.index("Minka") < (text.index("red") if "red" in text else len(text))
    passages = client.agents.passages.list(agent.id, search="cat called")
    assert passages[0].text == "The cat is called Minka."
    assert str(passages[0].id).startswith("passage-")
    client.agents.messages.create(agent.id, input="next")
    assert "2" in provider.requests[-1].system


def test_conversation_search_finds_what_left_the_context(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, include_base_tools=True)
    provider.script(say("Blue it is."))
    client.agents.messages.create(agent.id, input="My favourite colour is turquoise.")
    client.agents.update(agent.id, message_ids=[])
    provider.script(call("conversation_search", query="favourite colour"), say("turquoise"))
    answer = client.agents.messages.create(agent.id, input="Which colour?")
    assert "turquoise" in str(answer.messages[1].tool_return)  # type: ignore[union-attr]
    assert "turquoise" not in str([turn.text for turn in provider.requests[1].turns])


@pytest.mark.parametrize("tool", ["memory_insert", "memory_replace", "memory_rethink"])
def test_each_memory_tool_edits(client: Letta, provider: Provider, tool: str) -> None:
    agent = bare_agent(
        client, memory_blocks=[{"label": "human", "value": "old"}], tools=[tool], include_base_tools=False
    )
    arguments = {
        "memory_insert": {"label": "human", "new_string": "newer"},
        "memory_replace": {"label": "human", "old_string": "old", "new_string": "newer"},
        "memory_rethink": {"label": "human", "new_memory": "newer"},
    }[tool]
    provider.script(call(tool, arguments), say("ok"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert answer.messages[1].status == "success", answer.messages[1]  # type: ignore[union-attr]
    assert "newer" in client.agents.blocks.retrieve("human", agent_id=agent.id).value
    assert "newer" in provider.requests[1].system
