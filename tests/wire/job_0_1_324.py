"""What programs written for the client before version 1.0 do. A program of its own: that client has the same name.

It is given `REVERIE_URL`, `PROVIDER_URL` and `PIXEL`, a small image in base64.
"""

import importlib
import os
from typing import Any

sdk: Any = importlib.import_module("letta_client")  # not the one that the type checker sees

MODEL = "gpt-4o-mini"
ECHO = '''
def old_echo(text: str) -> str:
    """Say it back.

    Args:
        text: what to say
    """
    return text
'''


def make_agents(client: Any) -> str:
    """By handles, and by the configs that came before them."""
    embedder = client.models.embeddings.list()[0]
    assert embedder.handle
    agent = client.agents.create(
        name="old",
        memory_blocks=[sdk.CreateBlock(label="human", value="Bo", limit=2000), {"label": "persona", "value": "kind"}],
        model=f"openai/{MODEL}",
        embedding=embedder.handle,
        tool_exec_environment_variables={"KEY": "hush"},
        max_tokens=99,
    )
    assert [block.label for block in agent.memory.blocks] == ["human", "persona"]
    assert (agent.llm_config.model, agent.llm_config.handle, agent.llm_config.max_tokens) == (
        MODEL,
        f"openai/{MODEL}",
        99,
    )
    assert agent.embedding_config.handle == embedder.handle
    assert [(item.key, item.value) for item in agent.tool_exec_environment_variables] == [("KEY", "hush")]
    assert (agent.sources, agent.identity_ids, agent.tags) == ([], [], [])
    older = client.agents.create(
        llm_config=sdk.LlmConfig(
            model=MODEL,
            model_endpoint_type="openai",
            context_window=16000,
            temperature=0.5,
            put_inner_thoughts_in_kwargs=True,
        ),
        embedding_config=sdk.EmbeddingConfig(
            embedding_model=embedder.embedding_model,
            embedding_endpoint_type=embedder.embedding_endpoint_type,
            embedding_dim=embedder.embedding_dim,
            handle=embedder.handle,
        ),
        agent_type="memgpt_agent",
    )
    assert (older.llm_config.handle, older.llm_config.context_window) == (f"openai/{MODEL}", 16000)
    assert older.llm_config.temperature == 0.5
    assert "send_message" in [tool.name for tool in older.tools]
    client.agents.delete(agent_id=older.id)
    return str(agent.id)


def talk(client: Any, agent_id: str) -> None:
    """Words as text and as parts, blocking, in streams and in the background."""
    user = {"role": "user"}
    answer = client.agents.messages.create(agent_id=agent_id, messages=[sdk.MessageCreate(role="user", content="hi")])
    assert [item.message_type for item in answer.messages] == ["assistant_message"]
    assert answer.messages[0].content == "All right."
    assert answer.usage.total_tokens > 0
    image = sdk.Base64Image(media_type="image/png", data=os.environ["PIXEL"])
    by_url = sdk.UrlImage(url=f"data:image/png;base64,{os.environ['PIXEL']}")
    parts = [sdk.TextContent(text="look"), sdk.ImageContent(source=image), sdk.ImageContent(source=by_url)]
    client.agents.messages.create(agent_id=agent_id, messages=[{**user, "content": parts}])
    for tokens in (False, True):
        stream = client.agents.messages.create_stream(
            agent_id=agent_id, messages=[{**user, "content": "stream"}], stream_tokens=tokens
        )
        kinds = [event.message_type for event in stream]
        assert kinds[-2:] == ["stop_reason", "usage_statistics"], kinds
        assert set(kinds[:-2]) == {"assistant_message"}
    run = client.agents.messages.create_async(agent_id=agent_id, messages=[{**user, "content": "later"}])
    while client.runs.retrieve(run_id=run.id).status in ("created", "running"):
        pass
    listed = client.agents.messages.list(agent_id=agent_id)
    said = [item.content for item in listed if item.message_type == "user_message"]
    assert "hi" in said
    message = next(item for item in listed if item.message_type == "user_message" and item.content == "hi")
    changed = client.agents.messages.modify(
        agent_id=agent_id, message_id=message.id, request={"message_type": "user_message", "content": "marmalade"}
    )
    assert changed.content == "marmalade"
    found = client.agents.messages.search(query="marmalade", roles=["user"])
    assert found[0].message.id == message.id
    context = client.agents.context.retrieve(agent_id=agent_id)
    assert context.messages[0].role == "system"
    assert context.num_messages == len(context.messages)
    client.agents.messages.summarize(agent_id=agent_id, max_message_length=5)
    after = client.agents.context.retrieve(agent_id=agent_id)
    assert after.num_messages < context.num_messages
    assert after.summary_memory
    reset = client.agents.messages.reset(agent_id=agent_id, add_default_initial_messages=True)
    assert len(reset.message_ids) == 1


def remember(client: Any, agent_id: str) -> None:
    """Blocks and passages by their old paths."""
    blocks = client.agents.blocks
    assert blocks.modify(agent_id=agent_id, block_label="human", value="Ada").value == "Ada"
    assert blocks.retrieve(agent_id=agent_id, block_label="human").value == "Ada"
    assert client.agents.core_memory.retrieve(agent_id=agent_id).blocks[0].value == "Ada"
    made = client.blocks.create(label="shared", value="v", name="mine", is_template=True)
    assert client.blocks.retrieve(block_id=made.id).name in ("mine", None)
    assert [item.id for item in client.blocks.list(name="mine", templates_only=True)] == [made.id]
    assert client.blocks.modify(block_id=made.id, value="w").value == "w"
    assert len(blocks.attach(agent_id=agent_id, block_id=made.id).memory.blocks) == 3
    assert len(blocks.detach(agent_id=agent_id, block_id=made.id).memory.blocks) == 2
    (passage,) = client.agents.passages.create(agent_id=agent_id, text="a fact")
    assert [item.text for item in client.agents.passages.list(agent_id=agent_id)] == ["a fact"]
    client.agents.passages.modify(agent_id=agent_id, memory_id=passage.id)
    client.agents.passages.delete(agent_id=agent_id, memory_id=passage.id)
    assert client.agents.passages.list(agent_id=agent_id) == []


def own(client: Any, agent_id: str) -> None:
    """Tools and identities."""
    tool = client.tools.create(source_code=ECHO)
    assert client.tools.upsert(source_code=ECHO.replace("return text", "return text * 2")).id == tool.id
    assert client.tools.modify(tool_id=tool.id, description="says it").description == "says it"
    assert "old_echo" in [item.name for item in client.agents.tools.attach(agent_id=agent_id, tool_id=tool.id).tools]
    gated = client.agents.tools.modify_approval(agent_id=agent_id, tool_name="old_echo", requires_approval=True)
    assert gated.id == agent_id
    assert "old_echo" not in [
        item.name for item in client.agents.tools.detach(agent_id=agent_id, tool_id=tool.id).tools
    ]
    client.tools.delete(tool_id=tool.id)
    key = f"key of {agent_id}"
    bo = client.identities.create(identifier_key=key, name="Bo", identity_type="user")
    bob = client.identities.upsert(identifier_key=key, name="Bob", identity_type="user")
    assert (bob.id, bob.name) == (bo.id, "Bob")
    assert client.agents.modify(agent_id=agent_id, name="newer", tags=["x"], identity_ids=[bo.id]).identity_ids == [
        bo.id
    ]
    assert [item.id for item in client.agents.list(identifier_keys=[key])] == [agent_id]
    assert [
        item.id
        for item in client.agents.search(search=[{"field": "agentId", "operator": "eq", "value": agent_id}]).agents
    ] == [agent_id]


def main() -> None:
    """Do it all."""
    client = sdk.Letta(base_url=os.environ["REVERIE_URL"], token="test")
    assert client.health.check().status == "ok"
    assert client.models.list()
    agent_id = make_agents(client)
    talk(client, agent_id)
    remember(client, agent_id)
    own(client, agent_id)
    assert client.agents.count() >= 1
    assert "x" in client.tags.list()
    assert client.runs.list(agent_ids=[agent_id])
    assert client.steps.list(agent_id=agent_id)
    client.voice.create_voice_chat_completions(
        agent_id=agent_id, request={"messages": [{"role": "user", "content": "hi"}], "stream": False}
    )
    client.agents.delete(agent_id=agent_id)


main()
