// Many users: an agent for each of them, or one agent with a conversation for each.
// Run it: npx tsx 06_multi_user.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;
const APP = "example-06";

/** The user's own agent; made when they come for the first time. */
async function agentOf(user: string): Promise<Letta.AgentState> {
  const known = await client.agents.list({ tags: [APP, `user:${user}`], match_all_tags: true, limit: 1 });
  for (const agent of known.items) return agent;
  return client.agents.create({
    name: `assistant-of-${user}`,
    model,
    tags: [APP, `user:${user}`],
    memory_blocks: [
      { label: "persona", value: "I look after one person." },
      { label: "human", value: `Name: ${user}` },
    ],
  });
}

try {
  // 1. An agent for each user: memories never meet.
  for (const user of ["ada", "grace"]) {
    const reply = await client.agents.messages.create((await agentOf(user)).id, { input: "What is my name?" });
    for (const message of reply.messages) {
      if (message.message_type === "assistant_message") console.log(`to ${user}:`, message.content);
    }
  }
  console.log("ada's agent is found again:", (await agentOf("ada")).id === (await agentOf("ada")).id ? "yes" : "no");

  // 2. One agent for all, such as a help desk: memory is shared, each user has a thread of their own.
  const desk = await client.agents.create({
    name: "help-desk",
    model,
    tags: [APP],
    memory_blocks: [{ label: "handbook", value: "We open at ten.", read_only: true }],
  });
  for (const user of ["ada", "grace"]) {
    const thread = await client.conversations.create({ agent_id: desk.id, summary: user });
    const stream = await client.conversations.messages.create(thread.id, {
      messages: [{ role: "user", content: `I'm ${user}. When do you open?` }],
    });
    for await (const event of stream) {
      if (event.message_type === "assistant_message") console.log(`desk to ${user}:`, event.content);
    }
  }
} finally {
  // When a user leaves, everything with their tag goes.
  const all: string[] = [];
  for await (const agent of client.agents.list({ tags: [APP] })) all.push(agent.id);
  for (const id of all) {
    const { items } = await client.agents.blocks.list(id);
    for (const block of items) await client.blocks.delete(block.id);
    await client.agents.delete(id);
  }
  console.log("deleted agents:", all.length);
}
