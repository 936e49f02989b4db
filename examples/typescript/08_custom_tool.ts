// A tool with a secret, written in TypeScript: the server runs the function in a sandbox.
// Run it: npx tsx 08_custom_tool.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

// Everything a tool needs is inside the function: only this text goes to the server.
const source_code = `
export async function sign(text: string): Promise<string> {
  const key = process.env.SIGNING_KEY;
  if (!key) return "There is no SIGNING_KEY: ask the person who runs this agent for it.";
  const { createHmac } = await import("node:crypto");
  return createHmac("sha256", key).update(text).digest("hex");
}
`;

const tool = await client.tools.upsert({
  source_code,
  source_type: "typescript",
  // What the model reads. (Of a Python function the server reads it off the signature and the docstring.)
  json_schema: {
    name: "sign",
    description: "Sign a text with the company's key, so that others can check where it comes from.",
    parameters: {
      type: "object",
      properties: { text: { type: "string", description: "exactly what is to be signed" } },
      required: ["text"],
    },
  },
});
const agent = await client.agents.create({
  name: "notary",
  model,
  memory_blocks: [],
  secrets: { SIGNING_KEY: "octopus" }, // each agent has its own; stored encrypted, and never shown to the model
});
try {
  await client.agents.tools.attach(tool.id, { agent_id: agent.id }); // the tool comes first

  // Try it by hand first; no model is involved.
  const tried = await client.agents.tools.run("sign", { agent_id: agent.id, args: { text: "one heart" } });
  console.log("by hand:", tried.status, tried.func_return);

  const reply = await client.agents.messages.create(agent.id, { input: "Sign the words 'three hearts' for me." });
  for (const message of reply.messages) {
    if (message.message_type === "tool_call_message") console.log("calls:", message.tool_call.name);
    else if (message.message_type === "tool_return_message") console.log("signature:", message.tool_return);
    else if (message.message_type === "assistant_message") console.log("agent:", message.content);
  }
} finally {
  await client.agents.delete(agent.id);
  await client.tools.delete(tool.id);
}
