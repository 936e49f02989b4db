// Two agents over one memory block: what one of them writes, the other reads at its next step.
// Run it: npx tsx 10_shared_blocks.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const board = await client.blocks.create({
  label: "board",
  value: "News of the team:",
  // Many agents may write at once. Adding a line with memory_insert never overwrites what another one wrote.
  description: "What the whole team has to know. Whoever learns something adds a line with memory_insert.",
});
const scout = await client.agents.create({ name: "scout", model, block_ids: [board.id] });
const cook = await client.agents.create({ name: "cook", model, memory_blocks: [] });
try {
  await client.agents.blocks.attach(board.id, { agent_id: cook.id }); // the block comes first; later is fine too
  const readers: string[] = [];
  for await (const agent of client.blocks.agents.list(board.id)) readers.push(agent.name);
  console.log("on the board are:", readers.sort().join(", "));

  await client.agents.messages.create(scout.id, { input: "There is fresh squid at the market. Tell the team." });
  console.log((await client.blocks.retrieve(board.id)).value);

  const reply = await client.agents.messages.create(cook.id, { input: "What could you cook today?" });
  for (const message of reply.messages) {
    if (message.message_type === "assistant_message") console.log("cook:", message.content);
  }
} finally {
  await client.agents.delete(scout.id);
  await client.agents.delete(cook.id);
  await client.blocks.delete(board.id); // blocks of their own outlive agents
}
