// What existed in the makers' cloud only: schedules, access tokens for pages, environments.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import Letta, { APIError, InternalServerError, NotFoundError, PermissionDeniedError } from "@letta-ai/letta-client";

import { connect, forget, newAgent } from "./setup.js";

const client = connect();
beforeEach(forget);

test("a schedule is made, listed, retrieved and deleted", async () => {
  const agent = await newAgent(client);
  const made = await client.agents.schedule.create(agent.id, {
    messages: [{ role: "user", content: "What is new?" }],
    schedule: { type: "recurring", cron_expression: "CRON_TZ=Europe/Berlin 0 9 * * MON-FRI" },
  });
  assert.match(String(made.next_scheduled_at), /^20/);
  const listed = await client.agents.schedule.list(agent.id);
  assert.deepEqual(listed.scheduled_messages.map((item) => item.id), [made.id]);
  assert.equal(listed.has_next_page, false);
  const found = await client.agents.schedule.retrieve(made.id, { agent_id: agent.id });
  assert.equal(found.message.messages[0].content, "What is new?");
  assert.equal((await client.agents.schedule.delete(made.id, { agent_id: agent.id })).success, true);
  await assert.rejects(client.agents.schedule.retrieve(made.id, { agent_id: agent.id }), NotFoundError);
});

test("a page with an access token talks to its agent and reaches nothing else", async () => {
  const agent = await newAgent(client);
  const made = await client.accessTokens.create({
    hostname: "https://app.example",
    policy: [{ type: "agent", id: agent.id, access: ["read_messages", "write_messages"] }],
  });
  assert.match(made.token, /^ck-rev-/);
  const page = new Letta({
    baseURL: process.env.REVERIE_URL,
    apiKey: made.token,
    maxRetries: 0,
    defaultHeaders: { Origin: "https://app.example" },
  });
  const reply = await page.agents.messages.create(agent.id, { input: "hi" });
  assert.equal(reply.stop_reason.stop_reason, "end_turn");
  await assert.rejects(page.agents.retrieve(agent.id), PermissionDeniedError);
  await assert.rejects(page.agents.list(), PermissionDeniedError);
  const listed = await client.accessTokens.list({ agentId: agent.id });
  assert.equal(listed.tokens.length, 1);
  await client.accessTokens.delete(made.token);
  await assert.rejects(page.agents.messages.create(agent.id, { input: "hi" }), (error: unknown) => {
    assert.ok(error instanceof APIError);
    assert.equal(error.status, 401);
    return true;
  });
});

test("an environment registers, is found, and gets nothing while it is not connected", async () => {
  const deviceId = `device-${Date.now()}`;
  const answer = await fetch(`${process.env.REVERIE_URL}/v1/environments/register`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ deviceId, connectionName: "laptop", metadata: { os: "linux" } }),
  });
  const { connectionId, wsUrl } = (await answer.json()) as { connectionId: string; wsUrl: string };
  assert.match(wsUrl, /^ws:/);
  const state = await client.environments.retrieve(deviceId);
  assert.deepEqual([state.connectionName, state.connectionId, state.metadata?.os], ["laptop", null, "linux"]);
  const listed = await client.environments.list({ limit: "1" });
  assert.deepEqual(listed.connections.map((item) => item.deviceId), [deviceId]);
  assert.deepEqual((await client.environments.list({ onlineOnly: "true" })).connections, []);
  const messages = [{ role: "user" as const, content: "hi", client_message_id: "m-1" }];
  await assert.rejects(client.environments.sendMessage(connectionId, { messages }), InternalServerError);
  await assert.rejects(client.environments.sendMessage("nowhere", { messages }), NotFoundError);
});
