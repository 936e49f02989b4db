// MCP servers: the protocol's reference server, listed, run and used by an agent.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { connect, newAgent, script } from "./setup.js";

const client = connect();
const everything = "./node_modules/@modelcontextprotocol/server-everything/dist/index.js";
const program = fileURLToPath(new URL(everything, import.meta.url));

test("a server's tools are listed, refreshed, run and called by an agent", async () => {
  const server = await client.mcpServers.create({
    server_name: "everything",
    config: { mcp_server_type: "stdio", command: process.execPath, args: [program, "stdio"] },
  });
  assert.ok(server.id);
  const tools = await client.mcpServers.tools.list(server.id);
  const echo = tools.find((tool) => tool.name === "echo");
  assert.ok(echo);
  assert.equal(echo.tool_type, "external_mcp");
  const ran = await client.mcpServers.tools.run(echo.id, { mcp_server_id: server.id, args: { message: "hi" } });
  assert.equal(ran.status, "success");
  assert.deepEqual(await client.mcpServers.refresh(server.id), { added: [], updated: [], deleted: [], refused: {} });
  const agent = await newAgent(client, { tool_ids: [echo.id] });
  await script({ call: "echo", args: { message: "hello" } }, { say: "done" });
  const answer = await client.agents.messages.create(agent.id, { input: "echo" });
  const result = answer.messages.find((message) => message.message_type === "tool_return_message");
  assert.match(JSON.stringify(result), /hello/);
  await client.mcpServers.delete(server.id);
  assert.deepEqual(await client.mcpServers.list(), []);
});
