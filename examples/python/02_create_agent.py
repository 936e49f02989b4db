"""An agent with memory blocks: texts that stand in its context, and that it rewrites by itself.

Run it: `python 02_create_agent.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

agent = client.agents.create(
    name="ada-s-assistant",
    model=model,
    description="Helps one person and remembers what it is told.",
    tags=["example"],
    memory_blocks=[
        {"label": "persona", "value": "I am brief and kind. I write down what matters about the user."},
        {
            "label": "human",
            "value": "Nothing is known about the user yet.",
            "description": "What is known about the user: name, work, likes.",  # the agent reads this too
            "limit": 2000,  # characters
        },
    ],
)
try:
    for block in client.agents.blocks.list(agent.id):
        print(f"[{block.label}] {block.value}")

    # The agent decides to edit its memory: it has tools for that, on every agent.
    client.agents.messages.create(agent.id, input="My name is Ada and I study octopuses. Please remember that.")
    print("after a message:", client.agents.blocks.retrieve("human", agent_id=agent.id).value)

    # You can edit it as well. The next message sees the change.
    client.agents.blocks.update("persona", agent_id=agent.id, value="I am a pirate, brief and kind.")
    client.agents.update(agent.id, description="A pirate with a good memory.")

    # A conversation begins empty, and the memory is there all the same.
    conversation = client.conversations.create(agent_id=agent.id)
    for message in client.conversations.messages.create(conversation.id, input="Who am I?"):
        if message.message_type == "assistant_message":
            print("agent:", message.content)
finally:
    for block in list(client.agents.blocks.list(agent.id)):
        client.blocks.delete(block.id)  # blocks outlive their agents
    client.agents.delete(agent.id)
