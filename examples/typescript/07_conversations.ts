// Several talks with one agent at the same time: each has a history of its own, the memory is one.
// Run it: npx tsx 07_conversations.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const agent = await client.agents.create({
  name: "planner",
  model,
  memory_blocks: [{ label: "human", value: "Ada lives in Lisbon." }],
});

async function ask(conversationId: string, question: string): Promise<string> {
  // Conversations answer with a stream unless told otherwise.
  const stream = await client.conversations.messages.create(conversationId, {
    messages: [{ role: "user", content: question }],
  });
  let text = "";
  for await (const event of stream) {
    if (event.message_type === "assistant_message") text += event.content;
  }
  return text;
}

try {
  const work = await client.conversations.create({ agent_id: agent.id, summary: "work" });
  const holiday = await client.conversations.create({ agent_id: agent.id, summary: "holiday" });

  // Both at once. (Two messages to one conversation would be answered one after the other.)
  const [atWork, atSea] = await Promise.all([
    ask(work.id, "Plan my working day."),
    ask(holiday.id, "Plan my day at the sea."),
  ]);
  console.log("work:", atWork);
  console.log("holiday:", atSea);

  // Each remembers what was said in it, and nothing of the other.
  console.log("work again:", await ask(work.id, "Which day did I ask about?"));
} finally {
  // Blocks outlive their agents.
  const { items } = await client.agents.blocks.list(agent.id);
  for (const block of items) await client.blocks.delete(block.id);
  await client.agents.delete(agent.id); // its conversations go with it
}
