// A memory tool of your own: inside a Python tool, `client` is ready and `LETTA_AGENT_ID` says who calls.
// Run it: npx tsx 11_client_injection.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

// Nobody imports or makes `client`: it is there, with a key that lives as long as this call.
const source_code = `
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
`;

const tool = await client.tools.upsert({ source_code });
const agent = await client.agents.create({
  name: "secretary",
  model,
  memory_blocks: [{ label: "tasks", value: "- feed the octopus" }],
  tool_ids: [tool.id],
  include_base_tools: false,
});
try {
  const reply = await client.agents.messages.create(agent.id, { input: "I have to call Grace. Put it on my list." });
  for (const message of reply.messages) {
    if (message.message_type === "tool_return_message") console.log(`${message.status}: ${message.tool_return}`);
  }
  console.log((await client.agents.blocks.retrieve("tasks", { agent_id: agent.id })).value);
} finally {
  // Blocks outlive their agents.
  const { items } = await client.agents.blocks.list(agent.id);
  for (const block of items) await client.blocks.delete(block.id);
  await client.agents.delete(agent.id);
  await client.tools.delete(tool.id);
}
