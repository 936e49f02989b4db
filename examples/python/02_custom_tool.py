"""A Python function as a tool, with a secret.

The server reads the function's signature and docstring, and runs it in a sandbox. The secret is in
the tool's environment there; the model never sees it.
"""

import os

from letta_client import Letta

SOURCE = '''
def sign(text: str) -> str:
    """Sign a text with the company's key, so that others can check where it comes from.

    Args:
        text: exactly what is to be signed
    """
    import hashlib
    import hmac
    import os

    return hmac.new(os.environ["SIGNING_KEY"].encode(), text.encode(), hashlib.sha256).hexdigest()
'''

client = Letta(
    base_url=os.environ.get("REVERIE_URL", "http://localhost:8283"), api_key=os.environ.get("REVERIE_API_KEY", "local")
)
model = os.environ.get("REVERIE_MODEL") or client.models.list()[0].handle

tool = client.tools.upsert(source_code=SOURCE)
agent = client.agents.create(
    name="custom-tool",
    model=model,
    memory_blocks=[],
    tool_ids=[tool.id],
    secrets={"SIGNING_KEY": "octopus"},
)
try:
    reply = client.agents.messages.create(agent.id, input="Sign the words 'three hearts' for me.")
    for message in reply.messages:
        if message.message_type == "tool_call_message":
            print("calls:", message.tool_call.name, message.tool_call.arguments)
        elif message.message_type == "tool_return_message":
            print("result:", message.status, message.tool_return)
        elif message.message_type == "assistant_message":
            print("agent:", message.content)
finally:
    client.agents.delete(agent.id)
