"""What each server is asked: the same requests, one server after the other, so that all meet the same machine."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import httpx

from bench.compare.targets import Target

EMBEDDING: Final = "openai/text-embedding-3-small"
TOOL: Final = '''
def add(a: int, b: int) -> int:
    """Add.

    Args:
        a: one
        b: other
    """
    return a + b
'''
TOKENS: Final = 200
SETTLE_S: Final = 1.0
"""After each block, so that what a server does behind its answer is counted with it."""
Work = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Figure:
    """One operation on one server."""

    server_ms: float | None = None
    """CPU of its processes for each operation."""
    database_ms: float | None = None
    waits_ms: list[float] = field(default_factory=list)
    other: float | None = None
    """What is no time: turns a second, megabytes, seconds."""

    @property
    def cpu_ms(self) -> float | None:
        """Server and database together."""
        return None if self.server_ms is None else self.server_ms + (self.database_ms or 0.0)

    def quantile(self, part: float) -> float | None:
        """The wait that `part` of the operations do not exceed, in milliseconds."""
        return (
            sorted(self.waits_ms)[min(len(self.waits_ms) - 1, int(len(self.waits_ms) * part))]
            if self.waits_ms
            else None
        )


Rows = dict[str, list[Figure]]


class Visitor:
    """Talks to one server."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._http = httpx.AsyncClient(
            base_url=target.url,
            timeout=600,
            headers={"x-stainless-package-version": "1.12.1"},
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
        )

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON."""
        answer = await self._http.request(method, path, json=body)
        if answer.is_error:
            raise RuntimeError(f"{self.target.name}: {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    async def agent(self, **more: Any) -> str:
        """A fresh agent's id."""
        body = {
            "model": self.target.model,
            "embedding": EMBEDDING,
            "memory_blocks": [{"label": "human", "value": "Ada"}, {"label": "persona", "value": "kind"}],
            **more,
        }
        return str((await self.request("POST", "/v1/agents/", body))["id"])

    async def turn(self, agent: str) -> None:
        """One blocking turn."""
        await self.request("POST", f"/v1/agents/{agent}/messages", _said("hello there"))

    async def streamed(self, agent: str) -> float:
        """One streamed turn; returns the seconds until its first token."""
        body = {**_said("count"), "stream_tokens": True}
        began, first = time.perf_counter(), 0.0
        async with self._http.stream("POST", f"/v1/agents/{agent}/messages/stream", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if not first and "assistant_message" in line:
                    first = time.perf_counter() - began
        assert first, "no token came"
        return first

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


class Comparison:
    """Drives all servers and keeps the figures."""

    def __init__(self, targets: Sequence[Target], provider: str, scale: float, tell: Callable[[str], None]) -> None:
        self.visitors = [Visitor(target) for target in targets]
        self.rows: Rows = {}
        self._provider = provider
        self._scale = scale
        self._tell = tell

    def count(self, usual: int) -> int:
        """How often something is done at this scale."""
        return max(3, round(usual * self._scale))

    async def reply(self, *parts: Any, then: str | None = None) -> None:
        """Let the provider answer so from now on; `then` after the results of tools."""
        body: dict[str, Any] = {"first": {"parts": list(parts)}}
        if then is not None:
            body["after_tools"] = {"parts": [{"say": then}]}
        async with httpx.AsyncClient() as http:
            (await http.post(f"{self._provider}/_default", json=body)).raise_for_status()

    async def each(self, make: Callable[[Visitor], Awaitable[Any]]) -> list[Any]:
        """Prepare something on each server."""
        return [await make(visitor) for visitor in self.visitors]

    async def alternate(self, what: str, count: int, works: Sequence[Work], *, warm: int = 2) -> None:
        """Do each server's work in turn, `count` times; a number that it returns is the wait in seconds."""
        for work, _ in itertools.product(works, range(warm)):
            await work()
        await asyncio.sleep(SETTLE_S)
        figures = [Figure() for _ in works]
        before = [visitor.target.cpu() for visitor in self.visitors]
        for _ in range(count):
            for figure, work in zip(figures, works, strict=True):
                began = time.perf_counter()
                told = await work()
                waited = told if isinstance(told, float) else time.perf_counter() - began
                figure.waits_ms.append(waited * 1000)
        await asyncio.sleep(SETTLE_S)
        for figure, visitor, (server, database) in zip(figures, self.visitors, before, strict=True):
            now = visitor.target.cpu()
            figure.server_ms = (now[0] - server) / count * 1000
            figure.database_ms = (now[1] - database) / count * 1000
        self.rows[what] = figures
        shown = " · ".join(f"{figure.cpu_ms:.1f} ms CPU, p50 {median(figure.waits_ms):.1f}" for figure in figures)
        self._tell(f"{what}: {shown}")

    def note(self, what: str, values: Sequence[float]) -> None:
        """Keep figures that are no times."""
        self.rows[what] = [Figure(other=value) for value in values]
        self._tell(f"{what}: {' · '.join(f'{value:.1f}' for value in values)}")

    def works(self, work: Callable[..., Awaitable[Any]], *given: Sequence[Any]) -> list[Work]:
        """One work for each server, of what was prepared there."""
        return [
            lambda visitor=visitor, parts=parts: work(visitor, *parts)  # type: ignore[misc]
            for visitor, *parts in zip(self.visitors, *given, strict=True)
        ]


async def compare(targets: Sequence[Target], provider: str, scale: float, tell: Callable[[str], None]) -> Rows:
    """Every figure, by what was measured."""
    run = Comparison(targets, provider, scale, tell)
    run.note("start to first answer (s)", [target.start_s for target in targets])
    run.note("memory at rest, server and database (MB)", [sum(target.memory_mb()) for target in targets])
    await run.reply({"say": "All right."})
    for part in (_agents, _turns, _tools, _stream, _histories, _archives, _clients):
        await part(run)
    run.note("memory after all this, server and database (MB)", [sum(target.memory_mb()) for target in targets])
    run.note("installed (MB)", [target.installed_mb for target in targets])
    for visitor in run.visitors:
        await visitor.aclose()
    return run.rows


async def _agents(run: Comparison) -> None:
    await run.alternate("create an agent", run.count(40), run.works(Visitor.agent))
    agents = await run.each(Visitor.agent)
    retrieve = run.works(lambda visitor, agent: visitor.request("GET", f"/v1/agents/{agent}"), agents)
    await run.alternate("retrieve an agent", run.count(100), retrieve)
    values = itertools.count()

    async def update(visitor: Visitor, agent: str) -> None:
        path = f"/v1/agents/{agent}/core-memory/blocks/human"
        await visitor.request("PATCH", path, {"value": f"Ada, {next(values)}"})

    await run.alternate("update a block", run.count(100), run.works(update, agents))
    many = run.count(1000)
    for visitor in run.visitors:
        there = int(await visitor.request("GET", "/v1/agents/count"))
        for _ in range(max(0, many - there) // 4 + 1):
            await asyncio.gather(*(visitor.agent() for _ in range(4)))
    listing = run.works(lambda visitor: visitor.request("GET", f"/v1/agents/?limit={many}"))
    await run.alternate(f"list {many} agents", run.count(5), listing, warm=1)


async def _turns(run: Comparison) -> None:
    places = itertools.count()
    agents = await run.each(lambda visitor: _several(visitor, 12))

    async def turn(visitor: Visitor, own: list[str]) -> None:
        await visitor.turn(own[next(places) // 30 % len(own)])

    await run.alternate("plain turn", run.count(100), run.works(turn, agents))


async def _several(visitor: Visitor, count: int, **more: Any) -> list[str]:
    return [await visitor.agent(**more) for _ in range(count)]


async def _tools(run: Comparison) -> None:
    await run.reply({"call": "memory_insert", "args": {"label": "human", "new_string": "x"}}, then="Noted.")
    agents = await run.each(Visitor.agent)
    await run.alternate("turn with a memory tool", run.count(30), run.works(Visitor.turn, agents))
    await run.reply({"call": "add", "args": {"a": 1, "b": 2}}, then="3")

    async def equipped(visitor: Visitor) -> str:
        tool = await visitor.request("POST", "/v1/tools/", {"source_code": TOOL})
        return await visitor.agent(tool_ids=[tool["id"]])

    agents = await run.each(equipped)
    await run.alternate("turn with a sandboxed tool", run.count(15), run.works(Visitor.turn, agents))


async def _stream(run: Comparison) -> None:
    await run.reply({"say": " ".join(f"w{number}" for number in range(TOKENS))})
    agents = await run.each(Visitor.agent)
    name = f"streamed turn of {TOKENS} tokens (waits: to the first token)"
    await run.alternate(name, run.count(15), run.works(Visitor.streamed, agents))
    whole, plain = run.rows[name], run.rows["plain turn"]
    each = [max(0.0, (a.cpu_ms or 0) - (b.cpu_ms or 0)) / TOKENS for a, b in zip(whole, plain, strict=True)]
    run.rows["a token of it"] = [Figure(server_ms=cpu) for cpu in each]
    await run.reply({"say": "All right."})


async def _histories(run: Comparison) -> None:
    for length in (10, 500, 2000):
        said = [
            {"role": "user" if number % 2 == 0 else "assistant", "content": f"message {number} about nothing"}
            for number in range(length)
        ]
        agents = await run.each(lambda visitor, said=said: visitor.agent(initial_message_sequence=said))  # type: ignore[misc]
        await run.alternate(f"plain turn after {length} messages", run.count(15), run.works(Visitor.turn, agents))
    listing = run.works(lambda visitor, agent: visitor.request("GET", f"/v1/agents/{agent}/messages?limit=50"), agents)
    await run.alternate("list 50 messages of them", run.count(50), listing)


async def _archives(run: Comparison) -> None:
    agents = await run.each(Visitor.agent)
    numbers = [itertools.count() for _ in agents]

    async def insert(visitor: Visitor, agent: str, number: "itertools.count[int]") -> None:
        text = f"Note {(at := next(number))}: the {WORDS[at % 7]} of {WORDS[at % 5 + 2]} was seen at {at % 24} o'clock."
        await visitor.request("POST", f"/v1/agents/{agent}/archival-memory", {"text": text})

    async def search(visitor: Visitor, agent: str) -> None:
        await visitor.request("GET", f"/v1/agents/{agent}/archival-memory/search?query=heron%20of%20marble&top_k=10")

    await run.alternate("insert into archival memory", run.count(40), run.works(insert, agents, numbers))
    for size in (run.count(1_000), run.count(10_000)):
        for visitor, agent, number in zip(run.visitors, agents, numbers, strict=True):
            while (left := size - _reached(number)) > 0:
                await asyncio.gather(*(insert(visitor, agent, number) for _ in range(min(8, left))))
        await run.alternate(f"search among {size} passages", run.count(20), run.works(search, agents))


WORDS: Final = ("lantern", "heron", "marble", "orchard", "violin", "glacier", "harbour")


def _reached(number: "itertools.count[int]") -> int:
    return int(repr(number).partition("(")[2].rstrip(")"))


async def _clients(run: Comparison) -> None:
    """How many turns a second each server does alone, by the number of clients."""
    for clients in (1, 8, 32):
        rates = []
        for visitor in run.visitors:
            async with _own_agents(visitor, clients) as agents:
                times = max(2, run.count(64) // clients)
                began = time.perf_counter()
                await asyncio.gather(*(_turns_of(visitor, agent, times) for agent in agents))
                rates.append(clients * times / (time.perf_counter() - began))
        run.note(f"turns a second, {clients} clients", rates)


@asynccontextmanager
async def _own_agents(visitor: Visitor, count: int) -> AsyncIterator[list[str]]:
    agents = await _several(visitor, count)
    await asyncio.gather(*(visitor.turn(agent) for agent in agents))
    yield agents


async def _turns_of(visitor: Visitor, agent: str, times: int) -> None:
    for _ in range(times):
        await visitor.turn(agent)


def as_json(rows: Rows) -> str:
    """The figures, for whoever wants to reckon with them."""
    return json.dumps(
        {
            what: [
                {
                    "server_ms": item.server_ms, "database_ms": item.database_ms, "p50_ms": item.quantile(0.5),
                    "p95_ms": item.quantile(0.95), "other": item.other,
                }
                for item in figures
            ]
            for what, figures in rows.items()
        },
        indent=1,
    )  # fmt: skip
