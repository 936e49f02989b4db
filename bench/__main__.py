"""`make bench`: what a turn costs, measured against an instant provider.

CPU is the server process's own (user and system, with its tool workers where they are named),
read before and after each block of work; figures are per operation.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table
from tests.support.databases import database_urls
from tests.support.server import Server, running_server

MODEL = "openai/gpt-4o-mini"
SANDBOXED = '''
def add(a: int, b: int) -> int:
    """Add.

    Args:
        a: one
        b: other
    """
    return a + b
'''
console = Console()


class Rows:
    """Collected figures."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, database: str, what: str, figure: str) -> None:
        self.rows.append((database, what, figure))
        console.print(f"[dim]{database:>10}[/]  {what}: [bold]{figure}[/]")


@contextmanager
def instant_provider() -> Iterator[str]:
    """A provider process that answers from ready bytes; yields its root URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.provider", "--instant"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


class Load:
    """Drives one server."""

    def __init__(self, server: Server, provider: str, database: str, rows: Rows) -> None:
        assert server.process is not None
        self.server = psutil.Process(server.process.pid)
        self.provider = provider
        self.database = database
        self.rows = rows
        self.http = httpx.AsyncClient(
            base_url=server.url,
            timeout=120,
            headers={"x-stainless-package-version": "1.12.1"},
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
        )

    def cpu(self, *, children: bool = False) -> float:
        times = self.server.cpu_times()
        total = times.user + times.system
        if children:
            total += times.children_user + times.children_system
            for child in self.server.children(recursive=True):
                try:
                    spent = child.cpu_times()
                    total += spent.user + spent.system
                except psutil.NoSuchProcess:
                    pass
        return float(total)

    async def default(self, first: dict[str, Any], after_tools: dict[str, Any] | None = None) -> None:
        body = {"first": first} | ({"after_tools": after_tools} if after_tools else {})
        async with httpx.AsyncClient() as http:
            (await http.post(f"{self.provider}/_default", json=body)).raise_for_status()

    async def agent(self, **more: Any) -> str:
        body = {
            "model": MODEL,
            "memory_blocks": [{"label": "human", "value": "Ada"}, {"label": "persona", "value": "kind"}],
            **more,
        }
        answer = await self.http.post("/v1/agents/", json=body)
        answer.raise_for_status()
        return str(answer.json()["id"])

    async def turn(self, agent: str) -> None:
        answer = await self.http.post(f"/v1/agents/{agent}/messages", json={"input": "hello there"})
        answer.raise_for_status()

    async def measure(
        self, what: str, count: int, work: Callable[[], Awaitable[None]], *, warm: int = 5, children: bool = False
    ) -> None:
        for _ in range(warm):
            await work()
        waits: list[float] = []
        before = self.cpu(children=children)
        for _ in range(count):
            began = time.perf_counter()
            await work()
            waits.append(time.perf_counter() - began)
        spent = (self.cpu(children=children) - before) / count * 1000
        waits.sort()
        self.rows.add(
            self.database,
            what,
            f"{spent:.2f} CPU ms, p50 {waits[count // 2] * 1000:.1f} ms, p95 {waits[int(count * 0.95)] * 1000:.1f} ms",
        )


def say(text: str) -> dict[str, Any]:
    return {"parts": [{"say": text}]}


async def turns(load: Load, count: int) -> None:
    """Plain, memory and sandboxed turns; history; many clients; tokens."""
    await load.default(say("All right."))
    fresh: list[str] = [await load.agent() for _ in range(count // 10 + 2)]
    place = iter(range(10_000_000))

    async def plain() -> None:
        await load.turn(fresh[next(place) // 10 % len(fresh)])

    await load.measure("plain turn (up to 20 messages in context)", count, plain)

    await load.default(
        {"parts": [{"call": "memory_insert", "args": {"label": "human", "new_string": "x"}}]}, say("Noted.")
    )
    memory = [await load.agent() for _ in range(count // 20 + 2)]
    place_memory = iter(range(10_000_000))
    await load.measure(
        "turn with a memory tool (two model requests)",
        count // 2,
        lambda: load.turn(memory[next(place_memory) // 10 % len(memory)]),
    )

    tool = await load.http.post("/v1/tools/", json={"source_code": SANDBOXED})
    tool.raise_for_status()
    await load.default({"parts": [{"call": "add", "args": {"a": 1, "b": 2}}]}, say("3"))
    sandboxed = await load.agent(tool_ids=[tool.json()["id"]])
    await load.measure(
        "turn with a sandboxed tool, its processes counted", count // 4, lambda: load.turn(sandboxed), children=True
    )

    for stored in (10, 500, 2_000):
        await load.default(say("All right."))
        agent = await load.agent(
            initial_message_sequence=[
                {"role": "user" if number % 2 == 0 else "assistant", "content": f"message {number} about nothing"}
                for number in range(stored)
            ]
        )
        await load.measure(f"plain turn, {stored} messages in context", count // 5, lambda a=agent: load.turn(a))  # type: ignore[misc]

    for clients in (1, 8, 32):
        agents = [await load.agent() for _ in range(clients)]
        per_client = max(4, count // clients)

        async def client(agent: str, times: int) -> None:
            for _ in range(times):
                await load.turn(agent)

        began = time.perf_counter()
        await asyncio.gather(*(client(agent, min(per_client, 40)) for agent in agents))
        took = time.perf_counter() - began
        load.rows.add(
            load.database,
            f"{clients} clients, an agent each",
            f"{clients * min(per_client, 40) / took:.0f} turns/s",
        )

    words = 400
    await load.default(say(" ".join(f"w{number}" for number in range(words))))
    agent = await load.agent()
    pieces = 0

    async def streamed() -> None:
        nonlocal pieces
        body = {"input": "count", "streaming": True, "stream_tokens": True}
        async with load.http.stream("POST", f"/v1/agents/{agent}/messages", json=body) as answer:
            async for line in answer.aiter_lines():
                pieces += line.startswith("data: ")

    await streamed()
    pieces, before = 0, load.cpu()
    for _ in range(10):
        await streamed()
    spent = (load.cpu() - before) * 1000
    load.rows.add(load.database, f"streamed token ({pieces // 10} events a turn)", f"{spent / pieces:.3f} CPU ms")


def start_up(rows: Rows, environment: dict[str, str]) -> None:
    """Time to the first answer, schema already there, and memory at idle."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(database_url=None, data_dir=Path(folder), environment=environment)
        server.start()
        server.stop()
        waits = []
        for _ in range(5):
            began = time.perf_counter()
            server.start()
            waits.append(time.perf_counter() - began)
            resident = psutil.Process(server.process.pid if server.process else 0).memory_info().rss
            server.stop()
        rows.add("sqlite", "start to first answer, median of 5", f"{sorted(waits)[2]:.2f} s")
        rows.add("sqlite", "resident at idle", f"{resident / 1e6:.0f} MB")


async def drive(database: str, provider: str, count: int, rows: Rows) -> None:
    environment = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": f"{provider}/v1"}
    with database_urls(database) as url, running_server(url, environment) as server:
        load = Load(server, provider, database, rows)
        await turns(load, count)
        resident = load.server.memory_info().rss
        rows.add(database, "resident after the load", f"{resident / 1e6:.0f} MB")
        await load.http.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="plain turns to measure; other blocks follow from it")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = Rows()
    with instant_provider() as provider:
        start_up(rows, {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": f"{provider}/v1"})
        for database in arguments.database or ["sqlite", "postgresql"]:
            asyncio.run(drive(database, provider, arguments.count, rows))
    if arguments.json:
        print(json.dumps(rows.rows))
        return
    table = Table("database", "what", "figure")
    for row in rows.rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
