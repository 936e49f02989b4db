"""Two agents over one memory block: what one of them writes, the other reads at its next step.

Run it: `python 09_shared_blocks.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

board = client.blocks.create(
    label="board",
    value="News of the team:",
    # Many agents may write at once. Adding a line with memory_insert never overwrites what another one wrote.
    description="What the whole team has to know. Whoever learns something adds a line with memory_insert.",
)
rules = client.blocks.create(label="rules", value="We cook what is fresh.", read_only=True)  # for agents, not for you
scout = client.agents.create(name="scout", model=model, block_ids=[board.id, rules.id])
cook = client.agents.create(name="cook", model=model, block_ids=[board.id])
try:
    client.agents.blocks.attach(rules.id, agent_id=cook.id)  # later is fine too
    print("on the board are:", ", ".join(sorted(agent.name for agent in client.blocks.agents.list(board.id))))

    client.agents.messages.create(scout.id, input="There is fresh squid at the market. Tell the team.")
    print(client.blocks.retrieve(board.id).value)

    reply = client.agents.messages.create(cook.id, input="What could you cook today?")
    print("cook:", reply.messages[-1].content)

    # A change of yours reaches everyone at their next step.
    client.blocks.update(rules.id, value="We cook what is fresh, and never octopus.")
    client.agents.blocks.detach(board.id, agent_id=scout.id)
    print("the scout keeps:", ", ".join(block.label for block in client.agents.blocks.list(scout.id)))
finally:
    for agent in (scout, cook):
        client.agents.delete(agent.id)
    for block in (board, rules):  # blocks of their own outlive agents
        client.blocks.delete(block.id)
