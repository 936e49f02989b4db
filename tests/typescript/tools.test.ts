// Tools, rules, secrets, approvals and MCP servers, through the TypeScript SDK.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { UnprocessableEntityError } from "@letta-ai/letta-client";

import { collect, connect, forget, kinds, newAgent, requests, script } from "./setup.js";

const client = connect();
beforeEach(forget);
const everything = "./node_modules/@modelcontextprotocol/server-everything/dist/index.js";
const program = fileURLToPath(new URL(everything, import.meta.url));

const echo = (name: string): string => `def ${name}(text: str) -> str:\n    """Say it back."""\n    return "echo: " + text\n`;

test("a tool in TypeScript has secrets and a client", async () => {
  const source = `export async function ts_who(greeting: string) {
    const agents = await client.agents.list({ limit: 1 });
    return { words: greeting + " " + Deno.env.get("WHO"), some: agents.items.length };
  }`;
  const parameters = { type: "object", properties: { greeting: { type: "string" } }, required: ["greeting"] };
  const tool = await client.tools.upsert({
    source_code: source,
    source_type: "typescript",
    json_schema: { name: "ts_who", description: "Greet.", parameters },
  });
  const agent = await newAgent(client, { tool_ids: [tool.id], secrets: { WHO: "Ada" } });
  const run = await client.agents.tools.run("ts_who", { agent_id: agent.id, args: { greeting: "Hello" } });
  assert.deepEqual(run.func_return, { words: "Hello Ada", some: 1 });
});

test("rules lead from tool to tool, and contradictions are refused", async () => {
  const tools = await Promise.all(["ts_one", "ts_two"].map((name) => client.tools.upsert({ source_code: echo(name) })));
  const agent = await newAgent(client, {
    tool_ids: tools.map((tool) => tool.id),
    include_base_tools: false,
    tool_rules: [
      { type: "run_first", tool_name: "ts_one", args: { text: "fixed" } },
      { type: "constrain_child_tools", tool_name: "ts_one", children: ["ts_two"] },
      { type: "exit_loop", tool_name: "ts_two" },
    ],
  });
  await script({ call: "ts_one", args: { text: "free" } }, { call: "ts_two", args: { text: "b" } });
  const reply = await client.agents.messages.create(agent.id, { input: "go" });
  assert.equal(reply.stop_reason.stop_reason, "tool_rule");
  assert.deepEqual((await requests()).map((request) => request.tools), [["ts_one"], ["ts_two"]]);
  const both = [
    { type: "exit_loop" as const, tool_name: "ts_one" },
    { type: "continue_loop" as const, tool_name: "ts_one" },
  ];
  await assert.rejects(client.agents.update(agent.id, { tool_rules: both }), UnprocessableEntityError);
});

test("a client runs its own tools in a conversation, and denies what it does not like", async () => {
  const gated = await client.tools.upsert({ source_code: echo("ts_risky"), default_requires_approval: true });
  const agent = await newAgent(client, { tool_ids: [gated.id] });
  const talk = await client.conversations.create({ agent_id: agent.id });
  const parameters = { type: "object", properties: {} };
  const client_tools = [{ name: "where_am_i", description: "Ask the GPS.", parameters }];
  await script(
    { parts: [{ call: "where_am_i", args: {}, id: "c1" }, { call: "ts_risky", args: { text: "x" }, id: "c2" }] },
    { say: "In Bern." },
  );
  const messages = [{ role: "user" as const, content: "where?" }];
  const asked = await collect(
    await client.conversations.messages.create(talk.id, { messages, client_tools, background: true, streaming: true }),
  );
  assert.deepEqual(kinds(asked), ["approval_request_message", "stop_reason", "usage_statistics"]);
  const answered = await collect(
    await client.conversations.messages.create(talk.id, {
      messages: [
        {
          type: "approval",
          approvals: [
            { type: "tool", tool_call_id: "c1", tool_return: "Bern", status: "success", stdout: ["gps on"] },
            { type: "approval", tool_call_id: "c2", approve: false, reason: "too risky" },
          ],
        },
      ],
      client_tools,
      client_skills: [{ name: "maps", description: "Draws maps.", location: "/skills/maps" }],
      streaming: true,
    }),
  );
  assert.deepEqual(kinds(answered).slice(0, 2), ["tool_return_message", "assistant_message"]);
  const last = (await requests()).at(-1)!;
  assert.match(last.shape.join("\n"), /tool:Bern[^]*too risky/);
  assert.match(last.system, /Draws maps/);
  assert.ok(last.tools.includes("where_am_i"));
});

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
