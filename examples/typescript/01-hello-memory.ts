// An agent that writes down what it learns, and shows what it wrote.

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const agent = await client.agents.create({
  name: "hello-memory",
  model,
  memory_blocks: [
    { label: "persona", value: "I am brief and kind. I write down what matters about the user." },
    { label: "human", value: "Nothing is known about the user yet." },
  ],
});
try {
  const reply = await client.agents.messages.create(agent.id, {
    input: "My name is Ada and I study octopuses. Please remember that.",
  });
  for (const message of reply.messages) {
    if (message.message_type === "assistant_message") console.log("agent:", message.content);
  }
  const block = await client.agents.blocks.retrieve("human", { agent_id: agent.id });
  console.log("human block:", block.value);
} finally {
  await client.agents.delete(agent.id);
}
