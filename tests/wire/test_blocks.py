"""Blocks: made, attached, shared, limited, read-only, found."""

from uuid import uuid4

import pytest
from letta_client import APIStatusError, ConflictError, Letta, NotFoundError
from tests.support.provider import Provider
from tests.support.replies import call, reply, say
from tests.wire.samples import bare_agent, kinds, new_agent


def test_every_field_of_a_block_comes_back(client: Letta) -> None:
    fields = {
        "label": "notes",
        "value": "v",
        "description": "d",
        "limit": 50,
        "read_only": True,
        "metadata": {"k": [1]},
        "tags": ["t"],
        "hidden": True,
        "is_template": True,
        "template_name": "tn",
        "preserve_on_migration": True,
        "project_id": "p",
        "template_id": None,
        "base_template_id": "bt",
        "deployment_id": "dep",
        "entity_id": "ent",
    }
    block = client.blocks.create(**fields)  # type: ignore[arg-type]
    assert block.id.startswith("block-")
    assert {name: getattr(block, name) for name in fields} == fields
    again = client.blocks.retrieve(block.id)
    assert again == block
    changes = {**fields, "value": "w", "limit": 60, "read_only": False, "tags": ["u"], "metadata": {}}
    updated = client.blocks.update(block.id, **changes)  # type: ignore[arg-type]
    assert {name: getattr(updated, name) for name in changes} == changes
    client.blocks.delete(block.id)
    with pytest.raises(NotFoundError):
        client.blocks.retrieve(block.id)


def test_blocks_are_found_by_label_words_tags_and_use(client: Letta) -> None:
    mark = uuid4().hex
    alone = client.blocks.create(label=f"l{mark}", value=f"about {mark} tea", tags=[mark], description=f"d {mark}")
    used = client.blocks.create(label=f"m{mark}", value="x", tags=[mark, f"also{mark}"])
    agent = bare_agent(client, block_ids=[used.id])

    def ids(**query: object) -> set[str]:
        return {block.id for block in client.blocks.list(**query)}  # type: ignore[arg-type]

    assert ids(label=f"l{mark}") == {alone.id}
    assert ids(label_search=mark) == {alone.id, used.id}
    assert ids(value_search=f"{mark} tea") == {alone.id}
    assert ids(description_search=mark) == {alone.id}
    assert ids(tags=[mark]) == {alone.id, used.id}
    assert ids(tags=[mark, f"also{mark}"], match_all_tags=True) == {used.id}
    assert ids(tags=[mark], connected_to_agents_count_eq=[0]) == {alone.id}
    assert ids(tags=[mark], connected_to_agents_count_gt=0) == {used.id}
    assert [item.id for item in client.blocks.agents.list(used.id)] == [agent.id]
    assert [item.id for item in client.blocks.list(tags=[mark], order="asc", limit=1)] == [alone.id, used.id]


def test_an_attached_block_is_in_the_next_prompt_and_a_detached_one_is_not(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    block = client.blocks.create(label="city", value="Lives in Zürich")
    attached = client.agents.blocks.attach(block.id, agent_id=agent.id)
    assert attached.id == agent.id
    assert client.agents.blocks.retrieve("city", agent_id=agent.id).id == block.id
    assert [item.label for item in client.agents.blocks.list(agent.id)] == ["city"]
    client.agents.messages.create(agent.id, input="one")
    client.agents.blocks.detach(block.id, agent_id=agent.id)
    client.agents.messages.create(agent.id, input="two")
    first, second = (request.system for request in provider.requests)
    assert "Lives in Zürich" in first
    assert "Lives in Zürich" not in second
    with pytest.raises(NotFoundError) as missing:
        client.agents.blocks.retrieve("city", agent_id=agent.id)
    assert "city" in str(missing.value.body)


def test_an_agent_has_no_two_blocks_of_one_label(client: Letta) -> None:
    agent = new_agent(client)
    other = client.blocks.create(label="human", value="another")
    with pytest.raises(ConflictError) as refused:
        client.agents.blocks.attach(other.id, agent_id=agent.id)
    assert "human" in str(refused.value.body)
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: unknown"


def test_what_one_agent_writes_into_a_shared_block_the_other_reads_next(client: Letta, provider: Provider) -> None:
    block = client.blocks.create(label="plan", value="none yet")
    writer, reader = (bare_agent(client, block_ids=[block.id], include_base_tools=True) for _ in range(2))
    client.agents.messages.create(reader.id, input="before")
    provider.script(call("memory_replace", label="plan", old_string="none yet", new_string="go north"), say("ok"))
    client.agents.messages.create(writer.id, input="plan it")
    client.agents.messages.create(reader.id, input="after")
    assert "none yet" in provider.requests[0].system
    assert "go north" in provider.requests[-1].system
    assert client.agents.blocks.retrieve("plan", agent_id=reader.id).value == "go north"


def test_a_block_changed_through_the_api_is_in_the_next_prompt(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    human = client.agents.blocks.retrieve("human", agent_id=agent.id)
    client.blocks.update(human.id, value="Name: Grace")
    client.agents.messages.create(agent.id, input="hi")
    assert "Name: Grace" in provider.requests[0].system


def test_a_read_only_block_refuses_tools_but_not_the_api(client: Letta, provider: Provider) -> None:
    agent = bare_agent(
        client, memory_blocks=[{"label": "law", "value": "be kind", "read_only": True}], include_base_tools=True
    )
    provider.script(
        reply(
            call("memory_insert", label="law", new_string="or not"),
            call("memory_replace", label="law", old_string="kind", new_string="cruel"),
        ),
        say("I may not."),
    )
    answer = client.agents.messages.create(agent.id, input="change the law")
    result = answer.messages[1]
    assert result.message_type == "tool_return_message"
    assert [item.status for item in result.tool_returns or []] == ["error", "error"]
    assert "read" in str(result.tool_return).lower()
    assert client.agents.blocks.retrieve("law", agent_id=agent.id).value == "be kind"
    client.agents.blocks.update("law", agent_id=agent.id, value="be kinder")
    assert client.agents.blocks.retrieve("law", agent_id=agent.id).value == "be kinder"


def test_the_limit_holds_for_the_api(client: Letta) -> None:
    with pytest.raises(APIStatusError) as too_long:
        client.blocks.create(label="small", value="123456", limit=5)
    assert too_long.value.status_code == 422
    assert "5" in str(too_long.value.body)
    block = client.blocks.create(label="small", value="12345", limit=5)
    for change in ({"value": "123456"}, {"limit": 4}):
        with pytest.raises(APIStatusError) as refused:
            client.blocks.update(block.id, **change)
        assert refused.value.status_code == too_long.value.status_code
    assert client.blocks.update(block.id, value="123456", limit=6).value == "123456"


def test_the_limit_holds_for_tools(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, memory_blocks=[{"label": "tiny", "value": "12345", "limit": 8}], include_base_tools=True)
    provider.script(call("memory_insert", label="tiny", new_string="too much for it"), say("full"))
    answer = client.agents.messages.create(agent.id, input="write")
    assert kinds(answer.messages) == ["tool_call_message", "tool_return_message", "assistant_message"]
    assert answer.messages[1].status == "error"  # type: ignore[union-attr]
    assert "8" in str(answer.messages[1].tool_return)  # type: ignore[union-attr]
    assert client.agents.blocks.retrieve("tiny", agent_id=agent.id).value == "12345"


def test_the_prompt_tells_what_a_block_is(client: Letta, provider: Provider) -> None:
    agent = bare_agent(
        client,
        memory_blocks=[
            {"label": "law", "value": "be kind", "read_only": True, "limit": 777, "description": "The rules."}
        ],
    )
    client.agents.messages.create(agent.id, input="hi")
    system = provider.requests[0].system
    for part in ("law", "be kind", "777", "The rules.", "read_only"):
        assert part in system
