"""Several talks with one agent at the same time: each has a history of its own, the memory is one.

Run it: `python 10_conversations.py`
"""

import os
from concurrent.futures import ThreadPoolExecutor

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

agent = client.agents.create(
    name="planner",
    model=model,
    memory_blocks=[{"label": "human", "value": "Ada lives in Lisbon."}],
)


def ask(conversation_id: str, question: str) -> str:
    """Send a question and gather the streamed answer."""
    stream = client.conversations.messages.create(conversation_id, messages=[{"role": "user", "content": question}])
    return "".join(event.content for event in stream if event.message_type == "assistant_message")


try:
    work = client.conversations.create(agent_id=agent.id, summary="work")
    holiday = client.conversations.create(agent_id=agent.id, summary="holiday")

    # Both at once. (Two messages to one conversation would be answered one after the other.)
    with ThreadPoolExecutor() as pool:
        answers = pool.map(ask, (work.id, holiday.id), ("Plan my working day.", "Plan my day at the sea."))
    for conversation, text in zip((work, holiday), answers, strict=True):
        print(f"{conversation.summary}: {text}")

    # Each remembers what was said in it, and nothing of the other.
    print("work again:", ask(work.id, "Which day did I ask about?"))

    for conversation in client.conversations.list(agent_id=agent.id):
        messages = client.conversations.messages.list(conversation.id)
        texts = [message for message in messages if message.message_type in ("user_message", "assistant_message")]
        print(f"{conversation.summary} holds {len(texts)} messages")
finally:
    for block in list(client.agents.blocks.list(agent.id)):
        client.blocks.delete(block.id)  # blocks outlive their agents
    client.agents.delete(agent.id)  # its conversations go with it
