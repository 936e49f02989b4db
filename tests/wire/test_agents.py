"""Agents: every field that can be sent comes back, relationships, filters, pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from letta_client.types import AgentState
from letta_client.types.agent_create_params import AgentCreateParams
from letta_client.types.agent_update_params import AgentUpdateParams
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import say
from tests.wire.samples import bare_agent, echo_source, new_agent

Check = Callable[[Any], object]
EMBEDDING = "openai/scripted-embedding"
ALL: Any = ["agent.blocks", "agent.tools", "agent.tags", "agent.secrets", "agent.identities", "agent.sources"]

LLM_CONFIG = {
    "model": "gpt-4o-mini",
    "model_endpoint_type": "openai",
    "context_window": 24_000,
    "handle": MODEL,
    "temperature": 0.25,
    "max_tokens": 777,
}
EMBEDDING_CONFIG = {
    "embedding_model": "scripted-embedding",
    "embedding_endpoint_type": "openai",
    "embedding_dim": 64,
    "handle": EMBEDDING,
}
SETTINGS = {
    "provider_type": "openai",
    "temperature": 0.5,
    "max_output_tokens": 321,
    "parallel_tool_calls": False,
    "reasoning": {"reasoning_effort": "low"},
}
COMPACTION = {
    "mode": "sliding_window",
    "model": MODEL,
    "clip_chars": 1234,
    "prompt": "Summarise.",
    "prompt_acknowledgement": True,
    "sliding_window_percentage": 0.4,
}
JSON_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "mood", "schema": {"type": "object", "properties": {"mood": {"type": "string"}}}},
}
RULES: list[dict[str, Any]] = [
    {"type": "run_first", "tool_name": "a"},
    {"type": "exit_loop", "tool_name": "b"},
    {"type": "continue_loop", "tool_name": "c"},
    {"type": "constrain_child_tools", "tool_name": "d", "children": ["e"]},
    {"type": "parent_last_tool", "tool_name": "f", "children": ["g"]},
    {"type": "conditional", "tool_name": "h", "child_output_mapping": {"yes": "i"}, "default_child": "j"},
    {"type": "max_count_per_step", "tool_name": "k", "max_count_limit": 2},
    {"type": "required_before_exit", "tool_name": "l"},
    {"type": "requires_approval", "tool_name": "m"},
]


def _rule_types(state: AgentState) -> list[str]:
    return [str(rule.type) for rule in state.tool_rules or []]


def _secrets(state: AgentState) -> list[str]:
    return [item.key for item in state.secrets or []]


def _settings(state: AgentState) -> Any:
    return state.api_model_settings


CREATE: dict[str, tuple[Any, Check]] = {
    "agent_type": ("memgpt_v2_agent", lambda s: s.agent_type == "memgpt_v2_agent"),
    "base_template_id": (None, lambda s: s.base_template_id is None),
    "block_ids": ([], lambda s: s.blocks == []),
    "compaction_settings": (
        COMPACTION,
        lambda s: (
            s.compaction_settings
            and {**s.compaction_settings.model_dump(), **COMPACTION} == s.compaction_settings.model_dump()
        ),
    ),
    "context_window_limit": (12_345, lambda s: s.llm_config.context_window == 12_345),
    "description": ("who I am", lambda s: s.description == "who I am"),
    "embedding": (EMBEDDING, lambda s: s.embedding == EMBEDDING and s.embedding_config.handle == EMBEDDING),
    "embedding_chunk_size": (400, lambda s: True),
    "embedding_config": (
        EMBEDDING_CONFIG,
        lambda s: s.embedding == EMBEDDING and s.embedding_config.handle == EMBEDDING,
    ),
    "enable_reasoner": (False, lambda s: s.llm_config.enable_reasoner is False),
    "enable_sleeptime": (False, lambda s: not s.enable_sleeptime),
    "folder_ids": ([], lambda s: s.sources == []),
    "from_template": (None, lambda s: True),
    "hidden": (True, lambda s: s.hidden is True),
    "identity_ids": ([], lambda s: s.identity_ids == []),
    "include_base_tool_rules": (False, lambda s: not s.tool_rules),
    "include_base_tools": (True, lambda s: {"memory_insert", "memory_replace"} <= {t.name for t in s.tools}),
    "include_default_source": (False, lambda s: s.sources == []),
    "initial_message_sequence": (
        [{"role": "user", "content": "before"}, {"role": "assistant", "content": "earlier"}],
        lambda s: len(s.message_ids or []) >= 2,
    ),
    "llm_config": (
        LLM_CONFIG,
        lambda s: (
            (s.model, s.llm_config.context_window, s.llm_config.temperature, s.llm_config.max_tokens)
            == (MODEL, 24_000, 0.25, 777)
        ),
    ),
    "max_files_open": (3, lambda s: s.max_files_open == 3),
    "max_reasoning_tokens": (2048, lambda s: s.llm_config.max_reasoning_tokens == 2048),
    "max_tokens": (512, lambda s: s.llm_config.max_tokens == 512 and _settings(s).max_output_tokens == 512),
    "memory_blocks": (
        [{"label": "human", "value": "v", "description": "d", "limit": 99, "read_only": True, "metadata": {"k": 1}}],
        lambda s: (
            [(b.label, b.value, b.description, b.limit, b.read_only, b.metadata) for b in s.blocks]
            == [("human", "v", "d", 99, True, {"k": 1})]
            and [b.label for b in s.memory.blocks] == ["human"]
        ),
    ),
    "memory_variables": ({"name": "Ada"}, lambda s: True),
    "message_buffer_autoclear": (True, lambda s: s.message_buffer_autoclear is True),
    "metadata": ({"a": [1, {"b": None}]}, lambda s: s.metadata == {"a": [1, {"b": None}]}),
    "model": (MODEL, lambda s: s.model == MODEL and s.llm_config.handle == MODEL),
    "model_settings": (
        SETTINGS,
        lambda s: (
            (_settings(s).temperature, _settings(s).max_output_tokens, _settings(s).parallel_tool_calls)
            == (0.5, 321, False)
            and _settings(s).reasoning.reasoning_effort == "low"
        ),
    ),
    "name": ("Ada's friend", lambda s: s.name == "Ada's friend"),
    "parallel_tool_calls": (False, lambda s: _settings(s).parallel_tool_calls is False),
    "per_file_view_window_char_limit": (9000, lambda s: s.per_file_view_window_char_limit == 9000),
    "project": ("some-project", lambda s: True),
    "project_id": ("project-1", lambda s: s.project_id == "project-1"),
    "reasoning": (False, lambda s: s.llm_config.enable_reasoner is False),
    "response_format": (JSON_SCHEMA, lambda s: s.response_format.type == "json_schema"),
    "secrets": ({"TOKEN": "t"}, lambda s: _secrets(s) == ["TOKEN"]),
    "source_ids": ([], lambda s: s.sources == []),
    "system": ("You are terse.", lambda s: s.system == "You are terse."),
    "tags": (["one", "two"], lambda s: s.tags == ["one", "two"]),
    "template": (False, lambda s: True),
    "template_id": (None, lambda s: s.template_id is None),
    "timezone": ("Europe/Berlin", lambda s: s.timezone == "Europe/Berlin"),
    "tool_exec_environment_variables": (
        {"OLD": "v"},
        lambda s: [v.key for v in s.tool_exec_environment_variables or []] == ["OLD"] and _secrets(s) == ["OLD"],
    ),
    "tool_ids": ([], lambda s: s.tools == []),
    "tool_rules": (RULES, lambda s: sorted(_rule_types(s)) == sorted(rule["type"] for rule in RULES)),
    "tools": (["memory_insert"], lambda s: [t.name for t in s.tools] == ["memory_insert"]),
}

UPDATE: dict[str, tuple[Any, Check]] = {
    **{
        name: CREATE[name]
        for name in (
            "compaction_settings", "context_window_limit", "description", "embedding", "embedding_config",
            "enable_sleeptime", "folder_ids", "hidden", "identity_ids", "llm_config", "max_files_open", "max_tokens",
            "message_buffer_autoclear", "metadata", "model", "model_settings", "name", "parallel_tool_calls",
            "per_file_view_window_char_limit", "project_id", "reasoning", "response_format", "secrets", "source_ids",
            "system", "tags", "timezone", "tool_exec_environment_variables", "tool_rules",
        )
    },
    "base_template_id": ("base-1", lambda s: s.base_template_id == "base-1"),
    "block_ids": ([], lambda s: s.blocks == []),
    "last_run_completion": (
        datetime(2026, 1, 2, tzinfo=UTC), lambda s: s.last_run_completion == datetime(2026, 1, 2, tzinfo=UTC)
    ),
    "last_run_duration_ms": (12, lambda s: s.last_run_duration_ms == 12),
    "last_stop_reason": ("cancelled", lambda s: s.last_stop_reason == "cancelled"),
    "message_ids": ([], lambda s: len(s.message_ids or []) <= 1),
    "template_id": ("template-1", lambda s: s.template_id == "template-1"),
    "tool_ids": ([], lambda s: s.tools == []),
}  # fmt: skip


def test_every_field_of_the_sdk_is_tried() -> None:
    assert set(CREATE) == set(AgentCreateParams.__annotations__)
    assert set(UPDATE) == set(AgentUpdateParams.__annotations__)


@pytest.mark.parametrize("field", CREATE)
def test_a_field_given_at_creation_is_in_the_agent(client: Letta, field: str) -> None:
    value, check = CREATE[field]
    basis: dict[str, Any] = {"model": MODEL, "include_base_tools": False}
    if field == "llm_config":
        del basis["model"]
    created = client.agents.create(**{**basis, field: value})
    assert check(created), created
    again = client.agents.retrieve(created.id, include=ALL)
    assert check(again), again


@pytest.mark.parametrize("field", UPDATE)
def test_a_field_given_later_is_in_the_agent(client: Letta, field: str) -> None:
    value, check = UPDATE[field]
    agent = bare_agent(client)
    updated = client.agents.update(agent.id, **{field: value})
    again = client.agents.retrieve(agent.id, include=ALL)
    assert check(again), again
    assert updated.id == agent.id
    assert again.name == (value if field == "name" else agent.name)


def test_an_agent_with_nothing_given_has_all_that_it_needs(client: Letta) -> None:
    agent = client.agents.create(model=MODEL)
    assert agent.id.startswith("agent-")
    assert agent.name
    assert agent.agent_type == "letta_v1_agent"
    assert agent.system
    assert agent.timezone == "UTC"
    assert (agent.blocks, agent.tags, agent.sources) == ([], [], [])
    assert agent.llm_config.context_window > 0
    assert agent.created_at is not None
    assert agent.created_at.tzinfo is not None
    assert {"memory_insert", "memory_replace", "conversation_search", "archival_memory_insert"} <= {
        str(tool.name) for tool in agent.tools
    }


def test_blocks_and_tools_given_by_id_are_attached(client: Letta) -> None:
    block = client.blocks.create(label="rules", value="be kind")
    tool = client.tools.create(source_code=echo_source("echo_attached"))
    agent = client.agents.create(model=MODEL, block_ids=[block.id], tool_ids=[tool.id], include_base_tools=False)
    assert [item.id for item in agent.blocks] == [block.id]
    assert [item.id for item in agent.tools] == [tool.id]
    client.agents.update(agent.id, block_ids=[], tool_ids=[])
    bare = client.agents.retrieve(agent.id, include=["agent.blocks", "agent.tools"])
    assert (bare.blocks, bare.tools) == ([], [])


def test_settings_reach_the_model(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, model_settings={"provider_type": "openai", "temperature": 0.5, "max_output_tokens": 321})
    assert (_settings(agent).parallel_tool_calls, _settings(agent).strict) == (True, False)  # what applies unsaid
    provider.script(say("ok"))
    client.agents.messages.create(agent.id, input="hi")
    body = provider.requests[0].body
    assert body["temperature"] == 0.5
    assert 321 in (body.get("max_completion_tokens"), body.get("max_tokens"))
    assert body["model"] == "gpt-4o-mini"


def test_settings_that_an_update_does_not_name_stay(client: Letta) -> None:
    openai = {"provider_type": "openai"}
    start: Any = {**openai, "temperature": 0.5, "max_output_tokens": 321}
    agent = bare_agent(client, model_settings=start, compaction_settings={"mode": "all", "prompt": "Sum up."})

    def updated(**changes: Any) -> tuple[Any, Any, Any]:
        settings = _settings(client.agents.update(agent.id, **changes))
        return settings.temperature, settings.max_output_tokens, settings.parallel_tool_calls

    assert updated(parallel_tool_calls=False) == (0.5, 321, False)
    assert updated(model_settings={**openai, "temperature": 0.1}) == (0.1, 321, False)
    assert updated(model_settings={**openai, "temperature": None}, max_tokens=99) == (None, 99, False)
    assert updated(model="openai/gpt-5", model_settings={**openai, "temperature": 1.0}) == (1.0, None, True)
    compaction = client.agents.update(agent.id, compaction_settings={"clip_chars": 9}).compaction_settings
    assert compaction is not None
    assert (compaction.mode, compaction.prompt, compaction.clip_chars) == ("all", "Sum up.", 9)


def test_initial_messages_are_what_the_model_reads_first(client: Letta, provider: Provider) -> None:
    agent = bare_agent(
        client,
        initial_message_sequence=[
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": "Noted."},
        ],
    )
    provider.script(say("Ada"))
    client.agents.messages.create(agent.id, input="Who am I?")
    assert provider.requests[0].shape == ["system", "user", "assistant", "user"]


def test_message_ids_say_what_the_model_reads(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(say("one"), say("two"))
    client.agents.messages.create(agent.id, input="first")
    client.agents.messages.create(agent.id, input="second")
    kept = (client.agents.retrieve(agent.id).message_ids or [])[-2:]
    client.agents.update(agent.id, message_ids=kept)
    provider.script(say("three"))
    client.agents.messages.create(agent.id, input="third")
    assert provider.requests[-1].shape == ["system", "user", "assistant", "user"]
    assert provider.requests[-1].turns[0].text == "second"


def test_relationships_come_only_as_asked_for(client: Letta) -> None:
    agent = new_agent(client, tags=["t"], secrets={"K": "v"})
    assert (len(agent.blocks), agent.tags, _secrets(agent)) == (2, ["t"], ["K"])
    bare = client.agents.retrieve(agent.id)
    assert (bare.blocks, bare.tools, bare.tags, bare.secrets) == ([], [], [], [])
    some = client.agents.retrieve(agent.id, include=["agent.tags", "agent.blocks"])
    assert (len(some.blocks), some.tools, some.tags) == (2, [], ["t"])
    listed = client.agents.list(name=agent.name, include=["agent.tools"]).items[0]
    assert (listed.id, listed.blocks, len(listed.tools) > 0) == (agent.id, [], True)
    rule: Any = {"type": "exit_loop", "tool_name": "memory_insert"}
    changed = client.agents.update(agent.id, tags=["u"], tool_rules=[rule, rule])  # takes no `include`
    assert (len(changed.blocks), changed.tags, len(changed.tools) > 0) == (2, ["u"], True)
    assert len(changed.tool_rules or []) == 1


def test_callers_other_than_the_sdk_get_all_relationships(client: Letta, server: Any) -> None:
    agent = new_agent(client, tags=["t"])
    with server.http as http:
        whole = http.get(f"/v1/agents/{agent.id}").json()
        part = http.get(f"/v1/agents/{agent.id}", params={"include_relationships": ["tags"]}).json()
    assert (len(whole["blocks"]), whole["tags"]) == (2, ["t"])
    assert whole["tools"]
    assert (part["blocks"], part["tags"]) == ([], ["t"])


def test_lists_filter_by_tags_name_and_words(client: Letta) -> None:
    mark = uuid4().hex
    ada = bare_agent(client, name=f"Ada {mark}", tags=[f"a{mark}", f"b{mark}"])
    bob = bare_agent(client, name=f"Bob {mark}", tags=[f"b{mark}"])

    def ids(**query: Any) -> set[str]:
        return {agent.id for agent in client.agents.list(**query)}

    assert ids(tags=[f"b{mark}"]) == {ada.id, bob.id}
    assert ids(tags=[f"a{mark}", f"b{mark}"]) == {ada.id, bob.id}
    assert ids(tags=[f"a{mark}", f"b{mark}"], match_all_tags=True) == {ada.id}
    assert ids(name=f"Bob {mark}") == {bob.id}
    assert ids(query_text=f"ada {mark}") == {ada.id}
    assert ids(tags=[mark]) == set()
    assert f"a{mark}" in client.tags.list(query_text=f"a{mark}")


def test_pages_go_on_in_both_directions_and_stay_put_while_agents_are_added(client: Letta) -> None:
    mark = uuid4().hex
    made = [bare_agent(client, name=f"{mark}-{n}", tags=[mark]).id for n in range(7)]

    def page(**query: Any) -> list[str]:
        return [agent.id for agent in client.agents.list(tags=[mark], limit=3, **query).items]

    assert page(order="asc") == made[:3]
    assert page(order="asc", after=made[2]) == made[3:6]
    assert page(order="asc", after=made[5]) == made[6:]
    assert page(order="asc", before=made[4]) == made[1:4]
    assert page() == made[:3:-1]
    assert page(after=made[4]) == made[3:0:-1]
    first = client.agents.list(tags=[mark], limit=3)
    seen = [agent.id for agent in first.items]
    late = bare_agent(client, tags=[mark]).id
    while first.has_next_page():
        first = first.get_next_page()
        seen += [agent.id for agent in first.items]
    assert seen == made[::-1]
    assert [agent.id for agent in client.agents.list(tags=[mark], limit=2)] == [late, *made[::-1]]
    assert len(list(client.agents.list(tags=[mark], limit=2, order="asc"))) == 8


def test_agents_are_listed_fifty_at_a_time(client: Letta) -> None:
    mark = uuid4().hex
    for _ in range(51):
        bare_agent(client, tags=[mark])
    assert len(client.agents.list(tags=[mark]).items) == 50


def test_a_list_can_be_deleted_while_it_is_read(client: Letta) -> None:
    tag = uuid4().hex
    for _ in range(5):
        bare_agent(client, tags=[tag])
    block = client.blocks.create(label=tag, value="none")
    for agent in client.agents.list(tags=[tag], limit=2):
        client.agents.delete(agent.id)
    for found in client.blocks.list(label=tag):
        client.blocks.delete(found.id)
    assert list(client.agents.list(tags=[tag])) == []
    assert list(client.blocks.list(label=tag)) == []
    with pytest.raises(NotFoundError):
        client.blocks.list(after=block.id.replace(block.id[-4:], "0000"))


def test_a_deleted_agent_is_gone_and_its_shared_block_stays(client: Letta) -> None:
    block = client.blocks.create(label="shared", value="x")
    agent = bare_agent(client, block_ids=[block.id])
    client.agents.delete(agent.id)
    with pytest.raises(NotFoundError) as missing:
        client.agents.retrieve(agent.id)
    assert agent.id in missing.value.body["detail"]  # type: ignore[index]
    assert client.blocks.retrieve(block.id).value == "x"
    with pytest.raises(NotFoundError):
        client.agents.delete(agent.id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timezone", "Mars/Olympus"),
        ("block_ids", ["block-00000000-0000-4000-8000-000000000000"]),
        ("tool_ids", ["tool-00000000-0000-4000-8000-000000000000"]),
        ("tools", ["no_such_tool"]),
        ("model", "nobody/nothing"),
    ],
)
def test_an_impossible_field_is_refused_by_name(client: Letta, field: str, value: Any) -> None:
    with pytest.raises(APIStatusError) as refused:
        client.agents.create(**{"model": MODEL, field: value})
    assert refused.value.status_code in (400, 404, 422)
    detail = str(refused.value.body)
    assert (value if isinstance(value, str) else value[0]) in detail
