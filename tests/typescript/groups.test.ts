import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { collect, connect, forget, newAgent, requests, script } from "./setup.js";

const client = connect();
beforeEach(forget);

interface Group {
  id: string;
  agent_ids: string[];
  turns_counter: number | null;
}

interface Answer {
  messages: { message_type: string; name: string; content: string }[];
}

test("members of a group answer in turn", async () => {
  const [first, second] = [await newAgent(client, { name: "Ada" }), await newAgent(client, { name: "Bo" })];
  const group = await client.post<Group>("/v1/groups/", {
    body: { agent_ids: [first.id, second.id], description: "a chat" },
  });
  assert.deepEqual((await client.get<Group>(`/v1/groups/${group.id}`)).agent_ids, [first.id, second.id]);
  await script({ say: "One here." }, { say: "Two here." });
  const answer = await client.post<Answer>(`/v1/groups/${group.id}/messages`, {
    body: { messages: [{ role: "user", content: "Hello" }] },
  });
  assert.deepEqual(
    answer.messages.map((message) => [message.name, message.content]),
    [
      ["Ada", "One here."],
      ["Bo", "Two here."],
    ],
  );
  const heard = await collect(client.agents.messages.list(second.id, { group_id: group.id, order: "asc" }));
  assert.equal(heard.length, 3);
});

test("an agent is made with a companion that looks after its memory", async () => {
  const agent = await newAgent(client, { enable_sleeptime: true });
  const group = agent.managed_group;
  assert.ok(group?.id);
  assert.equal(group.manager_type, "sleeptime");
  const companion = await client.agents.retrieve(group.agent_ids[0]!, { include: ["agent.blocks"] });
  assert.equal(companion.agent_type, "sleeptime_agent");
  assert.ok(companion.blocks.some((block) => block.label === "human"));
  await client.patch(`/v1/groups/${group.id}`, {
    body: { manager_config: { manager_type: "sleeptime", sleeptime_agent_frequency: 1 } },
  });
  await script({ say: "Hello." }, { call: "memory_finish_edits", args: {} });
  await client.agents.messages.create(agent.id, { input: "I am Ada" });
  for (;;) {
    const runs = await collect(client.runs.list({ agent_id: companion.id }));
    if (runs.length === 1 && runs[0]!.completed_at) break;
  }
  assert.match((await requests())[1]!.system, /take care of the memory/);
  await client.agents.update(agent.id, { enable_sleeptime: false });
  await assert.rejects(client.agents.retrieve(companion.id));
});
