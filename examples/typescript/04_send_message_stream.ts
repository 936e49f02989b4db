// An answer as it is written, and one that goes on although the line was lost.
// Run it: npx tsx 04_send_message_stream.ts

import Letta from "@letta-ai/letta-client";

const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
  apiKey: process.env.REVERIE_API_KEY ?? "local",
});
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;

const agent = await client.agents.create({ name: "narrator", model, memory_blocks: [] });
try {
  // Token by token. Pieces of one message have the same id; pings keep idle proxies from hanging up.
  const stream = await client.agents.messages.create(agent.id, {
    messages: [{ role: "user", content: "Tell me three surprising facts about octopuses." }],
    streaming: true,
    stream_tokens: true,
    include_pings: true,
  });
  for await (const event of stream) {
    if (event.message_type === "assistant_message") process.stdout.write(String(event.content));
    else if (event.message_type === "stop_reason") console.log(`\n\nended: ${event.stop_reason}`);
    else if (event.message_type === "usage_statistics")
      console.log(`tokens: ${event.prompt_tokens} read, ${event.completion_tokens} written`);
  }

  // In the background the run does not need us. We read its first words, leave, and come back later.
  const first = await client.agents.messages.create(agent.id, {
    input: "And now a long story about one.",
    streaming: true,
    stream_tokens: true,
    background: true,
  });
  let place: { run: string; at: number } | undefined;
  for await (const event of first) {
    if (event.message_type === "assistant_message" && event.run_id && event.seq_id) {
      console.log("\nbefore the line was lost:", event.content);
      place = { run: event.run_id, at: event.seq_id };
      break;
    }
  }
  if (place) {
    let rest = "";
    for await (const event of await client.runs.messages.stream(place.run, { starting_after: place.at })) {
      if (event.message_type === "assistant_message") rest += event.content;
    }
    console.log("afterwards:", rest);
  }
} finally {
  await client.agents.delete(agent.id);
}
