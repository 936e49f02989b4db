import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { APIError } from "@letta-ai/letta-client";

import { collect, connect, forget, kinds, newAgent, requests, restart, script } from "./setup.js";

let client = connect();
beforeEach(forget);

interface Piece {
  message_type?: string;
  id?: string;
  content?: unknown;
  run_id?: string | null;
  seq_id?: number | null;
}

test("steps stream as whole messages", async () => {
  const agent = await newAgent(client);
  await script({ call: "memory_insert", args: { label: "human", new_string: "likes tea" } }, { say: "Noted." });
  const stream = await client.agents.messages.create(agent.id, { input: "I like tea", streaming: true });
  assert.deepEqual(kinds(await collect<Piece>(stream)), [
    "tool_call_message",
    "tool_return_message",
    "assistant_message",
    "stop_reason",
    "usage_statistics",
  ]);
});

test("tokens stream as pieces of the stored message", async () => {
  const agent = await newAgent(client);
  await script({ say: "one two three four" });
  const stream = await client.agents.messages.create(agent.id, {
    input: "count",
    streaming: true,
    stream_tokens: true,
  });
  const pieces = (await collect<Piece>(stream)).filter((piece) => piece.message_type === "assistant_message");
  assert.ok(pieces.length > 1);
  assert.equal(pieces.map((piece) => piece.content).join(""), "one two three four");
  const stored = await collect(client.agents.messages.list(agent.id, { limit: 1 }));
  assert.deepEqual([...new Set(pieces.map((piece) => piece.id))], [stored[0]!.id]);
});

test("a background stream resumes exactly", async () => {
  const agent = await newAgent(client);
  await script({ say: "one two three" });
  const stream = await client.agents.messages.create(agent.id, {
    input: "count",
    streaming: true,
    stream_tokens: true,
    background: true,
  });
  const events = await collect<Piece>(stream);
  assert.deepEqual(events.map((event) => event.seq_id), events.map((_, index) => index + 1));
  const again = await client.runs.messages.stream(events[0]!.run_id!, { starting_after: 2 });
  assert.deepEqual(
    (await collect<Piece>(again as AsyncIterable<Piece>)).map((event) => event.seq_id),
    events.slice(2).map((event) => event.seq_id),
  );
});

test("a conversation streams, apart from the main thread", async () => {
  const agent = await newAgent(client);
  const conversation = await client.conversations.create({ agent_id: agent.id });
  assert.match(conversation.id, /^conv-/);
  await script({ say: "elsewhere" }, { say: "here" });
  const stream = await client.conversations.messages.create(conversation.id, { input: "hi" });
  assert.deepEqual(kinds(await collect<Piece>(stream as AsyncIterable<Piece>)), [
    "assistant_message",
    "stop_reason",
    "usage_statistics",
  ]);
  await client.agents.messages.create(agent.id, { input: "main" });
  assert.deepEqual((await requests())[1]!.shape, ["system", "user"]);
});

test("a provider's failure inside a stream is an API error", async () => {
  const agent = await newAgent(client);
  await script({ parts: [{ say: "one " }, { say: "two" }], cut_after: 1 });
  const seen: (string | undefined)[] = [];
  const stream = await client.agents.messages.create(agent.id, {
    input: "go",
    streaming: true,
    stream_tokens: true,
  });
  await assert.rejects(
    async () => {
      for await (const event of stream) seen.push(event.message_type);
    },
    (error: unknown) => {
      assert.ok(error instanceof APIError);
      assert.match(JSON.stringify(error.error), /stream_incomplete/);
      return true;
    },
  );
  assert.deepEqual(seen, ["assistant_message", "stop_reason"]);
});

test("what the agent learned survives kill -9", async () => {
  const agent = await newAgent(client);
  await script(
    { call: "memory_replace", args: { label: "human", old_string: "unknown", new_string: "Ada" } },
    { say: "Noted." },
  );
  await client.agents.messages.create(agent.id, { input: "I am Ada" });
  await restart();
  client = connect();
  const block = await client.agents.blocks.retrieve("human", { agent_id: agent.id });
  assert.equal(block.value, "Name: Ada");
  await script({ say: "Ada!" });
  const reply = await client.agents.messages.create(agent.id, { input: "Who am I?" });
  assert.equal(reply.stop_reason.stop_reason, "end_turn");
  const last = (await requests()).at(-1)!;
  assert.match(last.system, /Name: Ada/);
  assert.deepEqual(
    last.shape.map((part) => part.split(":")[0]),
    ["system", "user", "assistant", "tool", "assistant", "user"],
  );
});
