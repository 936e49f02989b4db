// Draws the talk and the memory. All that comes from the server is set as text, never as HTML.

const at = (id) => document.getElementById(id);
const talk = at("talk");
const text = at("text");
let busy = false;

// ---- the talk ---------------------------------------------------------------------------------

function bubble(who, words = "") {
  const item = document.createElement("li");
  item.className = who;
  const tools = document.createElement("div");
  tools.className = "tools";
  const paragraph = document.createElement("p");
  paragraph.textContent = words;
  item.append(tools, paragraph);
  talk.append(item);
  at("welcome").hidden = true;
  item.scrollIntoView({ block: "end" });
  return { item, tools, paragraph };
}

function toolWords(name) {
  if (/^(core_)?memory_/.test(name)) return "✎ writing to its memory";
  return `⚙ ${name.replaceAll("_", " ")}`;
}

async function send(words) {
  if (busy || !words.trim()) return;
  busy = true;
  document.body.classList.add("busy");
  at("send").setAttribute("aria-label", "Stop");
  bubble("you", words);
  const answer = bubble("agent");
  answer.item.classList.add("waiting");
  try {
    const response = await ask("/api/talk", "POST", { text: words });
    for await (const piece of pieces(response)) show(piece, answer);
  } catch (error) {
    bubble("wrong", error.message);
  }
  answer.item.classList.remove("waiting");
  if (!answer.paragraph.textContent && !answer.tools.childElementCount) answer.item.remove();
  document.body.classList.remove("busy");
  at("send").setAttribute("aria-label", "Send");
  busy = false;
  text.focus();
}

function show(piece, answer) {
  const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
  if (piece.text) {
    answer.item.classList.remove("waiting");
    answer.paragraph.textContent += piece.text;
  }
  if (piece.tool) {
    const mark = document.createElement("span");
    mark.textContent = toolWords(piece.tool);
    answer.tools.append(mark);
  }
  if (piece.memory) remember(piece.memory);
  if (piece.error) bubble("wrong", piece.error);
  if (atEnd) talk.scrollTop = talk.scrollHeight;
}

async function* pieces(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

async function ask(path, method = "GET", body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Error(typeof problem.detail === "string" ? problem.detail : `The server answered ${response.status}.`);
}

// ---- the memory -------------------------------------------------------------------------------

function remember(blocks) {
  for (const { label, value } of blocks) {
    const known = document.querySelector(`[data-label="${CSS.escape(label)}"]`);
    const card = known ?? newCard(label);
    const field = card.querySelector("textarea");
    if (field === document.activeElement || field.value === value) continue;
    field.value = card.dataset.value = value;
    if (!known) continue;
    card.classList.add("changed");
    setTimeout(() => card.classList.remove("changed"), 2500);
  }
}

function newCard(label) {
  const card = document.createElement("div");
  card.className = "block";
  card.dataset.label = label;
  const name = document.createElement("label");
  name.htmlFor = `block-${label}`;
  name.textContent = { human: "About you", persona: "About itself" }[label] ?? label;
  const field = document.createElement("textarea");
  field.id = name.htmlFor;
  field.addEventListener("blur", async () => {
    if (field.value === card.dataset.value) return;
    try {
      remember(await (await ask(`/api/memory/${encodeURIComponent(label)}`, "PUT", { value: field.value })).json());
      card.dataset.value = field.value;
    } catch (error) {
      field.value = card.dataset.value;
      bubble("wrong", error.message);
    }
  });
  card.append(name, field);
  at("blocks").append(card);
  return card;
}

// ---- what can be clicked ----------------------------------------------------------------------

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (busy) return void ask("/api/stop", "POST");
  const words = text.value;
  text.value = "";
  send(words);
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !busy) {
    event.preventDefault();
    at("composer").requestSubmit();
  }
});
for (const idea of document.querySelectorAll(".ideas button")) idea.addEventListener("click", () => send(idea.textContent));
at("toggle").addEventListener("click", () => {
  const open = at("memory").classList.toggle("open");
  at("toggle").setAttribute("aria-expanded", String(open));
});
at("forget").addEventListener("click", async () => {
  if (!confirm("Forget everything? The agent and all that was said are deleted.")) return;
  await ask("/api/talk", "DELETE");
  location.reload();
});

try {
  const { said, memory } = await (await ask("/api/talk")).json();
  for (const { who, text: words } of said) bubble(who, words);
  at("welcome").hidden = said.length > 0;
  remember(memory);
} catch (error) {
  bubble("wrong", error.message);
}
text.focus();
