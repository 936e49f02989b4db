"""One message and all that comes back: thoughts, tool calls, their results, the answer, and what it cost.

Run it: `python 05_send_message.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

agent = client.agents.create(
    name="correspondent",
    model=model,
    memory_blocks=[{"label": "human", "value": "Nothing is known about the user yet."}],
)
try:
    response = client.agents.messages.create(
        agent_id=agent.id,
        messages=[{"role": "user", "content": "Hello, I'm Ada. What is the heaviest octopus?"}],
    )
    for message in response.messages:
        match message.message_type:
            case "reasoning_message":
                print("thinks:", message.reasoning)
            case "tool_call_message":
                print("calls:", message.tool_call.name)
            case "tool_return_message":
                print("gets back:", message.tool_return)
            case "assistant_message":
                print("says:", message.content)
    usage = response.usage
    print(f"ended: {response.stop_reason.stop_reason}")
    print(f"cost: {usage.prompt_tokens} tokens read, {usage.completion_tokens} written, {usage.step_count} steps")

    # The server keeps the history: send only what is new. `input` is short for one message of the user.
    client.agents.messages.create(agent.id, input="And the smallest?")

    print("the history, newest first:")
    for message in client.agents.messages.list(agent.id, limit=4).items:  # without `.items`: all of it, page by page
        if message.message_type in ("user_message", "assistant_message"):
            print(f"  {message.message_type.removesuffix('_message')}: {message.content}")
finally:
    for block in list(client.agents.blocks.list(agent.id)):
        client.blocks.delete(block.id)  # blocks outlive their agents
    client.agents.delete(agent.id)
