"""The main job as a program of letta-client 1.7.1. Run by `test_sdk_1_7_1`, in a process of its own."""

import json
import os
import urllib.request
from typing import Any

import letta_client
from letta_client import APIStatusError, ConflictError, Letta, NotFoundError
from letta_client.types.tool import BaseTool  # type: ignore[attr-defined]  # gone from the present SDK
from pydantic import BaseModel

MODEL = "openai/gpt-4o-mini"


class Guest(BaseModel):
    """Someone who comes."""

    name: str
    age: int


class Entry(BaseModel):
    """A movement of stock."""

    guest: Guest
    at: int


class EntryArgs(BaseModel):
    """What the tool of this name takes."""

    data: Entry
    change: int


class StockTool(BaseTool):  # type: ignore[misc]  # of the SDK's older version
    """A tool that is a class."""

    name: str = "change_stock"
    args_schema: type[BaseModel] = EntryArgs
    description: str = "Change the stock."
    tags: list[str] = ["stock"]  # noqa: RUF012 - as the SDK's guide has it

    def run(self, data: Entry, change: int) -> bool:
        """Change the stock."""
        print(f"{data.guest.name}: {change}")
        return data.at > change


def greet_guest(guest: Guest, loud: bool = False) -> str:
    """Greet a guest.

    Args:
        guest (Guest): who comes
        loud (bool): whether to shout
    """
    text = f"Welcome, {guest.name}"
    return text.upper() if loud else text


def roll_die(sides: int) -> int:
    """Roll a die that always shows its highest side.

    Args:
        sides (int): how many there are

    Returns:
        int: what came up
    """
    return sides


def connect() -> Any:
    """The client; typed as nothing, for the type checker sees the present SDK."""
    return Letta(
        base_url=os.environ["REVERIE_URL"],
        api_key="test",
        max_retries=0,
        timeout=60,
        _strict_response_validation=True,
    )


def post(url: str, body: Any = None) -> None:
    """POST and forget the answer."""
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), method="POST")
    urllib.request.urlopen(request, timeout=60).close()


def script(*replies: Any) -> None:
    """Say what the model answers next."""
    post(os.environ["PROVIDER_URL"] + "/_script", list(replies))


def requests() -> list[Any]:
    """What the model was sent."""
    with urllib.request.urlopen(os.environ["PROVIDER_URL"] + "/_requests", timeout=60) as answer:
        found: list[Any] = json.load(answer)
        return found


def kinds(messages: Any) -> list[str]:
    return [message.message_type for message in messages]


def main() -> None:
    """Tell the whole story."""
    assert letta_client.__version__ == "1.7.1", letta_client.__version__
    client = connect()
    assert client.health().status == "ok"

    die = client.tools.create_from_function(func=roll_die, tags=["dice"])
    assert (die.name, list(die.json_schema["parameters"]["properties"])) == ("roll_die", ["sides"])
    again = client.tools.upsert_from_function(func=roll_die, return_char_limit=99)
    assert (again.id, again.return_char_limit) == (die.id, 99)

    class GreetArgs(BaseModel):
        guest: Guest
        loud: bool = False

    greet = client.tools.upsert_from_function(func=greet_guest, args_schema=GreetArgs)
    assert set(greet.json_schema["parameters"]["properties"]) == {"guest", "loud"}
    stock = client.tools.add(tool=StockTool(id="tool-1"))
    assert (stock.name, stock.tags, stock.description) == ("change_stock", ["stock"], "Change the stock.")
    assert die.id in [tool.id for tool in client.tools.list(limit=200)]

    agent = client.agents.create(
        name="old friend",
        model=MODEL,
        embedding="openai/text-embedding-3-small",
        memory_blocks=[{"label": "human", "value": "Name: unknown"}, {"label": "persona", "value": "Kind."}],
        tool_ids=[die.id, greet.id],
        tags=["old"],
    )
    assert agent.id.startswith("agent-")
    assert {block.label for block in agent.blocks} == {"human", "persona"}
    whole = client.agents.retrieve(agent.id, include=["agent.blocks", "agent.tools", "agent.tags"])
    assert whole.tags == ["old"]
    assert agent.id in [item.id for item in client.agents.list(tags=["old"])]

    script(
        {"call": "memory_replace", "args": {"label": "human", "old_string": "unknown", "new_string": "Ada"}},
        {"parts": [{"think": "a die"}, {"call": "roll_die", "args": {"sides": 6}}]},
        {"say": "A six, Ada."},
    )
    answer = client.agents.messages.create(agent.id, messages=[{"role": "user", "content": "I am Ada. Roll!"}])
    assert kinds(answer.messages) == [
        "tool_call_message",
        "tool_return_message",
        "reasoning_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ], answer
    assert answer.messages[4].tool_return == "6"
    assert answer.stop_reason.stop_reason == "end_turn"
    assert answer.usage.step_count == 3

    post(os.environ["RESTART_URL"])
    client = connect()
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: Ada"

    script({"say": "one two three"})
    events = list(client.agents.messages.stream(agent.id, input="Count", stream_tokens=True))
    said = [event for event in events if event.message_type == "assistant_message"]
    assert "".join(event.content for event in said) == "one two three"
    assert kinds(events)[-2:] == ["stop_reason", "usage_statistics"]
    assert "Name: Ada" in requests()[-1]["system"]

    script({"say": "later"})
    events = list(client.agents.messages.create(agent.id, input="Go", streaming=True, background=True))
    rest = list(client.runs.messages.stream(events[0].run_id, starting_after=events[0].seq_id))
    assert [event.seq_id for event in rest] == [event.seq_id for event in events[1:]]

    script(
        {"call": "greet_guest", "args": {"guest": {"name": "Bob", "age": 3}, "loud": True}},
        {"say": "done"},
    )
    answer = client.agents.messages.create(agent.id, input="Greet Bob")
    assert answer.messages[1].tool_return == "WELCOME, BOB", answer.messages[1]

    client.agents.tools.update_approval("roll_die", agent_id=agent.id, body_requires_approval=True)
    script({"call": "roll_die", "args": {"sides": 4}, "id": "c1"}, {"say": "Four."})
    answer = client.agents.messages.create(agent.id, input="Roll again")
    assert answer.stop_reason.stop_reason == "requires_approval"
    try:
        client.agents.messages.create(agent.id, input="Hello?")
        raise AssertionError("a message was let in while an approval waits")
    except ConflictError as refused:
        assert "PENDING_APPROVAL" in str(refused.body)
    approval = {"type": "approval", "tool_call_id": "c1", "approve": True}
    answer = client.agents.messages.create(agent.id, messages=[{"type": "approval", "approvals": [approval]}])
    assert answer.messages[-1].content == "Four."

    script({"fail": 429, "message": "insufficient_quota: no credit"})
    try:
        client.agents.messages.create(agent.id, input="And now?")
        raise AssertionError("the provider's failure was not told")
    except APIStatusError as failed:
        assert failed.status_code == 402, failed

    conversation = client.conversations.create(agent_id=agent.id)
    script({"say": "elsewhere"})
    assert kinds(client.conversations.messages.create(conversation.id, input="Hi")) == [
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]

    listed = list(client.agents.messages.list(agent.id, limit=4, order="asc"))
    ids = [message.id for message in listed]
    assert len(ids) == len(set(ids)) > 8
    assert client.models.list()[0].handle
    assert client.models.embeddings.list()[0].handle
    assert list(client.runs.list(agent_id=agent.id))
    client.agents.delete(agent.id)
    try:
        client.agents.retrieve(agent.id)
        raise AssertionError("a deleted agent was found")
    except NotFoundError as gone:
        assert agent.id in str(gone.body)
    print("told to the end")


if __name__ == "__main__":
    main()
