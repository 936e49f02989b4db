// Archival memory: more than fits into the context, searched by words and by meaning.
// Run it: npx tsx 09_archival_memory.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const notes: [string, string][] = [
  ["Octopuses taste what they touch with the suckers of their arms.", "biology"],
  ["The night train from Lisbon to Madrid no longer runs.", "travel"],
  ["Sourdough needs to rest overnight before it is baked.", "cooking"],
];

const agent = await client.agents.create({
  name: "archivist",
  model,
  memory_blocks: [{ label: "persona", value: "I look into my archive before I answer." }],
  include_base_tools: true, // among them archival_memory_search and archival_memory_insert
});
try {
  let last = "";
  for (const [text, tag] of notes) {
    const passages = await client.agents.passages.create(agent.id, { text, tags: [tag] });
    last = passages[0]?.id ?? ""; // a list: long texts are split
  }
  console.log("in the archive:", (await client.agents.passages.list(agent.id)).length);

  // No word of the question is in the text that answers it.
  const question = "how do sea animals sense food?";
  const byMeaning = await client.agents.passages.search(agent.id, { query: question, top_k: 1 });
  console.log("by meaning:", byMeaning.results[0]?.content);
  const byTag = await client.agents.passages.search(agent.id, { query: "overnight", tags: ["cooking"] });
  console.log("with a tag:", byTag.results[0]?.content);

  // The agent searches by itself.
  const reply = await client.agents.messages.create(agent.id, { input: "Can I take a night train from Lisbon?" });
  for (const message of reply.messages) {
    if (message.message_type === "tool_call_message") {
      console.log("calls:", message.tool_call.name, message.tool_call.arguments);
    } else if (message.message_type === "assistant_message") {
      console.log("agent:", message.content);
    }
  }

  await client.agents.passages.delete(last, { agent_id: agent.id });
  console.log("after a deletion:", (await client.agents.passages.list(agent.id)).length);
} finally {
  // Blocks outlive their agents.
  const { items } = await client.agents.blocks.list(agent.id);
  for (const block of items) await client.blocks.delete(block.id);
  await client.agents.delete(agent.id); // its archive goes with it
}
