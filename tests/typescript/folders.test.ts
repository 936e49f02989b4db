import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ConflictError, toFile } from "@letta-ai/letta-client";

import { collect, connect, forget, newAgent, requests, script } from "./setup.js";

const client = connect();
beforeEach(forget);

async function uploaded(folderId: string, name: string, text: string) {
  const file = await client.folders.files.upload(folderId, { file: await toFile(Buffer.from(text), name) });
  for (;;) {
    const now = await client.folders.files.retrieve(file.id, { folder_id: folderId, include_content: true });
    if (now.processing_status === "completed" || now.processing_status === "error") return now;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a folder is made, filled, listed and deleted", async () => {
  const folder = await client.folders.create({ name: "papers", instructions: "Quote it" });
  assert.match(folder.id, /^source-/);
  await assert.rejects(client.folders.create({ name: "papers" }), ConflictError);
  const file = await uploaded(folder.id, "tides.md", "High water at six.");
  assert.equal(file.processing_status, "completed");
  assert.equal(file.content, "High water at six.");
  const listed = await collect(client.folders.files.list(folder.id));
  assert.deepEqual(listed.map((item) => item.file_name), ["tides.md"]);
  await client.folders.files.delete(file.id, { folder_id: folder.id });
  assert.deepEqual(await collect(client.folders.files.list(folder.id)), []);
  await client.folders.delete(folder.id);
  assert.deepEqual(await collect(client.folders.list({ name: "papers" })), []);
});

test("an agent sees the files of its folder, and opens and closes them", async () => {
  const folder = await client.folders.create({ name: "shelf" });
  const file = await uploaded(folder.id, "tides.md", "High water at six.");
  const agent = await newAgent(client, { folder_ids: [folder.id] });
  await script({ call: "grep_files", args: { pattern: "water" } }, { say: "At six." });
  await client.agents.messages.create(agent.id, { input: "When is high water?" });
  const [first] = await requests();
  assert.match(first!.system, /1: High water at six\./);
  assert.ok(first!.tools.includes("open_files"));
  assert.deepEqual(await client.agents.files.closeAll(agent.id), ["shelf/tides.md"]);
  assert.deepEqual(await client.agents.files.open(file.id, { agent_id: agent.id }), []);
  const files = await collect(client.agents.files.list(agent.id, { is_open: true }));
  assert.deepEqual(files.map((item) => item.file_name), ["shelf/tides.md"]);
  await client.agents.folders.detach(folder.id, { agent_id: agent.id });
  assert.deepEqual(await collect(client.agents.folders.list(agent.id)), []);
});
