import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { collect, connect, forget, newAgent, requests, script } from "./setup.js";

const client = connect();
beforeEach(forget);

test("a conversation is forked at a message, compacted and listed", async () => {
  const agent = await newAgent(client);
  const conversation = await client.conversations.create({ agent_id: agent.id });
  for (const input of ["one", "two"]) {
    for await (const _ of await client.conversations.messages.create(conversation.id, { input, streaming: true })) {
      // Read to the end.
    }
  }
  const said = await collect(client.conversations.messages.list(conversation.id, { order: "asc" }));
  const fork = await client.conversations.fork(conversation.id, { message_id: said[2]!.id, hidden: true });
  assert.equal(fork.in_context_message_ids?.length, 3);
  const listed = await client.conversations.list({ agent_id: agent.id });
  assert.deepEqual(listed.map((item) => item.id), [conversation.id]);
  await script({ say: "They counted." });
  const done = await client.conversations.messages.compact(conversation.id, { compaction_settings: { mode: "all" } });
  assert.match(done.summary, /They counted/);
  assert.equal(done.num_messages_after, 2);
});

test("a context that would overflow is compacted, and who asks is told", async () => {
  const agent = await newAgent(client, { context_window_limit: 4096 });
  const seen: string[] = [];
  for (let number = 0; number < 6; number++) {
    const input = `fact ${number}: ${"the quick brown fox ".repeat(150)}`;
    const answer = await client.agents.messages.create(agent.id, { input, include_compaction_messages: true });
    assert.equal(answer.stop_reason.stop_reason, "end_turn");
    seen.push(...answer.messages.map((item) => item.message_type ?? ""));
  }
  assert.ok(seen.indexOf("event_message") >= 0 && seen.indexOf("event_message") < seen.indexOf("summary_message"));
  const kept = await collect(
    client.agents.messages.list(agent.id, { include_return_message_types: ["user_message"] }),
  );
  assert.equal(kept.length, 6);
});

test("runs, steps and archives are found by their filters", async () => {
  const agent = await newAgent(client);
  const archive = await client.archives.create({ name: `of ${agent.id}` });
  await client.agents.archives.attach(archive.id, { agent_id: agent.id });
  assert.deepEqual((await collect(client.archives.list({ agent_id: agent.id }))).map((item) => item.id), [archive.id]);
  await client.agents.messages.create(agent.id, { input: "hi" });
  assert.equal((await requests()).length, 1);
  const [run] = await collect(client.runs.list({ agent_id: agent.id, statuses: ["completed"] }));
  assert.ok(run);
  const [step] = await collect(client.steps.list({ agent_id: agent.id, has_feedback: false }));
  assert.equal(step?.run_id, run.id);
  await client.steps.feedback.create(step.id, { feedback: "positive", tags: ["kind"] });
  const judged = await collect(client.steps.list({ agent_id: agent.id, tags: ["kind"] }));
  assert.deepEqual(judged.map((item) => item.id), [step.id]);
});
