"""What clients of all ages send, and what it means here."""

from typing import Any

import pytest
from pydantic import ValidationError

from reverie.api.wire.agent_drafts import AgentCreate, AgentUpdate
from reverie.api.wire.messages import AgentMessages
from reverie.api.wire.models import guessed_model, llm_config, model_settings_state
from reverie.api.wire.readers import reader_state, view_of
from reverie.api.wire.relationships import ALL_RELATIONSHIPS, wanted_relationships
from reverie.api.wire.tools import ToolCreate, ToolUpdate, rule_state
from reverie.domain.content import ImagePart, TextPart
from reverie.domain.errors import InvalidInput, MalformedInput
from reverie.domain.inputs import ApprovalInput, SayInput
from reverie.domain.message import Decision
from reverie.domain.tool import PipRequirement
from reverie.domain.unset import UNSET


def agent(**body: Any) -> Any:
    return AgentCreate.model_validate(body).to_domain()


def inputs(**body: Any) -> tuple[Any, ...]:
    return AgentMessages.model_validate(body).inputs()


def test_an_empty_body_makes_an_agent_of_the_present_type() -> None:
    draft = agent()
    assert (draft.agent_type.value, draft.model, draft.include_base_tools) == ("letta_v1_agent", None, True)
    assert draft.initial_messages is None


def test_old_config_objects_name_model_embedding_and_settings() -> None:
    draft = agent(
        llm_config={
            "model": "gpt-4o", "model_endpoint_type": "openai", "context_window": 8000, "temperature": 0.5,
            "max_tokens": 99, "put_inner_thoughts_in_kwargs": True,
        },
        embedding_config={"embedding_model": "small", "embedding_endpoint_type": "openai", "embedding_dim": 3},
    )  # fmt: skip
    assert (draft.model, draft.embedding, draft.context_window_limit) == ("openai/gpt-4o", "openai/small", 8000)
    assert draft.model_settings == {"temperature": 0.5, "max_output_tokens": 99}


def test_present_settings_win_over_deprecated_ones() -> None:
    draft = agent(
        model="anthropic/c", max_tokens=5, max_reasoning_tokens=2048, enable_reasoner=True,
        model_settings={"provider_type": "anthropic", "max_output_tokens": 7},
    )  # fmt: skip
    assert draft.model_settings == {
        "max_output_tokens": 7,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }


def test_secrets_and_folders_come_under_both_names() -> None:
    draft = agent(
        secrets={"A": "1"}, tool_exec_environment_variables={"B": "2"}, folder_ids=["f"], source_ids=["f", "s"]
    )
    assert draft.secrets == {"A": "1", "B": "2"}
    assert draft.folder_ids == ("f", "s")


def test_an_update_changes_only_what_is_sent() -> None:
    changes = AgentUpdate.model_validate({"description": None, "name": None, "tags": ["a"], "secrets": {}}).to_domain()
    assert (changes.description, changes.tags, changes.secrets) == (None, ("a",), {})
    assert (changes.name, changes.system, changes.model_settings) == (UNSET, UNSET, UNSET)


@pytest.mark.parametrize(
    "body",
    [
        {"context_window_limit": 0},
        {"timezone": "Mars/Base"},
        {"memory_blocks": [{"value": "no label"}]},
        {"tool_rules": [{"type": "max_count_per_step", "tool_name": "a", "max_count_limit": 0}]},
        {"agent_type": "unheard_of"},
        {"name": ""},
    ],
)
def test_what_cannot_be_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        agent(**body)


def test_unknown_fields_are_ignored() -> None:
    assert agent(name="a", from_template="x", brand_new_field=[1]).name == "a"


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "run_first", "tool_name": "a", "args": {"x": 1}, "prompt_template": None},
        {"type": "constrain_child_tools", "tool_name": "a", "children": ["b"], "child_arg_nodes": None,
         "prompt_template": None},
        {"type": "parent_last_tool", "tool_name": "a", "children": ["b"], "prompt_template": None},
        {"type": "conditional", "tool_name": "a", "child_output_mapping": {"1": "b"}, "default_child": None,
         "require_output_mapping": False, "prompt_template": None},
        {"type": "exit_loop", "tool_name": "a", "prompt_template": "p"},
        {"type": "continue_loop", "tool_name": "a", "prompt_template": None},
        {"type": "required_before_exit", "tool_name": "a", "prompt_template": None},
        {"type": "max_count_per_step", "tool_name": "a", "max_count_limit": 2, "prompt_template": None},
        {"type": "requires_approval", "tool_name": "a", "prompt_template": None},
    ],
    ids=lambda rule: rule["type"],
)  # fmt: skip
def test_a_tool_rule_comes_back_as_it_was_sent(rule: dict[str, Any]) -> None:
    assert rule_state(agent(tool_rules=[rule]).tool_rules[0]) == rule


def test_the_camel_case_of_old_typescript_clients_and_wrapped_schemas_are_read() -> None:
    draft = ToolCreate.model_validate(
        {
            "sourceCode": "def f(): ...",
            "defaultRequiresApproval": True,
            "jsonSchema": {"type": "function", "function": {"name": "f", "parameters": {}}},
            "pipRequirements": [{"name": "httpx"}],
        }
    ).to_domain()
    assert draft.json_schema == {"name": "f", "parameters": {}}
    assert draft.default_requires_approval is True
    assert draft.pip_requirements == (PipRequirement(name="httpx"),)


def test_a_tool_update_leaves_what_is_not_sent() -> None:
    changes = ToolUpdate.model_validate({"default_requires_approval": None, "tags": ["t"]}).to_domain()
    assert (changes.default_requires_approval, changes.tags, changes.source_code) == (None, ("t",), UNSET)


def test_words_come_as_input_as_string_or_as_parts() -> None:
    said = (SayInput(role="user", parts=(TextPart(text="hi"),)),)
    assert inputs(input="hi") == said
    assert inputs(messages=[{"role": "user", "content": "hi"}]) == said
    assert inputs(input=[{"type": "text", "text": "hi"}]) == said
    assert inputs(messages=[{"type": "message", "role": "user", "content": [{"type": "text", "text": "hi"}]}]) == said


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"input": "a", "messages": [{"role": "user", "content": "a"}]},
        {"input": "a", "max_steps": 0},
    ],
)
def test_a_request_must_say_something_in_one_place(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        inputs(**body)


PIXEL = "iVBORw0KGgo="


@pytest.mark.parametrize(
    ("part", "image"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
         ImagePart(media_type="image/png", data=PIXEL)),
        ({"type": "image", "source": {"type": "url", "url": f"data:image/gif;base64,{PIXEL}"}},
         ImagePart(media_type="image/gif", data=PIXEL)),
        ({"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
         ImagePart(media_type="", data="", url="https://a.example/x.png")),
    ],
)  # fmt: skip
def test_images_come_in_every_form(part: dict[str, Any], image: ImagePart) -> None:
    assert inputs(input=[part])[0].parts == (image,)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "not base64!"}},
        {"type": "image", "source": {"type": "letta", "file_id": "file-1"}},
        {"type": "text"},
        {"type": "tool_call", "id": "1", "name": "a", "input": {}},
    ],
)
def test_parts_that_mean_nothing_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        inputs(input=[part])


def test_approvals_come_in_the_present_and_the_old_form() -> None:
    (present,) = inputs(
        messages=[
            {
                "type": "approval",
                "approvals": [
                    {"type": "approval", "tool_call_id": "1", "approve": False, "reason": "no"},
                    {"type": "tool", "tool_call_id": "2", "tool_return": "done", "status": "success"},
                ],
            }
        ]
    )
    assert present.decisions == (Decision(tool_call_id="1", approve=False, reason="no"),)
    assert [item.text for item in present.returns] == ["done"]
    (old,) = inputs(messages=[{"approve": True, "approval_request_id": "message-1"}])
    assert old == ApprovalInput(approve_all=True, request_id="message-1")


def test_client_side_results_may_come_by_themselves() -> None:
    (found,) = inputs(
        messages=[
            {"type": "tool_return", "tool_returns": [{"tool_call_id": "2", "tool_return": "x", "status": "error"}]}
        ]
    )
    assert found.returns[0].status == "error"


@pytest.mark.parametrize("option", ["stream_tokens", "background"])
def test_options_of_streams_need_a_stream(option: str) -> None:
    body = AgentMessages.model_validate({"input": "a", option: True})
    with pytest.raises(MalformedInput, match=option):
        body.checked(streaming=False)
    assert body.checked(streaming=True) is body


def test_the_parameters_of_a_client_tool_are_an_object_whatever_it_leaves_unsaid() -> None:
    word = {"x": {"type": "string"}}
    tools = [
        {"name": "none"},
        {"name": "empty", "parameters": {}},
        {"name": "bare", "parameters": {"properties": word}},
    ]
    body = AgentMessages.model_validate({"input": "hi", "client_tools": tools})
    assert [(tool.parameters["type"], tool.parameters["properties"]) for tool in body.options().client_tools] == [
        ("object", {}), ("object", {}), ("object", word),
    ]  # fmt: skip


def test_how_a_run_is_read_survives_its_storage() -> None:
    view = AgentMessages.model_validate(
        {"input": "a", "include_return_message_types": ["assistant_message"], "assistant_message_tool_name": "say"}
    ).view()
    assert view_of(reader_state(view, tokens=True)) == view


@pytest.mark.parametrize(
    ("include", "old", "is_sdk", "wanted"),
    [
        (["agent.blocks", "agent.tags"], None, True, {"blocks", "tags"}),
        (None, None, True, set()),
        (None, None, False, ALL_RELATIONSHIPS),
        (None, ["memory"], False, {"blocks"}),
        (None, [], False, set()),
    ],
)
def test_relationships_come_as_each_client_expects_them(
    include: list[str] | None, old: list[str] | None, is_sdk: bool, wanted: set[str]
) -> None:
    assert wanted_relationships(include, old, is_sdk) == wanted


def test_deprecated_config_is_filled_from_what_is_known_of_the_model() -> None:
    model = guessed_model("ollama/qwen3:8b")
    config = llm_config(model, {"max_output_tokens": 9}, 4000)
    assert (config["handle"], config["model"], config["context_window"], config["max_tokens"]) == (
        "ollama/qwen3:8b", "qwen3:8b", 4000, 9,
    )  # fmt: skip
    assert config["model_endpoint_type"] == "ollama"
    assert model_settings_state({"temperature": 0.1}, model) == {"temperature": 0.1, "provider_type": "openai"}


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ("2026-05-01T12:00:00", "2026-05-01T12:00:00+00:00"),
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00+00:00"),
    ],
)
def test_times_are_in_utc(told: str, stored: str) -> None:
    changes = AgentUpdate.model_validate({"last_run_completion": told}).to_domain()
    assert str(changes.last_run_completion).replace(" ", "T") == stored


@pytest.mark.parametrize("told", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_times_beyond_all_years_are_refused(told: str) -> None:
    with pytest.raises(InvalidInput, match="years"):
        AgentUpdate.model_validate({"last_run_completion": told})
