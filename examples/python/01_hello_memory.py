"""An agent that writes down what it learns, and still knows it in another conversation."""

import os

from letta_client import Letta

client = Letta(
    base_url=os.environ.get("REVERIE_URL", "http://localhost:8283"), api_key=os.environ.get("REVERIE_API_KEY", "local")
)
model = os.environ.get("REVERIE_MODEL") or client.models.list()[0].handle

agent = client.agents.create(
    name="hello-memory",
    model=model,
    memory_blocks=[
        {"label": "persona", "value": "I am brief and kind. I write down what matters about the user."},
        {"label": "human", "value": "Nothing is known about the user yet."},
    ],
)
try:
    client.agents.messages.create(agent.id, input="My name is Ada and I study octopuses. Please remember that.")
    print("human block:", client.agents.blocks.retrieve("human", agent_id=agent.id).value)

    # Another conversation: none of the messages above are in it, but the memory is.
    conversation = client.conversations.create(agent_id=agent.id)
    stream = client.conversations.messages.create(conversation.id, messages=[{"role": "user", "content": "Who am I?"}])
    for message in stream:
        if message.message_type == "assistant_message":
            print("agent:", message.content)
finally:
    client.agents.delete(agent.id)
