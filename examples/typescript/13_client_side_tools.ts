// Tools that run here, not on the server: the agent asks, this program acts and sends the result back.
// Run it: npx tsx 13_client_side_tools.ts

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const folder = await mkdtemp(join(tmpdir(), "example-"));
await writeFile(join(folder, "notes.txt"), "The aquarium opens at ten.\n");

// What the agent may ask for: this folder, and nothing else.
const functions: Record<string, (args: Record<string, string>) => Promise<string>> = {
  list_files: async () => (await readdir(folder)).join("\n"),
  read_file: async ({ name = "" }) => readFile(join(folder, basename(name)), "utf8"),
};
// Described as JSON schema, sent with each request, and stored nowhere.
const client_tools = [
  {
    name: "list_files",
    description: "List the files in the user's folder.",
    parameters: { type: "object", properties: {} },
  },
  {
    name: "read_file",
    description: "Read one file of the user's folder.",
    parameters: {
      type: "object",
      properties: { name: { type: "string", description: "name of the file" } },
      required: ["name"],
    },
  },
];

/** Run one call; what goes wrong is told to the agent. */
async function run(call: { name: string; arguments: string; tool_call_id: string }): Promise<Letta.Agents.ToolReturn> {
  let [result, status] = ["", "success" as "success" | "error"];
  try {
    const act = functions[call.name];
    if (!act) throw new Error("there is no such tool");
    result = await act(JSON.parse(call.arguments || "{}"));
  } catch (error) {
    [result, status] = [String(error), "error"];
  }
  console.log(`ran here: ${call.name}(${call.arguments}) -> ${status}`);
  return { type: "tool", tool_call_id: call.tool_call_id, tool_return: result, status };
}

const agent = await client.agents.create({ name: "librarian", model, memory_blocks: [] });
try {
  let messages: Letta.Agents.MessageCreateParams["messages"] = [
    { role: "user", content: "When does the aquarium open? Look into my files." },
  ];
  for (;;) {
    const reply = await client.agents.messages.create(agent.id, { messages, client_tools });
    if (reply.stop_reason.stop_reason !== "requires_approval") {
      for (const message of reply.messages) {
        if (message.message_type === "assistant_message") console.log("agent:", message.content);
      }
      break;
    }
    // The turn waits for us. Answer all its calls in one message of the type `approval`.
    const approvals: Letta.Agents.ToolReturn[] = [];
    for (const message of reply.messages) {
      if (message.message_type !== "approval_request_message") continue;
      for (const call of message.tool_calls as Letta.Agents.ToolCall[]) approvals.push(await run(call));
    }
    messages = [{ type: "approval", approvals }];
  }
} finally {
  await client.agents.delete(agent.id);
  await rm(folder, { recursive: true });
}
