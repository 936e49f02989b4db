"""A tool with a secret: it reads `os.getenv` in the sandbox, and the model never sees the value.

Run it: `python 04_custom_tool_secrets.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

SOURCE = '''
def sign(text: str) -> str:
    """Sign a text with the company's key, so that others can check where it comes from.

    Args:
        text: exactly what is to be signed
    """
    import hashlib
    import hmac
    import os

    key = os.getenv("SIGNING_KEY")
    if key is None:
        return "There is no SIGNING_KEY: ask the person who runs this agent for it."
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
'''

tool = client.tools.upsert(source_code=SOURCE)
agent = client.agents.create(
    name="notary",
    model=model,
    memory_blocks=[],
    tool_ids=[tool.id],
    secrets={"SIGNING_KEY": "octopus"},  # each agent has its own; stored encrypted
)
try:
    reply = client.agents.messages.create(agent.id, input="Sign the words 'three hearts' for me.")
    for message in reply.messages:
        if message.message_type == "tool_return_message":
            print("signature:", message.tool_return)

    # Secrets are replaced as a whole; the next call has the new one.
    client.agents.update(agent.id, secrets={"SIGNING_KEY": "cuttlefish"})
    print(
        "with a new key:", client.agents.tools.run("sign", agent_id=agent.id, args={"text": "three hearts"}).func_return
    )
finally:
    client.agents.delete(agent.id)
    client.tools.delete(tool.id)
