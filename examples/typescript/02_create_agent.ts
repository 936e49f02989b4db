// An agent with memory blocks: texts that stand in its context, and that it rewrites by itself.
// Run it: npx tsx 02_create_agent.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const agent = await client.agents.create({
  name: "ada-s-assistant",
  model,
  description: "Helps one person and remembers what it is told.",
  tags: ["example"],
  memory_blocks: [
    { label: "persona", value: "I am brief and kind. I write down what matters about the user." },
    {
      label: "human",
      value: "Nothing is known about the user yet.",
      description: "What is known about the user: name, work, likes.", // the agent reads this too
      limit: 2000, // characters
    },
  ],
});
try {
  for await (const block of client.agents.blocks.list(agent.id)) console.log(`[${block.label}] ${block.value}`);

  // The agent decides to edit its memory: it has tools for that, on every agent.
  await client.agents.messages.create(agent.id, {
    input: "My name is Ada and I study octopuses. Please remember that.",
  });
  const human = await client.agents.blocks.retrieve("human", { agent_id: agent.id }); // the label comes first
  console.log("after a message:", human.value);

  // You can edit it as well. The next message sees the change.
  await client.agents.blocks.update("persona", { agent_id: agent.id, value: "I am a pirate, brief and kind." });

  // A conversation begins empty, and the memory is there all the same.
  const conversation = await client.conversations.create({ agent_id: agent.id });
  for await (const message of await client.conversations.messages.create(conversation.id, { input: "Who am I?" })) {
    if (message.message_type === "assistant_message") console.log("agent:", message.content);
  }
} finally {
  // Blocks outlive their agents.
  const { items } = await client.agents.blocks.list(agent.id);
  for (const block of items) await client.blocks.delete(block.id);
  await client.agents.delete(agent.id);
}
