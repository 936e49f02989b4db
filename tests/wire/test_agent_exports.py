"""Agent files: what goes out, what comes in, and what never leaves."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from letta_client.types import AgentState
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import call, reply, say, think
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, kinds, new_agent

EVERYTHING: Any = ["agent.blocks", "agent.tools", "agent.tags", "agent.secrets"]
SECRET = "do-not-tell"


def exported(client: Letta, agent_id: str, **more: Any) -> dict[str, Any]:
    """The file of an agent."""
    found: dict[str, Any] = json.loads(client.agents.export_file(agent_id, **more))
    return found


def imported(client: Letta, file: Mapping[str, Any] | str | bytes, **more: Any) -> AgentState:
    """The one agent that a file makes."""
    text = file if isinstance(file, str | bytes) else json.dumps(file)
    data = text.encode() if isinstance(text, str) else text
    [made] = client.agents.import_file(file=("agent.af", data), **more).agent_ids
    return client.agents.retrieve(made, include=EVERYTHING)


def small_file(**more: Any) -> dict[str, Any]:
    """The least that is a file."""
    lists: dict[str, Any] = {
        name: [] for name in ("groups", "blocks", "files", "sources", "tools", "mcp_servers", "skills")
    }
    agent = {"id": "agent-0", "name": "small", "model": MODEL, "agent_type": "letta_v1_agent"}
    return {**lists, "agents": [{**agent, "include_base_tools": False, **more}]}


@pytest.fixture
def talker(client: Letta, provider: Provider) -> AgentState:
    """An agent with a custom tool, secrets, a changed block and a conversation."""
    tool = client.tools.create(source_code=echo_source(f"echo_{uuid4().hex[:8]}"))
    agent = new_agent(
        client,
        name="talker",
        tool_ids=[tool.id],
        tags=["kept"],
        secrets={"TOKEN": SECRET},
        timezone="Europe/Berlin",
        metadata={"a": {"b": [1, None]}},
        tool_rules=[{"type": "requires_approval", "tool_name": "no_such_tool"}],
    )
    client.agents.blocks.update("human", agent_id=agent.id, value="Name: Ada")
    provider.script(
        reply(think("I echo"), call(tool.name or "", text="hi", id="c1")), say("It said hi."), say("Goodbye, Ada.")
    )
    client.agents.messages.create(agent.id, input="echo hi")
    client.agents.messages.create(agent.id, input="bye")
    return client.agents.retrieve(agent.id, include=EVERYTHING)


def test_an_exported_agent_comes_back_whole(client: Letta, talker: AgentState) -> None:
    file = exported(client, talker.id)
    copy = imported(client, file, secrets=json.dumps({"TOKEN": "mine"}))
    assert copy.name == "talker_copy"
    for name in ("system", "model", "embedding", "agent_type", "timezone", "metadata", "tool_rules", "description"):
        assert getattr(copy, name) == getattr(talker, name), name
    assert copy.tags == ["kept"]
    assert [(block.label, block.value, block.limit) for block in copy.blocks] == [
        (block.label, block.value, block.limit) for block in talker.blocks
    ]
    assert {block.id for block in copy.blocks}.isdisjoint(block.id for block in talker.blocks)
    assert [tool.id for tool in copy.tools] == [tool.id for tool in talker.tools]
    assert [(item.key, item.value) for item in copy.secrets or []] == [("TOKEN", "mine")]
    said = [list(client.agents.messages.list(item, order="asc", limit=100)) for item in (talker.id, copy.id)]
    assert kinds(said[0]) == kinds(said[1])
    assert [_words(message) for message in said[0][1:]] == [_words(message) for message in said[1][1:]]
    assert len(copy.message_ids or []) == len(talker.message_ids or [])


def _words(message: Any) -> tuple[Any, ...]:
    names = ("content", "reasoning", "tool_return", "status")
    called = getattr(message, "tool_call", None)
    calls = None if called is None else (called.name, called.arguments, called.tool_call_id)
    return (*(getattr(message, name, None) for name in names), calls)


def test_an_imported_conversation_goes_on_where_it_stopped(
    client: Letta, talker: AgentState, provider: Provider
) -> None:
    copy = imported(client, exported(client, talker.id))
    provider.script(say("As I said: goodbye."))
    client.agents.messages.create(copy.id, input="what did you say?")
    assert [item.split(":")[0] for item in provider.requests[-1].shape] == [
        "system", "user", "assistant", "tool", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert "Name: Ada" in provider.requests[-1].system


def test_a_secret_never_leaves_in_a_file(client: Letta, talker: AgentState) -> None:
    for legacy in (False, True):
        text = client.agents.export_file(talker.id, use_legacy_format=legacy)
        assert SECRET not in text
        assert "TOKEN" in text


def test_the_past_of_blocks_is_in_the_file_and_comes_back(client: Letta, server: Server, talker: AgentState) -> None:
    file = exported(client, talker.id)
    [human] = [block for block in file["blocks"] if block["label"] == "human"]
    assert [(item["before"], item["after"], item["version"]) for item in human["history"]] == [
        ("Name: unknown", "Name: Ada", 2)
    ]
    copy = imported(client, file)
    [block] = [item for item in copy.blocks if item.label == "human"]
    with server.http as http:
        past = http.get(f"/v1/blocks/{block.id}/history").json()
    assert [(item["previous_value"], item["value"]) for item in past] == [("Name: unknown", "Name: Ada")]
    client.blocks.update(block.id or "", value="Name: Bo")


def test_archival_memory_is_in_the_file_and_comes_back(client: Letta, talker: AgentState) -> None:
    shared = client.archives.create(name=uuid4().hex)
    client.archives.passages.create(shared.id, text="Everyone knows of the harbour.")
    client.agents.passages.create(talker.id, text="A kitten dozes.", tags=["pets"], created_at="2020-05-01T00:00:00Z")
    client.agents.passages.create(talker.id, text="Rent is due.")
    client.agents.archives.attach(shared.id, agent_id=talker.id)
    file = exported(client, talker.id)
    assert [item["text"] for item in file["agents"][0]["passages"]] == ["A kitten dozes.", "Rent is due."]
    copy = imported(client, file)
    kept = client.agents.passages.list(copy.id, ascending=True)
    assert [(item.text, item.tags) for item in kept] == [("A kitten dozes.", ["pets"]), ("Rent is due.", [])]
    assert str(kept[0].created_at).startswith("2020-05-01")
    (archive,) = client.archives.list(agent_id=copy.id)
    assert archive.id not in {item.id for item in client.archives.list(agent_id=talker.id)}
    assert [hit.content for hit in client.agents.passages.search(copy.id, query="kitten", top_k=1).results] == [
        "A kitten dozes."
    ]
    stripped = client.agents.import_file(file=("a.af", json.dumps(file).encode()), strip_messages=True).agent_ids[0]
    assert len(client.agents.passages.list(stripped)) == 2


def test_scrubbed_and_stripped_agents_have_no_past(client: Letta, talker: AgentState) -> None:
    file = exported(client, talker.id, scrub_messages=True)
    assert file["agents"][0]["messages"] == file["agents"][0]["in_context_message_ids"] == []
    assert [block["history"] for block in file["blocks"]] == [[], []]
    for copy in (imported(client, file), imported(client, exported(client, talker.id), strip_messages=True)):
        assert kinds(client.agents.messages.list(copy.id)) == ["system_message"]


def test_only_so_many_turns_are_exported_beyond_the_context(client: Letta, talker: AgentState) -> None:
    client.agents.messages.reset(talker.id)
    assert [item["role"] for item in exported(client, talker.id)["agents"][0]["messages"]] == ["system"]
    other = bare_agent(client)
    for number in range(3):
        client.agents.messages.create(other.id, input=f"number {number}")
    client.agents.update(other.id, message_ids=[])
    file = exported(client, other.id, max_steps=2)
    roles = [item["role"] for item in file["agents"][0]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    assert file["agents"][0]["in_context_message_ids"] == ["message-0"]
    assert len(client.agents.retrieve(imported(client, file).id).message_ids or []) == 1


def test_a_conversation_is_exported_in_place_of_the_agents_own_thread(client: Letta) -> None:
    agent, other = bare_agent(client), bare_agent(client)
    thread = client.conversations.create(agent_id=agent.id)
    client.conversations.messages.create(thread.id, input="in the thread", streaming=False)
    [file_agent] = exported(client, agent.id, conversation_id=thread.id)["agents"]
    assert [item["role"] for item in file_agent["messages"]] == ["system", "user", "assistant"]
    assert [item["role"] for item in exported(client, agent.id)["agents"][0]["messages"]] == ["system"]
    with pytest.raises(NotFoundError, match="conversation"):
        client.agents.export_file(other.id, conversation_id=thread.id)
    with pytest.raises(APIStatusError) as malformed:
        client.agents.export_file(agent.id, conversation_id="thread")
    assert malformed.value.status_code == 422


def test_a_pending_approval_survives_the_journey(client: Letta, provider: Provider) -> None:
    tool = client.tools.create(source_code=echo_source(f"asks_{uuid4().hex[:8]}"), default_requires_approval=True)
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(call(tool.name or "", text="a", id="c1"), say("done"))
    client.agents.messages.create(agent.id, input="go")
    copy = imported(client, exported(client, agent.id))
    pending = client.agents.retrieve(copy.id, include=["agent.pending_approval"]).pending_approval
    assert pending is not None
    done = client.agents.messages.create(
        copy.id,
        messages=[{"type": "approval", "approvals": [{"type": "approval", "tool_call_id": "c1", "approve": True}]}],
    )
    assert kinds(done.messages) == ["tool_return_message", "assistant_message"]
    again = imported(client, exported(client, copy.id))
    assert client.agents.retrieve(again.id, include=["agent.pending_approval"]).pending_approval is None


def test_names_models_and_projects_can_be_overridden(client: Letta) -> None:
    file = small_file(model="nobody/nothing", embedding="nobody/vectors")
    kept = imported(client, file)  # to be given a model that is served here
    assert kept.model == "nobody/nothing"
    with pytest.raises(NotFoundError, match="nobody/nothing"):
        client.agents.messages.create(kept.id, input="hi")
    client.agents.update(kept.id, model=MODEL)
    assert kinds(client.agents.messages.create(kept.id, input="hi").messages) == ["assistant_message"]
    with pytest.raises(NotFoundError, match="nobody/other"):
        imported(client, file, model="nobody/other")
    made = imported(client, file, model=MODEL, name="renamed", project_id="shop")
    assert (made.name, made.model, made.project_id) == ("renamed", MODEL, "shop")
    assert made.embedding != "nobody/vectors"
    old = imported(client, file, override_model_handle=MODEL, override_name="old", extra_headers={"X-Project-Id": "x"})
    assert (old.name, old.model, old.project_id) == ("old", MODEL, "x")
    assert imported(client, small_file(), append_copy_suffix=False).name == "small"
    with pytest.raises(NotFoundError, match="nobody"):
        imported(client, small_file(), embedding="nobody/vectors")


def test_existing_tools_are_replaced_or_kept_as_asked(client: Letta) -> None:
    name = f"say_{uuid4().hex[:8]}"
    old, fresh = (f'def {name}() -> str:\n    """Say it."""\n    return "{word}"\n' for word in ("old", "fresh"))
    tool = client.tools.create(source_code=old)
    file = small_file(tool_ids=["tool-0", "tool-1", "tool-2"])
    file["tools"] = [
        {"id": "tool-0", "name": name, "source_code": fresh, "tool_type": "custom", "source_type": "python"},
        {"id": "tool-1", "name": "memory_insert", "tool_type": "custom", "source_code": fresh},
        {"id": "tool-2", "name": "from_a_later_server", "tool_type": "letta_core"},
    ]
    kept = imported(client, file, override_existing_tools=False)
    assert [item.name for item in kept.tools] == [name, "memory_insert"]
    assert client.tools.retrieve(tool.id).source_code == old
    assert imported(client, file).tools[0].id == tool.id
    assert client.tools.retrieve(tool.id).source_code == fresh
    assert next(iter(client.tools.list(name="memory_insert"))).source_code is None


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "not JSON"),
    "a list": ("[]", "a JSON object is expected"),
    "no agents": ({"blocks": []}, "'agents' is missing"),
    "empty": ({**small_file(), "agents": []}, "'agents' is empty"),
    "a dangling block": (small_file(block_ids=["block-7"]), r"block_ids of agent 'agent-0' names 'block-7'"),
    "a dangling message": (small_file(in_context_message_ids=["message-7"]), "in_context_message_ids"),
    "an unknown type": (small_file(agent_type="robot"), r"agents\[0\]\.agent_type"),
    "an unknown role": (small_file(messages=[{"id": "m", "role": "king", "content": ""}]), r"messages\[0\]\.role"),
    "an unknown rule": (small_file(tool_rules=[{"type": "never", "tool_name": "x"}]), r"agents\[0\]\.tool_rules"),
    "an impossible rule": (
        small_file(tool_rules=[{"type": "constrain_child_tools", "tool_name": "x", "children": []}]),
        r"agent 'agent-0'.*children",
    ),
    "two blocks of one label": (
        {**small_file(block_ids=["b1", "b2"]), "blocks": [{"id": n, "label": "a", "value": ""} for n in ("b1", "b2")]},
        "labelled 'a'",
    ),
    "a block over its limit": (
        {**small_file(block_ids=["b"]), "blocks": [{"id": "b", "label": "a", "value": "long", "limit": 2}]},
        "block 'b': .*at most 2",
    ),
    "a number without end": (
        {**small_file(), "blocks": [{"id": "b", "label": "a", "value": "", "limit": 2**40}]},
        r"blocks\[\d\]\.limit",
    ),
    "a window without end": (small_file(llm_config={"context_window": 2**40}), "context_window"),
    "an id twice": ({**small_file(), "blocks": [{"id": "b", "label": n, "value": ""} for n in "xy"]}, "'b' twice"),
    "a tool without source": ({**small_file(), "tools": [{"id": "t", "name": "gone_" + uuid4().hex}]}, "source_code"),
    "a tool that is no Python": (
        {**small_file(), "tools": [{"id": "t", "name": "x_" + uuid4().hex, "source_code": "def ("}]},
        "tool 'x_",
    ),
    "a time zone of nowhere": (small_file(timezone="Mars/North"), "time zone"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_by_name_and_leaves_nothing(client: Letta, what: str) -> None:
    file, expected = BAD[what]
    mark = uuid4().hex
    if isinstance(file, dict):
        first = {"id": "block-first", "label": "first", "value": mark}
        file = {**file, "blocks": [first, *file.get("blocks", [])]}
    with pytest.raises(APIStatusError, match=expected) as refused:
        imported(client, file)
    assert refused.value.status_code == 400
    assert "agent file" in str(refused.value) or what == "a time zone of nowhere"
    assert list(client.blocks.list(value_search=mark)) == []


def test_secrets_that_are_no_object_are_refused(client: Letta) -> None:
    for field in ("secrets", "env_vars_json"):
        with pytest.raises(APIStatusError, match=field) as refused:
            imported(client, small_file(), **{field: '["x"]'})
        assert refused.value.status_code == 422


def test_several_agents_share_the_blocks_of_their_file(client: Letta) -> None:
    file = small_file(block_ids=["block-0"])
    file["agents"].append({**file["agents"][0], "id": "agent-1", "name": "second"})
    file["blocks"] = [{"id": "block-0", "label": "shared", "value": "x"}]
    ids = client.agents.import_file(file=json.dumps(file).encode()).agent_ids
    first, second = (client.agents.retrieve(item, include=EVERYTHING) for item in ids)
    assert (first.name, second.name) == ("small_copy", "second_copy")
    assert first.blocks[0].id == second.blocks[0].id


def test_files_written_by_hand_may_hold_blocks_and_messages_inside_the_agent(client: Letta) -> None:
    file = small_file(
        memory_blocks=[{"label": "human", "value": "Bo"}],
        initial_message_sequence=[{"role": "assistant", "content": "Hello."}],
        include_base_tools=True,
    )
    made = imported(client, json.dumps(json.dumps(file)))
    assert [block.value for block in made.blocks] == ["Bo"]
    assert "memory_insert" in {tool.name for tool in made.tools}
    assert kinds(client.agents.messages.list(made.id, order="asc")) == ["system_message", "assistant_message"]


def legacy_file(tool: str) -> dict[str, Any]:
    """As servers of 2025 wrote them."""
    day = "2025-04-11T18:50:10"
    texts: list[tuple[str, str, dict[str, Any]]] = [
        ("system", "You are Old.", {}),
        ("user", json.dumps({"type": "user_message", "message": "hi", "time": day}), {}),
        ("assistant", "They greet me.", {"tool_calls": [
            {"id": "call-1", "type": "function",
             "function": {"name": "send_message", "arguments": json.dumps({"message": "Hello!"})}}]}),
        ("tool", json.dumps({"status": "OK", "message": "None", "time": day}),
         {"tool_call_id": "call-1", "name": "send_message"}),
    ]  # fmt: skip
    empty: dict[str, Any] = {
        **dict.fromkeys(("group_id", "name", "tool_call_id", "tool_calls")),
        **{"model": "gpt-4o-mini", "tool_returns": [], "updated_at": day, "created_at": day},
    }
    doc = '"""Double it.\n\n    Args:\n        x: a number\n    """'
    source = f'def {tool}(agent_state: "AgentState", x: int) -> int:\n    {doc}\n    return 2 * x\n'
    return {
        "agent_type": "memgpt_agent",
        "core_memory": [{"created_at": day, "updated_at": day, "description": None, "is_template": False,
                         "label": "human", "limit": 5000, "metadata_": {}, "template_name": None, "value": "Ada"}],
        "created_at": day, "updated_at": day, "description": None, "message_buffer_autoclear": False,
        "embedding_config": {"embedding_model": "letta-free", "embedding_dim": 1536,
                             "embedding_endpoint_type": "hugging-face"},
        "llm_config": {"model": "gpt-4o-mini", "model_endpoint_type": "openai", "context_window": 32000,
                       "provider_name": "My OpenAI", "handle": "My OpenAI/gpt-4o-mini", "temperature": 0.7},
        "in_context_message_indices": [0, 1, 2, 3],
        "messages": [{**empty, "role": role, "content": [{"type": "text", "text": text}], **more}
                     for role, text, more in texts],
        "metadata_": {"old": True}, "multi_agent_group": None, "name": "old", "system": "You are Old.",
        "tags": [{"tag": "from-2025"}],
        "tool_exec_environment_variables": [{"created_at": day, "updated_at": day, "description": None, "key": "KEY",
                                             "value": ""}],
        "tool_rules": [{"tool_name": "send_message", "type": "exit_loop"}],
        "tools": [
            {"args_json_schema": None, "created_at": day, "updated_at": day, "description": "Double it.",
             "json_schema": {"name": tool, "description": "Double it.", "parameters": {
                 "type": "object",
                 "properties": {"agent_state": {"type": "any"}, "x": {"type": "integer"},
                                "request_heartbeat": {"type": "boolean"}},
                 "required": ["agent_state", "x", "request_heartbeat"]}},
             "name": tool, "return_char_limit": 6000, "source_code": source, "source_type": "python", "tags": [],
             "tool_type": "custom", "metadata_": {}},
            {"args_json_schema": None, "created_at": day, "updated_at": day, "description": "Speak.",
             "json_schema": {"name": "send_message", "description": "", "parameters": {}}, "name": "send_message",
             "return_char_limit": 1000000, "source_code": None, "source_type": "python", "tags": ["letta_core"],
             "tool_type": "letta_core", "metadata_": {}},
        ],
        "version": "0.6.47",
    }  # fmt: skip


def test_a_file_of_the_older_form_is_imported(client: Letta, provider: Provider) -> None:
    tool = f"double_{uuid4().hex[:8]}"
    made = imported(client, legacy_file(tool), secrets=json.dumps({"KEY": "v"}))
    assert (made.name, made.agent_type, made.model, made.tags) == (
        "old_copy", "memgpt_agent", "openai/gpt-4o-mini", ["from-2025"],
    )  # fmt: skip
    assert [tool_.name for tool_ in made.tools] == [tool, "send_message"]
    assert [(item.key, item.value) for item in made.secrets or []] == [("KEY", "v")]
    assert made.llm_config.context_window == 32000
    assert [(block.label, block.value, block.limit) for block in made.blocks] == [("human", "Ada", 5000)]
    said = list(client.agents.messages.list(made.id, order="asc", use_assistant_message=True))
    assert [getattr(item, "content", None) for item in said if item.message_type == "user_message"] == ["hi"]
    assert [item.content for item in said if item.message_type == "assistant_message"][-1] == "Hello!"
    assert list(made.tools[0].json_schema["parameters"]["properties"]) == ["x"]  # type: ignore[index]
    provider.script(call(tool, x=2, request_heartbeat=True), call("send_message", message="Again."))
    doubled = client.agents.messages.create(made.id, input="and again").messages[1]
    assert doubled.tool_return == "4"  # type: ignore[union-attr]
    shape = [item.split(":")[0] for item in provider.requests[-1].shape]
    assert shape == ["system", "user", "assistant", "tool", "user", "assistant", "tool"]


def test_the_older_form_that_is_exported_is_imported_again(client: Letta, talker: AgentState) -> None:
    file = exported(client, talker.id, use_legacy_format=True)
    assert {"core_memory", "tools", "messages", "version"} < file.keys()
    copy = imported(client, file)
    assert [block.value for block in copy.blocks] == [block.value for block in talker.blocks]
    assert {tool.name for tool in copy.tools} == {tool.name for tool in talker.tools}
    assert kinds(client.agents.messages.list(copy.id)) == kinds(client.agents.messages.list(talker.id))


def test_skills_are_handed_on_in_the_file(client: Letta, server: Server) -> None:
    agent = bare_agent(client)
    skill = {"name": "pdf", "files": {"SKILL.md": "# Read PDFs"}}
    with server.http as http:
        answer = http.post(f"/v1/agents/{agent.id}/export", json={"skills": [skill], "scrub_messages": True})
        assert answer.status_code == 200, answer.text
        assert [item["name"] for item in answer.json()["skills"]] == ["pdf"]
        assert http.post(f"/v1/agents/{agent.id}/export").json()["skills"] == []
        refused = http.post(f"/v1/agents/{agent.id}/export", json={"skills": [{"name": "pdf", "files": {"a": ""}}]})
    assert refused.status_code == 422
    assert imported(client, answer.text).name == f"{agent.name}_copy"


def test_no_file_of_nobody(client: Letta) -> None:
    with pytest.raises(NotFoundError):
        client.agents.export_file("agent-00000000-0000-4000-8000-000000000000")
