"""`make bench`: what the server costs, measured against a provider that answers at once.

CPU is the server process's own (user and system; with its tool workers where that is said), read
before and after each block of work, per operation. Machines differ and are shared, so the same
table holds a floor measured in the same run: one streamed request to the provider with httpx and
one SQLite transaction, both by hand. The column `× floor` is what to compare between machines.
"""

import argparse
import asyncio
import itertools
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from rich.console import Console
from rich.table import Table
from tests.support.databases import database_urls
from tests.support.server import Server, running_server

from bench.runs import measure_runs, measure_takeover, settings_of, silent_provider

MODEL: Final = "openai/gpt-4o-mini"
SANDBOXED: Final = '''
def add(a: int, b: int) -> int:
    """Add.

    Args:
        a: one
        b: other
    """
    return a + b
'''
AIMS: Final = {
    "start to first answer": "≤ 1.5 s",
    "resident at idle": "< 130 MB",
    "plain turn": "≤ 15 ms",
    "streamed token": "≤ 0.7 ms",
    "sandboxed call, warm": "p50 ≤ 25 ms",
    "100 streams, stored first": "≥ 4,000 events/s on two cores",
    "1,000 silent readers": "< 60 kB each",
    "take-over after kill -9": "lease + 1 s",
}
TAKE_OVER: Final = "take-over after kill -9"
console = Console(width=None if sys.stdout.isatty() else 150)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    database: str
    what: str
    cpu_ms: float | None = None
    """Of the server, per operation."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    figure: str = ""
    """What is neither."""


class Rows:
    """Collected figures, each shown as it comes."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.floor_ms = 0.0

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if console.is_terminal:
            console.print(f"[dim]{row.database:>10}  {row.what}: {' · '.join(filter(None, self.cells(row)[2:]))}")

    def cells(self, row: Row) -> tuple[str, ...]:
        ratio = "" if row.cpu_ms is None or not self.floor_ms else f"{row.cpu_ms / self.floor_ms:.1f}"
        return (
            row.database,
            row.what,
            "" if row.cpu_ms is None else f"{row.cpu_ms:.2f}" if row.cpu_ms >= 0.1 else f"{row.cpu_ms:.3f}",
            ratio,
            "" if row.p50_ms is None else f"{row.p50_ms:.1f}",
            "" if row.p95_ms is None else f"{row.p95_ms:.1f}",
            row.figure,
            AIMS.get(row.what, ""),
        )

    def table(self) -> Table:
        table = Table("database", "what", title="Reverie, an instant provider, one process", title_justify="left")
        for name in ("CPU ms", "× floor", "p50 ms", "p95 ms", "figure"):
            table.add_column(name, justify="right")
        table.add_column("aim")
        for row in self.rows:
            table.add_row(*self.cells(row))
        return table


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


def say(text: str) -> dict[str, Any]:
    """A scripted reply of words."""
    return {"parts": [{"say": text}]}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A scripted reply of one call."""
    return {"parts": [{"call": name, "args": arguments}]}


async def script(provider: str, first: dict[str, Any], after_tools: dict[str, Any] | None = None) -> None:
    """Make the provider answer so from now on."""
    body = {"first": first} | ({"after_tools": after_tools} if after_tools else {})
    async with httpx.AsyncClient() as http:
        (await http.post(f"{provider}/_default", json=body)).raise_for_status()


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
        """Seconds used so far."""
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

    def add(self, what: str, **figures: Any) -> Row:
        """Note a figure of this database."""
        row = Row(self.database, what, **figures)
        self.rows.add(row)
        return row

    async def default(self, first: dict[str, Any], after_tools: dict[str, Any] | None = None) -> None:
        """Make the provider answer so from now on."""
        await script(self.provider, first, after_tools)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer's JSON."""
        answer = await self.http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def get(self, path: str) -> None:
        """Read and forget."""
        (await self.http.get(path)).raise_for_status()

    async def patch(self, path: str, body: dict[str, Any]) -> None:
        """Change and forget the answer."""
        (await self.http.patch(path, json=body)).raise_for_status()

    async def agent(self, **more: Any) -> str:
        """A fresh agent's id."""
        blocks = [{"label": "human", "value": "Ada"}, {"label": "persona", "value": "kind"}]
        return str((await self.post("/v1/agents/", {"model": MODEL, "memory_blocks": blocks, **more}))["id"])

    async def agents(self, count: int, **more: Any) -> list[str]:
        """Fresh agents' ids."""
        return [await self.agent(**more) for _ in range(count)]

    async def turn(self, agent: str) -> None:
        """One blocking turn."""
        await self.post(f"/v1/agents/{agent}/messages", {"input": "hello there"})

    def turns_of(self, agents: list[str]) -> Callable[[], Awaitable[None]]:
        """Turns of these agents, ten of each before the next, so that contexts stay short."""
        places = itertools.count()
        return lambda: self.turn(agents[next(places) // 10 % len(agents)])

    async def measure(
        self,
        what: str,
        count: int,
        work: Callable[[], Awaitable[Any]],
        *,
        warm: int = 5,
        children: bool = False,
        pause_s: float = 0.0,
    ) -> Row:
        """Time `count` calls of `work`, one after the other, with pauses that are not counted."""
        for _ in range(warm):
            await work()
        waits: list[float] = []
        before = self.cpu(children=children)
        for _ in range(count):
            await asyncio.sleep(pause_s)
            began = time.perf_counter()
            await work()
            waits.append((time.perf_counter() - began) * 1000)
        spent = (self.cpu(children=children) - before) / count * 1000
        waits.sort()
        return self.add(what, cpu_ms=spent, p50_ms=waits[count // 2], p95_ms=waits[int(count * 0.95)])


async def measure_turns(load: Load, count: int) -> None:
    """Turns without and with a memory tool, and with long contexts."""
    await load.default(say("All right."))
    await load.measure("plain turn", count, load.turns_of(await load.agents(count // 10 + 2)), warm=20)
    for stored in (10, 500, 2_000):
        said = [
            {"role": "user" if number % 2 == 0 else "assistant", "content": f"message {number} about nothing"}
            for number in range(stored)
        ]
        agent = await load.agent(initial_message_sequence=said)
        await load.measure(f"plain turn, {stored} messages in context", count // 4, lambda a=agent: load.turn(a))  # type: ignore[misc]
    await load.default(call("memory_insert", label="human", new_string="x"), say("Noted."))
    work = load.turns_of(await load.agents(count // 20 + 2))
    await load.measure("turn with a memory tool (two requests)", count // 2, work)


async def measure_sandbox(load: Load, count: int) -> None:
    """Calls of a custom tool: alone, within turns, with a package, many at once, and very many."""
    body = {"source_code": SANDBOXED, "args": {"a": 1, "b": 2}}

    def run() -> Awaitable[Any]:
        return load.post("/v1/tools/run", body)

    began, before = time.perf_counter(), load.cpu(children=True)
    outcome = await run()
    if outcome.get("status") != "success":
        load.add("sandboxed call", figure="not possible here")
        return
    took = (time.perf_counter() - began) * 1000
    load.add("sandboxed call, the server's first", cpu_ms=(load.cpu(children=True) - before) * 1000, p50_ms=took)
    await load.measure("sandboxed call, warm", count // 4, run, children=True, pause_s=0.2)
    await load.measure("sandboxed call, one right after another", count // 4, run, children=True)
    await _measure_packages(load, count)
    tool = await load.post("/v1/tools/", {"source_code": SANDBOXED})
    await load.default(call("add", a=1, b=2), say("3"))
    agent = await load.agent(tool_ids=[tool["id"]])
    await load.measure("turn with a sandboxed tool (two requests)", count // 4, lambda: load.turn(agent), children=True)
    waits = sorted(await asyncio.gather(*(_timed(run()) for _ in range(50))))
    load.add(
        "50 sandboxed calls at once", p50_ms=waits[25], p95_ms=waits[47], figure=f"all in {waits[-1] / 1000:.2f} s"
    )
    await asyncio.sleep(1)
    load.add("what calls are forked from", figure=f"{_zygotes_mb(load.server):.1f} MB")
    before_mb = load.server.memory_info().rss / 1e6
    for _ in range(count * 5 // 8):
        await asyncio.gather(*(run() for _ in range(8)))
    grown = load.server.memory_info().rss / 1e6 - before_mb
    load.add(f"server, over {count * 5 // 8 * 8} calls more", figure=f"{before_mb:.1f} MB {grown:+.1f}")
    await _measure_cold(load, count)


async def _timed(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def _measure_packages(load: Load, count: int) -> None:
    """A call that needs a package: the first one installs it."""
    source = SANDBOXED.replace("return a + b", "import six\n    return a + b + len(six.PY3 * [0])")
    body = {"source_code": source, "args": {"a": 1, "b": 2}, "pip_requirements": [{"name": "six"}]}
    began = time.perf_counter()
    outcome = await load.post("/v1/tools/run", body)
    if outcome.get("status") != "success":
        load.add("sandboxed call with a package", figure="not possible here")
        return
    load.add("sandboxed call with a package, the first", p50_ms=(time.perf_counter() - began) * 1000)
    work = lambda: load.post("/v1/tools/run", body)  # noqa: E731 - measured below
    await load.measure("sandboxed call with a package, warm", count // 8, work, children=True, pause_s=0.2)


def _zygotes(server: psutil.Process) -> list[psutil.Process]:
    return [child for child in server.children() if "zygote.pyc" in " ".join(child.cmdline())]


def _zygotes_mb(server: psutil.Process) -> float:
    """What the processes hold from which calls are forked, their share of common pages included; all together."""
    held = sum(
        part.memory_full_info().pss
        for zygote in _zygotes(server)
        for part in (zygote, *zygote.children(recursive=True))
    )
    return float(held) / 1e6


async def _measure_cold(load: Load, count: int) -> None:
    """A call that finds no zygote: it starts the sandbox and the interpreter in it."""

    async def cold() -> None:
        for zygote in _zygotes(load.server):
            zygote.kill()
        await load.post("/v1/tools/run", {"source_code": SANDBOXED, "args": {"a": 1, "b": 2}})

    await load.measure("sandboxed call, cold", count // 8, cold, children=True, pause_s=0.2)


async def measure_clients(load: Load, count: int) -> None:
    """How many turns a second, by the number of clients."""
    await load.default(say("All right."))
    for clients in (1, 8, 32):
        agents = await load.agents(clients)
        each = max(4, min(40, count // clients))

        async def client(agent: str, times: int) -> None:
            for _ in range(times):
                await load.turn(agent)

        began = time.perf_counter()
        await asyncio.gather(*(client(agent, each) for agent in agents))
        took = time.perf_counter() - began
        load.add(f"{clients} clients, an agent each", figure=f"{clients * each / took:.0f} turns/s")


async def measure_tokens(load: Load) -> None:
    """A long reply, token by token."""
    await load.default(say(" ".join(f"w{number}" for number in range(400))))
    agent = await load.agent()
    events = 0

    async def streamed() -> None:
        nonlocal events
        body = {"input": "count", "streaming": True, "stream_tokens": True}
        async with load.http.stream("POST", f"/v1/agents/{agent}/messages", json=body) as answer:
            async for line in answer.aiter_lines():
                events += line.startswith("data: ")

    await streamed()
    events, before = 0, load.cpu()
    for _ in range(20):
        await streamed()
    load.add("streamed token", cpu_ms=(load.cpu() - before) * 1000 / events, figure=f"{events // 20} events a turn")


async def measure_agents(load: Load, count: int, crowd: int) -> None:
    """Making, reading and listing agents among many, and what belongs to one of them."""
    await load.measure("create an agent", count, load.agent)
    there = int((await load.http.get("/v1/agents/count")).json())
    for _ in range((crowd - there) // 8 + 1):
        await asyncio.gather(*(load.agent() for _ in range(8)))
    many = f"among {(await load.http.get('/v1/agents/count')).json()}"
    agent = await load.agent()
    whole = "include=agent.blocks&include=agent.tools&include=agent.tags"
    await load.measure(f"create an agent {many}", count, load.agent)
    await load.measure(f"retrieve an agent {many}", count, lambda: load.get(f"/v1/agents/{agent}"))
    await load.measure("… with blocks, tools and tags", count, lambda: load.get(f"/v1/agents/{agent}?{whole}"))
    await load.measure(f"list 50 agents {many}", count // 2, lambda: load.get("/v1/agents/?limit=50"))
    await load.measure("… with blocks, tools and tags", count // 4, lambda: load.get(f"/v1/agents/?limit=50&{whole}"))
    values = itertools.count()
    path = f"/v1/agents/{agent}/core-memory/blocks/human"
    await load.measure("update a block", count, lambda: load.patch(path, {"value": f"Ada, {next(values)}"}))


async def measure_messages(load: Load, count: int) -> None:
    """Pages of a long history, at its start and far from it."""
    said = [{"role": "user", "content": f"message {number} about nothing"} for number in range(5_000)]
    agent = await load.agent(initial_message_sequence=said)
    path = f"/v1/agents/{agent}/messages?limit=50"
    await load.measure("list 50 messages, the newest", count // 2, lambda: load.get(path))
    cursor = ""
    for _ in range(4):
        page = (await load.http.get(f"/v1/agents/{agent}/messages?limit=1000{cursor}")).json()
        cursor = f"&after={page[-1]['id']}"
    await load.measure("list 50 messages, 4,000 deep", count // 2, lambda: load.get(path + cursor))


@asynccontextmanager
async def stored_by_hand() -> AsyncIterator[Callable[[], None]]:
    """One transaction with two rows, as a turn at least needs."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE message (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT)")
        numbers = itertools.count()

        def store() -> None:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                row = (f"message-{next(numbers)}", "hello there")
                connection.execute("INSERT INTO message (id, body) VALUES (?, ?)", row)
            connection.execute("COMMIT")

        yield store
        connection.close()


async def measure_floor(provider: str, rows: Rows, count: int) -> None:
    """What nobody can do without: the request to the provider and one transaction, in this process."""
    await script(provider, say("All right."))
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}
    async with stored_by_hand() as store, httpx.AsyncClient(timeout=60) as http:

        async def once() -> None:
            async with http.stream("POST", f"{provider}/v1/chat/completions", json=body) as answer:
                async for _ in answer.aiter_lines():
                    pass
            store()

        for _ in range(20):
            await once()
        before = time.process_time()
        for _ in range(count):
            await once()
        rows.floor_ms = (time.process_time() - before) / count * 1000
    rows.add(Row("by hand", "one request to the provider, one transaction", cpu_ms=rows.floor_ms))


def measure_start(rows: Rows, environment: dict[str, str]) -> None:
    """Time to the first answer, schema already there, and memory at idle."""
    with tempfile.TemporaryDirectory() as folder:
        # Byte code is kept, as on any machine where the server is used, wherever this one writes none.
        kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/pycache"}
        server = Server(database_url=None, data_dir=Path(folder), environment={**environment, **kept})
        server.start()
        server.stop()
        waits, spent = [], []
        resident = 0
        for _ in range(5):
            began = time.perf_counter()
            process = psutil.Process(server.spawn().pid)
            wait_for_answer(server.port)
            waits.append((time.perf_counter() - began) * 1000)
            times = process.cpu_times()
            spent.append(times.user + times.system)
            resident = process.memory_info().rss
            server.stop()
        waits.sort()
        figure = f"{sorted(spent)[2]:.2f} CPU s"
        rows.add(Row("sqlite", "start to first answer", p50_ms=waits[2], p95_ms=waits[-1], figure=figure))
        rows.add(Row("sqlite", "resident at idle", figure=f"{resident / 1e6:.0f} MB"))


def wait_for_answer(port: int, timeout_s: float = 30) -> None:
    """Ask for the server's health until there is an answer; with plain sockets, to take no CPU from it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as line:
                line.sendall(b"GET /v1/health/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                if line.recv(64).startswith(b"HTTP/1.1 200"):
                    return
        except ConnectionError:
            time.sleep(0.005)
    raise TimeoutError("the server does not answer")


PARTS: Final[dict[str, Callable[[Load, int, int], Awaitable[None]]]] = {
    "turns": lambda load, count, _: measure_turns(load, count),
    "tokens": lambda load, _count, _: measure_tokens(load),
    "sandbox": lambda load, count, _: measure_sandbox(load, count),
    "clients": lambda load, count, _: measure_clients(load, count),
    "agents": measure_agents,
    "messages": lambda load, count, _: measure_messages(load, count),
    "runs": lambda load, count, _: measure_runs(load, count),
}


async def drive(database: str, provider: str, wanted: argparse.Namespace, rows: Rows) -> None:
    """The wanted parts over one database."""
    with silent_provider() as silent, database_urls(database) as url:
        environment = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": f"{provider}/v1", **settings_of(silent)}
        await _drive(url, environment, database, provider, wanted, rows)
        if database == "postgresql" and "runs" in wanted.part:
            await measure_takeover(
                url, environment, silent, lambda figure: rows.add(Row(database, TAKE_OVER, figure=figure))
            )


async def _drive(
    url: str, environment: dict[str, str], database: str, provider: str, wanted: argparse.Namespace, rows: Rows
) -> None:
    with running_server(url, environment) as server:
        load = Load(server, provider, database, rows)
        for name in wanted.part:
            await PARTS[name](load, wanted.count, wanted.crowd)
        load.add("resident after the load", figure=f"{load.server.memory_info().rss / 1e6:.0f} MB")
        await load.http.aclose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="plain turns to measure; other blocks follow from it")
    parser.add_argument("--crowd", type=int, default=10_000, help="how many agents there are when agents are measured")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--part", choices=[*PARTS, "start"], action="append", help="measure this only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    wanted = parser.parse_args()
    rows = Rows()
    with instant_provider() as provider:
        asyncio.run(measure_floor(provider, rows, wanted.count))
        parts = wanted.part or [*PARTS, "start"]
        if "start" in parts:
            measure_start(rows, {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": f"{provider}/v1"})
        wanted.part = [name for name in parts if name != "start"]
        for database in (wanted.database or ["sqlite", "postgresql"]) if wanted.part else []:
            asyncio.run(drive(database, provider, wanted, rows))
    if wanted.json:
        print(json.dumps([asdict(row) for row in rows.rows], indent=1))
    else:
        console.print(rows.table())


if __name__ == "__main__":
    main()
