// What happened, and what there is: runs, steps, messages, models, tags.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { beforeEach, test } from "node:test";

import { collect, connect, forget, kinds, newAgent, script } from "./setup.js";

const client = connect();
beforeEach(forget);

test("a run and its steps tell what happened", async () => {
  const agent = await newAgent(client);
  await script({ say: "Hello." });
  const reply = await client.agents.messages.create(agent.id, { input: "Hi" });
  const runId = reply.usage.run_ids?.[0];
  assert.ok(runId);
  assert.equal((await client.runs.retrieve(runId)).status, "completed");
  assert.ok((await collect(client.runs.list({ agent_id: agent.id }))).some((run) => run.id === runId));
  assert.ok(kinds(await collect(client.runs.messages.list(runId))).includes("assistant_message"));
  assert.ok(((await client.runs.usage.retrieve(runId)).total_tokens ?? 0) > 0);
  assert.ok(Array.isArray(await client.runs.trace.retrieve(runId)));
  const [step] = await collect(client.runs.steps.list(runId));
  assert.ok(step);
  assert.equal((await client.steps.retrieve(step.id)).run_id, runId);
  assert.equal((await client.steps.feedback.create(step.id, { feedback: "positive" })).feedback, "positive");
  assert.deepEqual(kinds(await collect(client.steps.messages.list(step.id))), ["assistant_message"]);
  assert.equal((await client.steps.metrics.retrieve(step.id)).run_id, runId);
  await client.steps.trace.retrieve(step.id);
});

test("messages of all agents are listed and searched", async () => {
  const agent = await newAgent(client);
  const word = randomUUID();
  await script({ say: "Noted." });
  await client.agents.messages.create(agent.id, { input: `The password is ${word}` });
  const hits = await client.messages.search({ query: word, agent_id: agent.id, search_mode: "fts" });
  assert.equal(hits.length, 1);
  assert.ok((await client.messages.list({ limit: 10 })).length > 0);
});

test("models and embedding models are listed", async () => {
  assert.ok((await client.models.list()).every((item) => item.handle?.includes("/")));
  assert.ok((await client.models.embeddings.list()).length > 0);
});

test("tags are listed, and the server says how it is", async () => {
  const tag = randomUUID();
  await newAgent(client, { tags: [tag] });
  assert.deepEqual(await client.tags.list({ query_text: tag }), [tag]);
  assert.equal((await client.health()).status, "ok");
});
