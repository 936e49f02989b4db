"""A client for your server: where it connects, what it finds there, and what it says when something is wrong.

Run it: `python 01_basic_client.py`
"""

import os

import letta_client
from letta_client import Letta

# One client for a whole program: it keeps connections open, and may be used from many threads.
client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),  # any text will do where the server asks for no key
    timeout=60,  # seconds; answers of a model can take a while
    max_retries=2,  # after failed connections, 429 and 5xx
)

health = client.health()
print(f"server: {health.status}, version {health.version}")

models = client.models.list()
print(f"models: {len(models)}, such as {models[0].handle}")

# Lists come in pages. A loop goes through all of them; `.items` is the first page alone.
agents = client.agents.list(limit=10)
print("agents:", ", ".join(agent.name for agent in agents) or "none yet")

# Every error is an exception whose class tells the status.
try:
    client.agents.retrieve("agent-00000000-0000-4000-8000-000000000000")
except letta_client.NotFoundError as error:
    print(f"error {error.status_code}: {error.body['detail']}")
except letta_client.APIConnectionError:
    print("nothing answers at", client.base_url)
