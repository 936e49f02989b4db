"""An answer as it is written, and one that goes on although the line was lost.

Run it: `python 06_send_message_stream.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

agent = client.agents.create(name="narrator", model=model, memory_blocks=[])
try:
    # Token by token. Pieces of one message have the same id; pings keep idle proxies from hanging up.
    stream = client.agents.messages.create(
        agent_id=agent.id,
        messages=[{"role": "user", "content": "Tell me three surprising facts about octopuses."}],
        streaming=True,
        stream_tokens=True,
        include_pings=True,
    )
    for event in stream:
        match event.message_type:
            case "assistant_message":
                print(event.content, end="", flush=True)
            case "tool_call_message":
                print(f"[{event.tool_call.name}]", end="", flush=True)
            case "stop_reason":
                print(f"\n\nended: {event.stop_reason}")
            case "usage_statistics":
                print(f"tokens: {event.prompt_tokens} read, {event.completion_tokens} written")

    # In the background the run does not need us. We read its first events, leave, and come back later.
    stream = client.agents.messages.create(
        agent.id, input="And now a long story about one.", streaming=True, stream_tokens=True, background=True
    )
    with stream:
        for event in stream:
            if event.message_type == "assistant_message":
                print("\nbefore the line was lost:", event.content)
                break
    rest = client.runs.messages.stream(event.run_id, starting_after=event.seq_id)
    words = [event.content for event in rest if event.message_type == "assistant_message"]
    print("afterwards:", "".join(words))
finally:
    client.agents.delete(agent.id)
