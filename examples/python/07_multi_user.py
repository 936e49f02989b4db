"""Many users: an agent for each of them, or one agent with a conversation for each.

Run it: `python 07_multi_user.py`
"""

import os

from letta_client import Letta
from letta_client.types import AgentState

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle
APP = "example-07"


def agent_of(user: str) -> AgentState:
    """The user's own agent; made when they come for the first time."""
    known = client.agents.list(tags=[APP, f"user:{user}"], match_all_tags=True, limit=1)
    for agent in known:
        return agent
    return client.agents.create(
        name=f"assistant-of-{user}",
        model=model,
        tags=[APP, f"user:{user}"],
        memory_blocks=[
            {"label": "persona", "value": "I look after one person."},
            {"label": "human", "value": f"Name: {user}"},
        ],
    )


def answer(messages: object) -> str:
    """What the agent said at the end."""
    return "".join(message.content for message in messages if message.message_type == "assistant_message")


try:
    # 1. An agent for each user: memories never meet.
    for user in ("ada", "grace"):
        reply = client.agents.messages.create(agent_of(user).id, input="What is my name?")
        print(f"to {user}:", answer(reply.messages))
    print("ada's agent is found again:", "yes" if agent_of("ada").id == agent_of("ada").id else "no")

    # 2. One agent for all, such as a help desk: memory is shared, each user has a thread of their own.
    desk = client.agents.create(
        name="help-desk",
        model=model,
        tags=[APP],
        memory_blocks=[{"label": "handbook", "value": "We open at ten.", "read_only": True}],
    )
    threads = {user: client.conversations.create(agent_id=desk.id, summary=user) for user in ("ada", "grace")}
    for user, thread in threads.items():
        stream = client.conversations.messages.create(
            thread.id, messages=[{"role": "user", "content": f"I'm {user}. When do you open?"}]
        )
        print(f"desk to {user}:", answer(stream))
finally:
    # When a user leaves, everything with their tag goes.
    leaving = list(client.agents.list(tags=[APP]))
    for agent in leaving:
        for block in list(client.agents.blocks.list(agent.id)):
            client.blocks.delete(block.id)
        client.agents.delete(agent.id)
    print("deleted agents:", len(leaving))
