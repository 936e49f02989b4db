"""Tools that run here, not on the server: the agent asks, this program acts and sends the result back.

Run it: `python 13_client_side_tools.py`
"""

import json
import os
import tempfile
from pathlib import Path

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

folder = tempfile.TemporaryDirectory()
Path(folder.name, "notes.txt").write_text("The aquarium opens at ten.\n")


def list_files() -> str:
    """The names of the files in the folder."""
    return "\n".join(sorted(path.name for path in Path(folder.name).iterdir()))


def read_file(name: str) -> str:
    """A file of the folder, and of nowhere else."""
    return Path(folder.name, Path(name).name).read_text()


FUNCTIONS = {"list_files": list_files, "read_file": read_file}
# Described as JSON schema, sent with each request, and stored nowhere.
CLIENT_TOOLS = [
    {
        "name": "list_files",
        "description": "List the files in the user's folder.",
        "parameters": {"type": "object", "properties": {}},
    },
    {
        "name": "read_file",
        "description": "Read one file of the user's folder.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "name of the file"}},
            "required": ["name"],
        },
    },
]


def run(call) -> dict:
    """Run one call; what goes wrong is told to the agent."""
    try:
        result, status = FUNCTIONS[call.name](**json.loads(call.arguments or "{}")), "success"
    except Exception as error:
        result, status = f"{type(error).__name__}: {error}", "error"
    print(f"ran here: {call.name}({call.arguments}) -> {status}")
    return {"type": "tool", "tool_call_id": call.tool_call_id, "tool_return": result, "status": status}


agent = client.agents.create(name="librarian", model=model, memory_blocks=[])
try:
    messages = [{"role": "user", "content": "When does the aquarium open? Look into my files."}]
    while True:
        reply = client.agents.messages.create(agent.id, messages=messages, client_tools=CLIENT_TOOLS)
        if reply.stop_reason.stop_reason != "requires_approval":
            break
        # The turn waits for us. Answer all its calls in one message of the type `approval`.
        calls = [
            call
            for message in reply.messages
            if message.message_type == "approval_request_message"
            for call in message.tool_calls
        ]
        messages = [{"type": "approval", "approvals": [run(call) for call in calls]}]
    print("agent:", reply.messages[-1].content)
finally:
    client.agents.delete(agent.id)
    folder.cleanup()
