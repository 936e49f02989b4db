import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ConflictError, NotFoundError, UnprocessableEntityError } from "@letta-ai/letta-client";

import { collect, connect, forget, kinds, newAgent, requests, script } from "./setup.js";

const client = connect();
beforeEach(forget);

test("an agent is made with blocks, found, changed and deleted", async () => {
  const agent = await newAgent(client, { name: "Ada's friend", tags: ["ts"], timezone: "Europe/Berlin" });
  assert.match(agent.id, /^agent-/);
  assert.deepEqual(agent.blocks.map((block) => block.label).sort(), ["human", "persona"]);
  const bare = await client.agents.retrieve(agent.id);
  assert.deepEqual(bare.blocks, []);
  const whole = await client.agents.retrieve(agent.id, { include: ["agent.blocks", "agent.tags"] });
  assert.equal(whole.blocks.length, 2);
  assert.deepEqual(whole.tags, ["ts"]);
  const changed = await client.agents.update(agent.id, { description: "changed" });
  assert.equal(changed.description, "changed");
  const listed = await collect(client.agents.list({ tags: ["ts"], limit: 1 }));
  assert.ok(listed.some((item) => item.id === agent.id));
  await client.agents.delete(agent.id);
  await assert.rejects(client.agents.retrieve(agent.id), (error: unknown) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.status, 404);
    assert.match(String((error.error as { detail: string }).detail), new RegExp(agent.id));
    return true;
  });
});

test("a message is answered, with stop reason and usage", async () => {
  const agent = await newAgent(client);
  await script({ parts: [{ think: "hm" }, { say: "Hello, Ada." }] });
  const reply = await client.agents.messages.create(agent.id, {
    messages: [{ role: "user", content: "I am Ada" }],
  });
  assert.deepEqual(kinds(reply.messages), ["reasoning_message", "assistant_message"]);
  const [, spoken] = reply.messages;
  assert.ok(spoken?.message_type === "assistant_message");
  assert.equal(spoken.content, "Hello, Ada.");
  assert.equal(reply.stop_reason.stop_reason, "end_turn");
  assert.equal(reply.usage.step_count, 1);
});

test("the agent edits its memory and the very next prompt has it", async () => {
  const agent = await newAgent(client);
  await script(
    { call: "memory_replace", args: { label: "human", old_string: "unknown", new_string: "Ada" } },
    { say: "Noted." },
  );
  const reply = await client.agents.messages.create(agent.id, { input: "I am Ada" });
  assert.deepEqual(kinds(reply.messages), ["tool_call_message", "tool_return_message", "assistant_message"]);
  const block = await client.agents.blocks.retrieve("human", { agent_id: agent.id });
  assert.equal(block.value, "Name: Ada");
  assert.match((await requests())[1]!.system, /Name: Ada/);
});

test("a shared block is one block", async () => {
  const block = await client.blocks.create({ label: "plan", value: "none" });
  const [writer, reader] = await Promise.all([
    newAgent(client, { memory_blocks: [], block_ids: [block.id] }),
    newAgent(client, { memory_blocks: [] }),
  ]);
  await client.agents.blocks.attach(block.id, { agent_id: reader.id });
  await script(
    { call: "memory_replace", args: { label: "plan", old_string: "none", new_string: "go north" } },
    { say: "ok" },
    { say: "north" },
  );
  await client.agents.messages.create(writer.id, { input: "plan" });
  await client.agents.messages.create(reader.id, { input: "where to?" });
  assert.match((await requests()).at(-1)!.system, /go north/);
  await client.agents.blocks.detach(block.id, { agent_id: reader.id });
  assert.deepEqual(await collect(client.agents.blocks.list(reader.id)), []);
});

test("a tool is made from source and called", async () => {
  const source = 'def ts_add(a: int, b: int) -> int:\n    """Add two numbers."""\n    return a + b\n';
  const tool = await client.tools.upsert({ source_code: source, tags: ["ts"] });
  assert.equal(tool.name, "ts_add");
  const agent = await newAgent(client, { tool_ids: [tool.id] });
  await script({ call: "ts_add", args: { a: 2, b: 3 } }, { say: "5" });
  const reply = await client.agents.messages.create(agent.id, { input: "2+3?" });
  const result = reply.messages[1];
  assert.ok(result?.message_type === "tool_return_message");
  assert.equal(result.tool_return, "5");
  assert.equal(result.status, "success");
  const run = await client.agents.tools.run("ts_add", { agent_id: agent.id, args: { a: 1, b: 1 } });
  assert.equal(run.func_return, 2);
});

test("an approval is asked for, and given", async () => {
  const source = 'def ts_gated() -> str:\n    """Do it."""\n    return "did it"\n';
  const tool = await client.tools.upsert({ source_code: source, default_requires_approval: true });
  const agent = await newAgent(client, { tool_ids: [tool.id] });
  await script({ call: "ts_gated", args: {}, id: "c1" }, { say: "done" });
  const asked = await client.agents.messages.create(agent.id, { input: "go" });
  assert.equal(asked.stop_reason.stop_reason, "requires_approval");
  await assert.rejects(client.agents.messages.create(agent.id, { input: "hello?" }), ConflictError);
  const done = await client.agents.messages.create(agent.id, {
    messages: [{ type: "approval", approvals: [{ type: "approval", tool_call_id: "c1", approve: true }] }],
  });
  assert.deepEqual(kinds(done.messages), ["tool_return_message", "assistant_message"]);
});

test("errors are typed", async () => {
  await assert.rejects(client.agents.retrieve("nonsense"), UnprocessableEntityError);
  const agent = await newAgent(client);
  await assert.rejects(client.agents.messages.create(agent.id, { messages: [] }), UnprocessableEntityError);
});
