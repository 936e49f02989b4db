// What agents remember and read: archives, passages, folders, identities, schedules.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { beforeEach, test } from "node:test";

import { toFile } from "@letta-ai/letta-client";

import { collect, connect, forget, given, newAgent } from "./setup.js";

const client = connect();
beforeEach(forget);

test("an archive holds passages and is given to an agent", async () => {
  const archive = await client.archives.create({ name: randomUUID(), description: "Letters" });
  assert.equal((await client.archives.retrieve(archive.id)).description, "Letters");
  const passage = await client.archives.passages.create(archive.id, { text: "Cats sleep all day.", tags: ["pets"] });
  const more = await client.archives.passages.createMany(archive.id, { passages: [{ text: "Rain in May." }] });
  assert.equal(more.length, 1);
  const hits = await client.passages.search({ archive_id: archive.id, query: "a kitten naps", limit: 1 });
  assert.deepEqual(hits.map((hit) => hit.passage.id), [passage.id]);
  const agent = await newAgent(client);
  await client.agents.archives.attach(archive.id, { agent_id: agent.id });
  const listed = await collect(client.archives.list({ agent_id: agent.id }));
  assert.deepEqual(listed.map((item) => item.id), [archive.id]);
  await client.agents.archives.detach(archive.id, { agent_id: agent.id });
  await client.archives.delete(archive.id);
});

test("an agent keeps passages of its own", async () => {
  const agent = await newAgent(client);
  const [kept] = await client.agents.passages.create(agent.id, { text: "Ada likes tea." });
  assert.ok(kept?.id);
  const found = await client.agents.passages.search(agent.id, { query: "hot drinks" });
  assert.deepEqual(found.results.map((hit) => hit.id), [kept.id]);
  await client.agents.passages.delete(kept.id, { agent_id: agent.id });
  assert.deepEqual(await client.agents.passages.list(agent.id), []);
});

test("tools are found by meaning, messages by words", async () => {
  const near = await client.tools.search({ query: "look up what was said earlier", search_mode: "vector", limit: 5 });
  assert.ok(near.some((hit) => hit.tool.name === "conversation_search"), JSON.stringify(near.map((hit) => hit.tool.name)));
  const agent = await newAgent(client);
  const word = `zebra${randomUUID().slice(0, 8)}`;
  await client.agents.messages.create(agent.id, { input: `I saw a ${word} today` });
  const hits = await client.messages.search({ query: word, agent_id: agent.id, search_mode: "hybrid" });
  assert.ok(JSON.stringify(hits).includes(word));
});

test("a folder's file is read by an agent", async () => {
  const folder = await client.folders.create({ name: randomUUID() });
  const file = await client.folders.files.upload(folder.id, { file: await toFile(Buffer.from("Cats sleep."), "cats.txt") });
  const listed = await collect(client.folders.files.list(folder.id));
  assert.deepEqual(listed.map((item) => item.id), [file.id]);
  const agent = await newAgent(client);
  await client.agents.folders.attach(folder.id, { agent_id: agent.id });
  assert.deepEqual(await client.folders.agents.list(folder.id), [agent.id]);
  const attached = await collect(client.agents.folders.list(agent.id));
  assert.deepEqual(attached.map((item) => item.id), [folder.id]);
  const open = await collect(client.agents.files.list(agent.id));
  assert.ok(open.every((item) => item.folder_id === folder.id));
  await client.folders.delete(folder.id);
});

test("an agent belongs to an identity", async () => {
  const answer = await fetch(`${given("REVERIE_URL")}/v1/identities/`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ identifier_key: randomUUID(), name: "Ada", identity_type: "user" }),
  });
  const identity = (await answer.json()) as { id: string };
  const agent = await newAgent(client);
  await client.agents.identities.attach(identity.id, { agent_id: agent.id });
  const owned = await collect(client.agents.list({ identity_id: identity.id }));
  assert.deepEqual(owned.map((item) => item.id), [agent.id]);
});

test("a message is scheduled and taken back", async () => {
  const agent = await newAgent(client);
  const made = await client.agents.schedule.create(agent.id, {
    messages: [{ role: "user", content: "Good morning!" }],
    schedule: { type: "recurring", cron_expression: "0 8 * * 1-5" },
  });
  const listed = await client.agents.schedule.list(agent.id);
  assert.deepEqual(listed.scheduled_messages.map((item) => item.id), [made.id]);
  await client.agents.schedule.delete(made.id, { agent_id: agent.id });
});

test("a block tells whose it is", async () => {
  const block = await client.blocks.create({ label: "plan", value: "none" });
  const agent = await newAgent(client, { block_ids: [block.id] });
  const owners = await collect(client.blocks.agents.list(block.id));
  assert.deepEqual(owners.map((item) => item.id), [agent.id]);
});
