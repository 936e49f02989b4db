"""Two agents over one memory block: what one of them writes, the other reads at its next step."""

import os

from letta_client import Letta

client = Letta(
    base_url=os.environ.get("REVERIE_URL", "http://localhost:8283"), api_key=os.environ.get("REVERIE_API_KEY", "local")
)
model = os.environ.get("REVERIE_MODEL") or client.models.list()[0].handle

board = client.blocks.create(
    label="board",
    value="Nothing has happened yet.",
    description="What the whole team has to know. Whoever learns something writes it here.",
)
scout = client.agents.create(name="scout", model=model, block_ids=[board.id])
cook = client.agents.create(name="cook", model=model, block_ids=[board.id])
try:
    client.agents.messages.create(scout.id, input="There is fresh squid at the market. Tell the team.")
    print("board:", client.blocks.retrieve(board.id).value)

    reply = client.agents.messages.create(cook.id, input="What could you cook today?")
    print("cook:", reply.messages[-1].content)
finally:
    for agent in (scout, cook):
        client.agents.delete(agent.id)
    client.blocks.delete(board.id)
