// Rules for tools: which comes first, what may follow, and what ends the turn.
// Run it: npx tsx 12_tool_rules.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

// Tools may be written in Python whatever language your program is in.
const sources = [
  `
def read_order(number: int) -> str:
    """Read an order.

    Args:
        number: the order's number
    """
    return f"order {number}: two octopus plushies, not yet paid"
`,
  `
def check_stock(item: str) -> str:
    """Look whether an item is in stock.

    Args:
        item: what is looked for
    """
    return f"{item}: 8 in stock"
`,
  `
def confirm(number: int) -> str:
    """Confirm an order to the customer.

    Args:
        number: the order's number
    """
    return f"order {number} is confirmed"
`,
];

const tools: Letta.Tool[] = [];
for (const source_code of sources) tools.push(await client.tools.upsert({ source_code }));
const agent = await client.agents.create({
  name: "shopkeeper",
  model,
  memory_blocks: [],
  tool_ids: tools.map((tool) => tool.id),
  include_base_tools: false,
  tool_rules: [
    { type: "run_first", tool_name: "read_order" },
    { type: "constrain_child_tools", tool_name: "read_order", children: ["check_stock"] },
    { type: "constrain_child_tools", tool_name: "check_stock", children: ["check_stock", "confirm"] },
    { type: "exit_loop", tool_name: "confirm" },
  ],
});
try {
  const reply = await client.agents.messages.create(agent.id, { input: "Please confirm order 7." });
  for (const message of reply.messages) {
    if (message.message_type === "tool_return_message") console.log(`${message.name}: ${message.tool_return}`);
  }
  console.log("ended:", reply.stop_reason.stop_reason); // tool_rule: `confirm` ended the turn
} finally {
  await client.agents.delete(agent.id);
  for (const tool of tools) await client.tools.delete(tool.id);
}
