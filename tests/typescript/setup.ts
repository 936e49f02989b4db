// What all tests share: the client, the scripted model, and a way to kill the server.

import { appendFileSync } from "node:fs";
import { join } from "node:path";

import Letta from "@letta-ai/letta-client";

export const model = "openai/gpt-4o-mini";

export function given(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests through pytest, tests/wire/test_typescript.py`);
  return value;
}

/** Tells the test session which operation was answered; see tests/support/driven.py. */
const noted: typeof fetch = async (input, init) => {
  const answer = await fetch(input, init);
  const folder = process.env["DRIVEN_ROUTES"];
  if (folder && answer.ok) {
    const url = input instanceof Request ? input.url : input;
    const note = { client: "typescript", verb: init?.method?.toUpperCase() ?? "GET", path: new URL(url).pathname };
    appendFileSync(join(folder, `typescript-${process.pid}.jsonl`), `${JSON.stringify(note)}\n`);
  }
  return answer;
};

export function connect(): Letta {
  return new Letta({ baseURL: given("REVERIE_URL"), apiKey: "test", maxRetries: 0, timeout: 60_000, fetch: noted });
}

async function post(url: string, body: unknown = {}): Promise<void> {
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
}

/** Says what the model answers next. */
export const script = (...replies: object[]): Promise<void> => post(`${given("PROVIDER_URL")}/_script`, replies);

export const forget = (): Promise<void> => post(`${given("PROVIDER_URL")}/_reset`);

/** kill -9, and start again. */
export const restart = (): Promise<void> => post(given("RESTART_URL"));

export interface ModelRequest {
  system: string;
  shape: string[];
  tools: string[];
}

/** What the model was sent. */
export async function requests(): Promise<ModelRequest[]> {
  return (await (await fetch(`${given("PROVIDER_URL")}/_requests`)).json()) as ModelRequest[];
}

export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of stream) all.push(item);
  return all;
}

export const kinds = (messages: { message_type?: string }[]): (string | undefined)[] =>
  messages.map((message) => message.message_type);

export const newAgent = (client: Letta, more: object = {}) =>
  client.agents.create({
    model,
    memory_blocks: [
      { label: "human", value: "Name: unknown" },
      { label: "persona", value: "I am kind." },
    ],
    ...more,
  });
