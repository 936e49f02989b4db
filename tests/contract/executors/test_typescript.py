"""TypeScript tools: Deno inside the sandbox, with the same guarantees."""

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reverie.domain.ids import OrganizationId, ToolId
from reverie.domain.tool import PipRequirement, Tool
from reverie.tools.base import SandboxOptions, ToolOutcome, ToolRun
from reverie.tools.executors.sandbox import SandboxExecutor

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[SandboxExecutor]:
    options = SandboxOptions(data_dir=str(tmp_path), timeout_s=30, memory_bytes=256 * 2**20)
    executor = SandboxExecutor(options, environment=dict(os.environ))
    yield executor
    await executor.aclose()


async def run(executor: SandboxExecutor, source: str, arguments: dict[str, Any], **more: Any) -> ToolOutcome:
    schema = {"name": "probe", "parameters": {"type": "object", "properties": {key: {} for key in arguments}}}
    tool = Tool(
        id=ToolId("tool-1"),
        organization_id=OrganizationId("org-1"),
        name="probe",
        json_schema=schema,
        source_code=source,
        source_type="typescript",
        npm_requirements=more.pop("npm", ()),
        created_at=NOW,
        updated_at=NOW,
    )
    return await executor.run(ToolRun(tool=tool, arguments=arguments, **more))


def text(outcome: ToolOutcome) -> str:
    return "".join(getattr(part, "text", "") for part in outcome.content)


@pytest.mark.parametrize(
    "source",
    [
        "export function probe(a: number, b: string): string { return `${b}${a + 1}`; }",
        "async function probe(a: number, b: string) { return await Promise.resolve(b + (a + 1)); }",
        "export default ({ a, b }: { a: number; b: string }) => b + (a + 1);",
        "type In = { a: number; b: string };\nexport async function probe(o: In) { return o.b + (o.a + 1); }",
        "export const other = (a: number, b: string) => b + (a + 1);",
    ],
)
async def test_every_way_to_write_a_function_is_called(executor: SandboxExecutor, source: str) -> None:
    outcome = await run(executor, source, {"a": 1, "b": "x"})
    assert (outcome.status, text(outcome)) == ("success", "x2")


async def test_values_prints_and_secrets(executor: SandboxExecutor) -> None:
    source = """
export function probe() {
  console.log("out");
  console.error("err");
  return { key: Deno.env.get("TOKEN"), agent: Deno.env.get("LETTA_AGENT_ID"), big: 2n ** 70n, none: undefined };
}"""
    outcome = await run(executor, source, {}, environment={"TOKEN": "t"}, agent_id="agent-7")
    assert outcome.value == {"key": "t", "agent": "agent-7", "big": str(2**70)}
    assert (outcome.stdout, outcome.stderr) == (("out\n",), ("err\n",))


async def test_an_error_shows_the_tools_own_frames(executor: SandboxExecutor) -> None:
    outcome = await run(executor, "export function probe() {\n  return JSON.parse('{');\n}", {})
    assert outcome.status == "error"
    assert "SyntaxError" in text(outcome)
    assert "probe.ts:2" in text(outcome)
    assert "runner.ts" not in text(outcome)
    broken = await run(executor, "export function probe( {", {})
    assert broken.status == "error"
    missing = await run(executor, "const x: number = 1;", {})
    assert "no function probe" in text(missing)


async def test_files_network_and_programs_are_out_of_reach(executor: SandboxExecutor, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    source = f"""
export async function probe() {{
  const done: string[] = [];
  const attempt = async (name: string, action: () => unknown) => {{
    try {{ await action(); done.push(name); }} catch {{ /* refused */ }}
  }};
  await attempt("server's file", () => Deno.readTextFileSync("{tmp_path}/secret"));
  await attempt("etc", () => Deno.readTextFileSync("/etc/hostname"));
  await attempt("proc", () => Deno.readTextFileSync("/proc/self/environ"));
  await attempt("packages", () => Deno.writeTextFileSync("/packages/x", "x"));
  await attempt("fetch", () => fetch("http://127.0.0.1:22"));
  await attempt("connect", () => Deno.connect({{ hostname: "1.1.1.1", port: 53 }}));
  await attempt("door", () => Deno.connect({{ transport: "unix", path: "/door/api.sock" }}));
  await attempt("run", () => new Deno.Command("/usr/bin/id").outputSync());
  await attempt("ffi", () => Deno.dlopen("libc.so.6", {{}}));
  await attempt("remote code", () => import("https://example.org/x.ts"));
  return done;
}}"""
    outcome = await run(executor, source, {})
    assert (outcome.status, outcome.value) == ("success", []), text(outcome)


async def test_endless_loops_and_floods_are_stopped(executor: SandboxExecutor) -> None:
    loop = await run(executor, "export function probe() { while (true); }", {}, timeout_s=1)
    assert "longer than 1 s" in text(loop)
    flood = await run(executor, "export function probe() { while (true) console.log('x'.repeat(10000)); }", {})
    assert "more than 1048576 bytes" in text(flood)
    bomb = "export function probe() { const kept = []; while (true) kept.push(new Uint8Array(2 ** 20).fill(1)); }"
    assert (await run(executor, bomb, {})).status == "error"


async def test_without_the_sdk_a_tool_is_told_and_others_run(tmp_path: Path) -> None:
    options = SandboxOptions(data_dir=str(tmp_path))
    executor = SandboxExecutor(options, environment={**os.environ, "NPM_CONFIG_REGISTRY": "http://127.0.0.1:9/"})
    told = text(await run(executor, "export const probe = async () => (await client.agents.list()).items", {}))
    assert "there is no client for this tool" in told
    assert "@letta-ai/letta-client@1.12.1, which cannot be installed" in told
    kind = "const client = { name: 'own' };\nexport const probe = () => client.name;"
    assert (await run(executor, kind, {})).value == "own"
    await executor.aclose()


async def test_packages_come_from_npm_once(executor: SandboxExecutor) -> None:
    source = 'import isOdd from "is-odd";\nexport const probe = (n: number) => isOdd(n);'
    fields = (PipRequirement(name="is-odd", version="3.0.1"),)
    assert (await run(executor, source, {"n": 3}, npm=fields)).value is True
    sly = (PipRequirement(name="../evil"),)
    assert "not a package name" in text(await run(executor, source, {"n": 3}, npm=sly))
    absent = (PipRequirement(name="no-such-package-of-ours-anywhere"),)
    assert "no-such-package-of-ours-anywhere" in text(await run(executor, source, {"n": 3}, npm=absent))
