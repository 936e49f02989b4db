"""A memory tool of your own: inside a tool, `client` is ready and `LETTA_AGENT_ID` says who calls.

Run it: `python 11_client_injection.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

# Nobody imports or makes `client`: it is there, with a key that lives as long as this call.
SOURCE = '''
def add_task(task: str) -> str:
    """Put a task on the list in your memory block "tasks".

    Args:
        task: what is to be done, in a few words
    """
    import os

    agent_id = os.getenv("LETTA_AGENT_ID")
    block = client.agents.blocks.retrieve(agent_id=agent_id, block_label="tasks")
    lines = [*block.value.splitlines(), f"- {task}"]
    client.agents.blocks.update(agent_id=agent_id, block_label="tasks", value="\\n".join(lines))
    return f"There are {len(lines)} tasks now."
'''

tool = client.tools.upsert(source_code=SOURCE)
agent = client.agents.create(
    name="secretary",
    model=model,
    memory_blocks=[{"label": "tasks", "value": "- feed the octopus"}],
    tool_ids=[tool.id],
    include_base_tools=False,
)
try:
    reply = client.agents.messages.create(agent.id, input="I have to call Grace. Put it on my list.")
    for message in reply.messages:
        if message.message_type == "tool_return_message":
            print(f"{message.status}: {message.tool_return}")
    print(client.agents.blocks.retrieve(agent_id=agent.id, block_label="tasks").value)
finally:
    for block in list(client.agents.blocks.list(agent.id)):
        client.blocks.delete(block.id)  # blocks outlive their agents
    client.agents.delete(agent.id)
    client.tools.delete(tool.id)
