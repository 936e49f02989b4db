import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { collect, connect, forget, newAgent, script } from "./setup.js";

const client = connect();
beforeEach(forget);

test("a step tells what was sent to the provider, and a run where its time went", async () => {
  const agent = await newAgent(client);
  await script({ parts: [{ say: "Hello." }] });
  const reply = await client.agents.messages.create(agent.id, { messages: [{ role: "user", content: "hi" }] });
  const stepId = reply.messages.at(-1)?.step_id;
  assert.ok(stepId);
  const trace = await client.steps.trace.retrieve(stepId);
  assert.equal(trace?.request_json["model"], "gpt-4o-mini");
  assert.deepEqual(Object.keys(trace?.response_json ?? {}).sort(), ["choices", "model", "object", "usage"]);
  const [runId] = reply.usage.run_ids ?? [];
  assert.ok(runId);
  const names = (await client.runs.trace.retrieve(runId)).map((span) => span["SpanName"]);
  assert.deepEqual(names.sort(), ["agent_run", "agent_step", "model_request", "time_to_first_token"]);
});

test("a provider is added, listed and deleted, and its models are the organisation's", async () => {
  const name = `ts-${Date.now()}`;
  const made = await client.post<{ id: string; provider_category: string }>("/v1/providers/", {
    body: { name, provider_type: "openai", api_key: "test-key", base_url: `${process.env["PROVIDER_URL"]}/v1` },
  });
  assert.equal(made.provider_category, "byok");
  const models = await client.models.list({ provider_category: ["byok"], provider_name: name });
  assert.ok(models.length > 0);
  const first = models[0]?.handle ?? "";
  assert.ok(first.startsWith(`${name}/`));
  const agent = await newAgent(client, { model: first });
  await script({ parts: [{ say: "Mine." }] });
  const reply = await client.agents.messages.create(agent.id, { messages: [{ role: "user", content: "hi" }] });
  assert.equal(reply.stop_reason.stop_reason, "end_turn");
  await client.delete(`/v1/providers/${made.id}`);
  assert.deepEqual(await client.models.list({ provider_name: name }), []);
});

test("a batch is a job", async () => {
  const agent = await newAgent(client);
  const requests = [{ agent_id: agent.id, messages: [{ role: "user", content: "hi" }] }];
  const batch = await client.post<{ id: string }>("/v1/messages/batches", { body: { requests } });
  const jobs = await client.get<{ id: string; job_type: string }[]>("/v1/jobs/");
  assert.ok(jobs.some((job) => job.id === batch.id && job.job_type === "batch"));
  const runs = async () => collect(client.runs.list({ agent_id: agent.id }));
  let found = await runs();
  for (const end = Date.now() + 30_000; found[0]?.status !== "completed"; found = await runs()) {
    assert.ok(Date.now() < end, JSON.stringify(found));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(found.length, 1);
});
