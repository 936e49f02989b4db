// One message and all that comes back: thoughts, tool calls, their results, the answer, and what it cost.
// Run it: npx tsx 03_send_message.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const agent = await client.agents.create({
  name: "correspondent",
  model,
  memory_blocks: [{ label: "human", value: "Nothing is known about the user yet." }],
});
try {
  const response = await client.agents.messages.create(agent.id, {
    messages: [{ role: "user", content: "Hello, I'm Ada. What is the heaviest octopus?" }],
  });
  for (const message of response.messages) {
    switch (message.message_type) {
      case "reasoning_message":
        console.log("thinks:", message.reasoning);
        break;
      case "tool_call_message":
        console.log("calls:", message.tool_call.name);
        break;
      case "tool_return_message":
        console.log("gets back:", message.tool_return);
        break;
      case "assistant_message":
        // Content is text, or a list of parts.
        console.log("says:", typeof message.content === "string" ? message.content : JSON.stringify(message.content));
    }
  }
  const { usage, stop_reason } = response;
  console.log("ended:", stop_reason.stop_reason);
  const { prompt_tokens, completion_tokens, step_count } = usage;
  console.log(`cost: ${prompt_tokens} tokens read, ${completion_tokens} written, ${step_count} steps`);

  // The server keeps the history: send only what is new. `input` is short for one message of the user.
  await client.agents.messages.create(agent.id, { input: "And the smallest?" });
  const history = await client.agents.messages.list(agent.id, { limit: 4 });
  console.log("the history, newest first:");
  for (const message of history.items) {
    if (message.message_type === "user_message" || message.message_type === "assistant_message")
      console.log(`  ${message.message_type.replace("_message", "")}: ${message.content}`);
  }
} finally {
  // Blocks outlive their agents.
  const { items } = await client.agents.blocks.list(agent.id);
  for (const block of items) await client.blocks.delete(block.id);
  await client.agents.delete(agent.id);
}
