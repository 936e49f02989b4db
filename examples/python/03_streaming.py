"""A reply as it is written. Pieces of one message share its id; the last events say why it ended and what it cost."""

import os

from letta_client import Letta

client = Letta(
    base_url=os.environ.get("REVERIE_URL", "http://localhost:8283"), api_key=os.environ.get("REVERIE_API_KEY", "local")
)
model = os.environ.get("REVERIE_MODEL") or client.models.list()[0].handle

agent = client.agents.create(name="streaming", model=model, memory_blocks=[])
try:
    stream = client.agents.messages.create(
        agent.id,
        input="Tell me three surprising facts about octopuses.",
        streaming=True,
        stream_tokens=True,
    )
    for event in stream:
        match event.message_type:
            case "assistant_message":
                print(event.content, end="", flush=True)
            case "stop_reason":
                print(f"\n\nended: {event.stop_reason}")
            case "usage_statistics":
                print(f"tokens: {event.prompt_tokens} read, {event.completion_tokens} written")
finally:
    client.agents.delete(agent.id)
