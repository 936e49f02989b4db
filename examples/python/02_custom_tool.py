"""A Python function as a tool. The server reads its signature and docstring, and runs it in a sandbox."""

import os

from letta_client import Letta

SOURCE = '''
def days_between(first: str, second: str) -> int:
    """Count the days from one date to another.

    Args:
        first: the earlier date, such as 2026-01-31
        second: the later date
    """
    from datetime import date

    return (date.fromisoformat(second) - date.fromisoformat(first)).days
'''

client = Letta(
    base_url=os.environ.get("REVERIE_URL", "http://localhost:8283"), api_key=os.environ.get("REVERIE_API_KEY", "local")
)
model = os.environ.get("REVERIE_MODEL") or client.models.list()[0].handle

tool = client.tools.upsert(source_code=SOURCE)
agent = client.agents.create(name="custom-tool", model=model, memory_blocks=[], tool_ids=[tool.id])
try:
    reply = client.agents.messages.create(agent.id, input="How many days are there from 2026-03-14 to 2026-12-24?")
    for message in reply.messages:
        if message.message_type == "tool_call_message":
            print("calls:", message.tool_call.name, message.tool_call.arguments)
        elif message.message_type == "tool_return_message":
            print("result:", message.status, message.tool_return)
        elif message.message_type == "assistant_message":
            print("agent:", message.content)
finally:
    client.agents.delete(agent.id)
