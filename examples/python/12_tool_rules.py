"""Rules for tools: which comes first, what may follow, and what ends the turn.

Run it: `python 12_tool_rules.py`
"""

import os

from letta_client import Letta

client = Letta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
)
model = os.getenv("REVERIE_MODEL") or client.models.list()[0].handle

SOURCES = [
    '''
def read_order(number: int) -> str:
    """Read an order.

    Args:
        number: the order's number
    """
    return f"order {number}: two octopus plushies, not yet paid"
''',
    '''
def check_stock(item: str) -> str:
    """Look whether an item is in stock.

    Args:
        item: what is looked for
    """
    return f"{item}: 8 in stock"
''',
    '''
def confirm(number: int) -> str:
    """Confirm an order to the customer.

    Args:
        number: the order's number
    """
    return f"order {number} is confirmed"
''',
]

tools = [client.tools.upsert(source_code=source) for source in SOURCES]
agent = client.agents.create(
    name="shopkeeper",
    model=model,
    memory_blocks=[],
    tool_ids=[tool.id for tool in tools],
    include_base_tools=False,
    tool_rules=[
        {"type": "run_first", "tool_name": "read_order"},
        {"type": "constrain_child_tools", "tool_name": "read_order", "children": ["check_stock"]},
        {"type": "constrain_child_tools", "tool_name": "check_stock", "children": ["check_stock", "confirm"]},
        {"type": "exit_loop", "tool_name": "confirm"},
    ],
)
try:
    reply = client.agents.messages.create(agent.id, input="Please confirm order 7.")
    for message in reply.messages:
        if message.message_type == "tool_return_message":
            print(f"{message.name}: {message.tool_return}")
    print("ended:", reply.stop_reason.stop_reason)  # tool_rule: `confirm` ended the turn, no further text was asked for
finally:
    client.agents.delete(agent.id)
    for tool in tools:
        client.tools.delete(tool.id)
