"""Archival memory: more than fits into the context, searched by words and by meaning.

Run it: `python 08_archival_memory.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

NOTES = {
    "Octopuses taste what they touch with the suckers of their arms.": ["biology"],
    "The night train from Lisbon to Madrid no longer runs.": ["travel"],
    "Sourdough needs to rest overnight before it is baked.": ["cooking"],
}

agent = client.agents.create(
    name="archivist",
    model=model,
    memory_blocks=[{"label": "persona", "value": "I look into my archive before I answer."}],
    include_base_tools=True,  # among them archival_memory_search and archival_memory_insert
)
try:
    for text, tags in NOTES.items():
        passages = client.agents.passages.create(agent.id, text=text, tags=tags)  # a list: long texts are split
    print("in the archive:", len(client.agents.passages.list(agent.id)))

    # No word of the question is in the text that answers it.
    found = client.agents.passages.search(agent.id, query="how do sea animals sense food?", top_k=1)
    print("by meaning:", found.results[0].content)
    found = client.agents.passages.search(agent.id, query="overnight", tags=["cooking"])
    print("with a tag:", found.results[0].content)

    # The agent searches by itself.
    reply = client.agents.messages.create(agent.id, input="Can I take a night train from Lisbon?")
    for message in reply.messages:
        if message.message_type == "tool_call_message":
            print("calls:", message.tool_call.name, message.tool_call.arguments)
        elif message.message_type == "assistant_message":
            print("agent:", message.content)

    client.agents.passages.delete(passages[0].id, agent_id=agent.id)
    print("after a deletion:", len(client.agents.passages.list(agent.id)))
finally:
    for block in list(client.agents.blocks.list(agent.id)):
        client.blocks.delete(block.id)  # blocks outlive their agents
    client.agents.delete(agent.id)  # its archive goes with it
