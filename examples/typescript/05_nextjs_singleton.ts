// One client for a Next.js app, and a route handler that streams an answer to the browser.
// Run it: npx tsx 05_nextjs_singleton.ts
//
// In an app, the first part is lib/letta.ts and the second app/api/chat/route.ts. A route handler is a function from a
// Request to a Response, so the third part can call it without Next.js.

import Letta from "@letta-ai/letta-client";

// ---- lib/letta.ts ------------------------------------------------------------------------------------------------
// While you develop, Next.js loads modules anew at each change. What hangs on `globalThis` stays, so connections are
// not opened again and again. Keep this file out of client components: the key is for the server alone.

const kept = globalThis as typeof globalThis & { letta?: Letta };

export function getClient(): Letta {
  kept.letta ??= new Letta({
    baseURL: process.env.REVERIE_URL ?? "http://localhost:8283",
    apiKey: process.env.REVERIE_API_KEY ?? "local",
  });
  return kept.letta;
}

// ---- app/api/chat/route.ts ---------------------------------------------------------------------------------------

export async function POST(request: Request): Promise<Response> {
  const { agentId, text } = (await request.json()) as { agentId: string; text: string };
  const stream = await getClient().agents.messages.create(agentId, {
    input: text,
    streaming: true,
    stream_tokens: true,
    include_pings: true,
  });
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(controller) {
      for await (const event of stream) {
        if (event.message_type === "assistant_message") controller.enqueue(encoder.encode(String(event.content)));
      }
      controller.close();
    },
    cancel: () => stream.controller.abort(), // the reader left; the turn itself goes on and is saved
  });
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}

// ---- what a browser would do -------------------------------------------------------------------------------------

const client = getClient();
console.log("one client:", client === getClient());
const model = process.env.REVERIE_MODEL ?? (await client.models.list())[0]?.handle;
const agent = await client.agents.create({ name: "nextjs", model, memory_blocks: [] });
try {
  const response = await POST(
    new Request("http://localhost:3000/api/chat", {
      method: "POST",
      body: JSON.stringify({ agentId: agent.id, text: "Hello from the browser." }),
    }),
  );
  console.log(response.status, response.headers.get("content-type"));
  console.log(await response.text());
} finally {
  await client.agents.delete(agent.id);
}
