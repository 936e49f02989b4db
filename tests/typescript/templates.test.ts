import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { toFile } from "@letta-ai/letta-client";

import { connect, forget, newAgent } from "./setup.js";

const client = connect();
beforeEach(forget);

test("agents are made of a template's versions", async () => {
  const origin = await newAgent(client, {
    system: "You are one.",
    memory_blocks: [{ label: "human", value: "Name: {{name}}" }],
  });
  const made = await client.templates.create({ type: "agent", agent_id: origin.id, name: "ts-helper" });
  assert.equal(made.latest_version, "1");
  const deployed = await client.templates.agents.create("ts-helper:latest", { memory_variables: { name: "Ada" } });
  const [id] = deployed.agent_ids;
  const agent = await client.agents.retrieve(id!, { include: ["agent.blocks"] });
  assert.deepEqual(agent.blocks.map((block) => block.value), ["Name: Ada"]);
  assert.equal(agent.deployment_id, deployed.deployment_id);
  assert.equal((await client.templates.save("ts-helper", { message: "again" })).latest_version, "2");
  assert.equal((await client.templates.rollback("ts-helper", { version: "1" })).success, true);
  assert.equal((await client.templates.delete("ts-helper")).success, true);
});

test("an agent goes out as a file and comes in as another", async () => {
  const origin = await newAgent(client, { name: "Traveller" });
  const text = await client.agents.exportFile(origin.id);
  const file = await toFile(Buffer.from(typeof text === "string" ? text : JSON.stringify(text)), "traveller.af");
  const { agent_ids } = await client.agents.importFile({ file, secrets: JSON.stringify({ KEY: "v" }) });
  const copy = await client.agents.retrieve(agent_ids[0]!, { include: ["agent.blocks", "agent.secrets"] });
  assert.equal(copy.name, "Traveller_copy");
  assert.deepEqual(copy.blocks.map((block) => block.label).sort(), ["human", "persona"]);
  assert.deepEqual(copy.secrets?.map((item) => item.value), ["v"]);
});
