// Runs one call of a TypeScript tool, inside the sandbox, started by runner.py.
//
// Reads {"name", "parameters", "arguments"} from standard input, imports the tool's module from the
// path in the first argument and writes the answer, JSON too, to the path in the second: what the
// tool prints never mixes with what it returns.

type ClientOptions = { problem?: string | null; url?: string; key?: string };
type Request = {
  name: string;
  parameters: string[];
  arguments: Record<string, unknown>;
  client: ClientOptions | null;
};
type Tool = (...values: unknown[]) => unknown;

const [modulePath, answerPath] = Deno.args;
const request: Request = JSON.parse(await new Response(Deno.stdin.readable).text());

/** The function of the tool's name, exported or not; else the default export or the last exported function. */
function entry(module: Record<string, unknown>): Tool {
  const functions = Object.values(module).filter((item) => typeof item === "function");
  const found = module.__reverie_entry ?? module[request.name] ?? module.default ?? functions.at(-1);
  if (typeof found !== "function") throw new Error(`the source defines no function ${request.name}`);
  return found as Tool;
}

/** One value for each parameter, in the schema's order; or all in one object, for functions that take one. */
function values(tool: Tool): unknown[] {
  const head = tool.toString().replace(/^(async\s+)?(function\s*\*?\s*[\w$]*)?\s*/, "");
  const takesObject = /^\(?\s*\{/.test(head);
  const first = /^\(?\s*([\w$]+)/.exec(head)?.[1];
  const alone = tool.length === 1 && request.parameters.length > 1 && !request.parameters.includes(first ?? "");
  if (takesObject || alone) return [request.arguments];
  const given = request.parameters.map((name) => request.arguments[name]);
  while (given.length > 0 && given.at(-1) === undefined) given.pop();
  return given;
}

/** The message, and the frames of the tool's own file. */
function describe(error: unknown): { error: string; trace: string } {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${String(error)}`;
  const stack = error instanceof Error ? (error.stack ?? "").split("\n") : [];
  const frames = stack.filter((line) => line.includes(modulePath));
  const trace = [what, ...frames].join("\n").replaceAll(`file://${modulePath}`, `${request.name}.ts`);
  return { error: `Error executing function ${request.name}: ${what}`, trace };
}

/** The SDK's client, which reaches the server through the sandbox's door; or what says why there is none. */
async function client({ problem, url, key }: ClientOptions): Promise<unknown> {
  if (url === undefined) problem ??= "the server's API cannot be reached from here";
  if (problem) return new Proxy({}, { get: () => { throw new Error(`there is no client for this tool: ${problem}`); } });
  const { default: Letta } = await import("@letta-ai/letta-client");
  // No second try: what a call does to agents must not be done twice because it was slow.
  return new Letta({ baseURL: url, apiKey: key, maxRetries: 0 });
}

const pictures: [string, number[]][] = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
];

/** Bytes of a picture as messages hold one; what JSON cannot say becomes text. */
function said(_: string, item: unknown): unknown {
  if (typeof item === "bigint") return item.toString();
  if (!(item instanceof Uint8Array)) return item;
  const kind = pictures.find(([, start]) => start.every((byte, place) => item[place] === byte))?.[0];
  if (kind === undefined) return new TextDecoder().decode(item);
  const data = btoa(Array.from(item, (byte) => String.fromCharCode(byte)).join(""));
  return { type: "image", source: { type: "base64", media_type: kind, data } };
}

let answer: unknown;
try {
  if (request.client !== null) Object.assign(globalThis, { client: await client(request.client) });
  const tool = entry(await import(`file://${modulePath}`));
  const value = (await tool(...values(tool))) ?? null;
  const plain = JSON.parse(JSON.stringify(value, said) ?? "null");
  answer = { ok: true, text: typeof plain === "string" ? plain : JSON.stringify(plain), value: plain };
} catch (error) {
  answer = { ok: false, ...describe(error) };
}
Deno.writeTextFileSync(answerPath, JSON.stringify(answer));
Deno.exit(0);
