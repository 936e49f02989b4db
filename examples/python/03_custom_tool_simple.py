"""A Python function becomes a tool: the server reads its signature and docstring, and runs it in a sandbox.

Run it: `python 03_custom_tool_simple.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

# Everything a tool needs is inside the function, imports too: only this text goes to the server.
# The model reads the docstring to learn what the tool does, and `Args` to learn what to give it.
SOURCE = '''
def sphere_volume(radius: float, digits: int = 2) -> float:
    """Work out the volume of a sphere.

    Args:
        radius: half of the diameter, in any unit
        digits: how many digits after the point are wanted
    """
    import math

    return round(4 / 3 * math.pi * radius**3, digits)
'''

tool = client.tools.upsert(source_code=SOURCE)  # `create` does the same, but refuses a name that exists
agent = client.agents.create(name="geometer", model=model, memory_blocks=[])
try:
    client.agents.tools.attach(agent_id=agent.id, tool_id=tool.id)

    # Try it by hand first; no model is involved.
    tried = client.agents.tools.run(tool.name, agent_id=agent.id, args={"radius": 1})
    print("by hand:", tried.status, tried.func_return)

    reply = client.agents.messages.create(
        agent_id=agent.id,
        messages=[{"role": "user", "content": "How large is a ball with a radius of 3 cm? Use your tool."}],
    )
    for message in reply.messages:
        if message.message_type == "tool_call_message":
            print("calls:", message.tool_call.name, message.tool_call.arguments)
        elif message.message_type == "tool_return_message":
            print("result:", message.status, message.tool_return)
        elif message.message_type == "assistant_message":
            print("agent:", message.content)
finally:
    client.agents.delete(agent.id)
    client.tools.delete(tool.id)
