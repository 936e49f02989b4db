// A client for your server: where it connects, what it finds there, and what it says when something is wrong.
// Run it: npx tsx 01_basic_client.ts

import Letta from "@letta-ai/letta-client";

// One client for a whole program: it keeps connections open, and serves any number of requests at once.
const client = new Letta({
  baseURL: process.env.REVERIE_URL ?? "http://localhost:8283", // baseURL, with capitals
  apiKey: process.env.REVERIE_API_KEY ?? "local", // any text will do where the server asks for no key
  timeout: 60_000, // milliseconds; answers of a model can take a while
  maxRetries: 2, // after failed connections, 429 and 5xx
});

const health = await client.health();
console.log(`server: ${health.status}, version ${health.version}`);

const models = await client.models.list();
console.log(`models: ${models.length}, such as ${models[0]?.handle}`);

const names: string[] = [];
for await (const agent of client.agents.list({ limit: 10 })) names.push(agent.name); // fetches page after page
console.log(`agents: ${names.join(", ") || "none yet"}`);

// Every error is an exception whose class tells the status.
try {
  await client.agents.retrieve("agent-00000000-0000-4000-8000-000000000000");
} catch (error) {
  if (error instanceof Letta.NotFoundError) {
    const { detail } = error.error as { detail: string };
    console.log(`error ${error.status}: ${detail}`);
  } else if (error instanceof Letta.APIConnectionError) console.log(`nothing answers at ${client.baseURL}`);
  else throw error;
}
