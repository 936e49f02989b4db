"""What each server is asked, row by row."""

import asyncio
import itertools
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from bench.compare.driving import EMBEDDING, Comparison, Visitor, reason, said
from bench.compare.figures import FLOOR, Figure

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
SETTLED_S: Final = 150.0
"""For two minutes PostgreSQL tidies up what the first start wrote."""
IDLE_S: Final = 180.0
"""Three of PostgreSQL's looks for what to tidy up. A tick of 10 ms in one alone is a millisecond of a long turn."""
AT_ONCE: Final = 8
"""Requests together while something is prepared that is not measured."""
BATCH: Final = 200
"""Passages in one request, likewise."""
WORDS: Final = ("lantern", "heron", "marble", "orchard", "violin", "glacier", "harbour")
STORED: Final = "INSERT INTO floor_message (id, body) VALUES ({}, {})"


async def rest(run: Comparison) -> None:
    """What the servers take while nobody asks; always the first part."""
    await run.note("first start to first answer (s)", _told(lambda visitor: visitor.target.first_start_s))
    await run.note("start to first answer, tables there (s)", _told(lambda visitor: visitor.target.start_s))
    await run.note("installed (MB)", _told(lambda visitor: visitor.target.installed_mb))
    await run.note("memory at rest, server and database (MB)", _told(lambda visitor: sum(visitor.target.memory_mb())))
    await asyncio.sleep(SETTLED_S)
    before = [visitor.target.cpu() for visitor in run.visitors]
    await asyncio.sleep(IDLE_S)
    for visitor, (server, database) in zip(run.visitors, before, strict=True):
        now = visitor.target.cpu()
        visitor.idle = ((now[0] - server) / IDLE_S, (now[1] - database) / IDLE_S)
    figures = [Figure(server_ms=visitor.idle[0] * 1000, database_ms=visitor.idle[1] * 1000) for visitor in run.visitors]
    run.report.add("at rest, in a second", figures)
    await run.reply({"say": "All right."})


async def floor(run: Comparison) -> None:
    """What nobody can do without, by hand in this process: with SQLite, or over the server's own PostgreSQL."""
    count, figures = run.count(200), []
    for visitor in run.visitors:
        try:
            figures.append(await _floor(visitor, run.provider, count))
        except Exception as error:  # noqa: BLE001 - shown in the row
            figures.append(Figure(failure=reason(error)))
    run.report.add(FLOOR, figures)


async def _floor(visitor: Visitor, provider: str, count: int) -> Figure:
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}
    figure, spent = Figure(), 0.0
    async with _stored_by_hand(visitor.target.socket_folder) as store, httpx.AsyncClient(timeout=60) as http:
        database = 0.0
        for number in range(count + 20):
            if number == 20:
                database = visitor.target.cpu()[1]
            began, before = time.perf_counter(), time.process_time()
            async with http.stream("POST", f"{provider}/v1/chat/completions", json=body) as answer:
                async for _ in answer.aiter_lines():
                    pass
            await store(number)
            if number >= 20:
                spent += time.process_time() - before
                figure.waits_ms.append((time.perf_counter() - began) * 1000)
        figure.server_ms = spent / count * 1000
        figure.database_ms = (visitor.target.cpu()[1] - database) / count * 1000
    return figure


@asynccontextmanager
async def _stored_by_hand(socket_folder: Path | None) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """One transaction with two rows, as a turn at least needs."""
    if socket_folder is None:
        with tempfile.TemporaryDirectory() as folder:
            file = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
            file.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
            file.execute("CREATE TABLE floor_message (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT)")

            async def into_file(number: int) -> None:
                file.execute("BEGIN IMMEDIATE")
                for part in (0, 1):
                    file.execute(STORED.format("?", "?"), (f"message-{number}-{part}", "hello there"))
                file.execute("COMMIT")

            yield into_file
            file.close()
        return
    line = await asyncpg.connect(host=str(socket_folder), user="postgres", database="compared")
    await line.execute("CREATE TABLE floor_message (seq BIGSERIAL PRIMARY KEY, id TEXT UNIQUE, body TEXT)")

    async def into_cluster(number: int) -> None:
        async with line.transaction():
            for part in (0, 1):
                await line.execute(STORED.format("$1", "$2"), f"message-{number}-{part}", "hello there")

    yield into_cluster
    await line.execute("DROP TABLE floor_message")
    await line.close()


async def agents(run: Comparison) -> None:
    """Made, read, listed among a thousand; a block changed."""
    await run.alternate("create an agent", run.count(50), run.works(Visitor.agent))
    made = await run.each(Visitor.agent)
    retrieve = run.works(lambda visitor, agent: visitor.request("GET", f"/v1/agents/{agent}"), made)
    await run.alternate("retrieve an agent", run.count(100), retrieve)
    values = itertools.count()

    async def update(visitor: Visitor, agent: str) -> None:
        path = f"/v1/agents/{agent}/core-memory/blocks/human"
        await visitor.request("PATCH", path, {"value": f"Ada, {next(values)}"})

    await run.alternate("update a block", run.count(100), run.works(update, made))
    many = run.count(1000)

    async def fill(visitor: Visitor) -> None:
        there = int(await visitor.request("GET", "/v1/agents/count"))
        for left in range(many - there, 0, -AT_ONCE):
            await asyncio.gather(*(visitor.agent() for _ in range(min(AT_ONCE, left))))

    async def listed(visitor: Visitor, _: None) -> None:
        if len(found := await visitor.request("GET", f"/v1/agents/?limit={many}")) != many:
            raise RuntimeError(f"{len(found)} agents instead of {many}")

    filled = await run.each(fill)
    await run.alternate(f"list {many} agents", run.count(10), run.works(listed, filled), warm=1)


async def turns(run: Comparison) -> None:
    """Plain ones: thirty for each agent, so that contexts stay short."""
    places = itertools.count()
    made = await run.each(lambda visitor: visitor.agents(4))

    async def turn(visitor: Visitor, own: list[str]) -> None:
        await visitor.turn(own[next(places) // (30 * len(run.visitors)) % len(own)])

    await run.alternate("plain turn", run.count(100), run.works(turn, made))


async def tools(run: Comparison) -> None:
    """Turns with one call of a tool: two requests to the model."""
    await run.reply({"call": "memory_insert", "args": {"label": "human", "new_string": "x"}}, then="Noted.")
    made = await run.each(Visitor.agent)
    await run.alternate("turn with a memory tool", run.count(40), run.works(Visitor.turn, made))
    await run.reply({"call": "add", "args": {"a": 1, "b": 2}}, then="3")

    async def equipped(visitor: Visitor) -> str:
        tool = await visitor.request("POST", "/v1/tools/", {"source_code": TOOL})
        agent = await visitor.agent(tool_ids=[tool["id"]])
        answer = await visitor.request("POST", f"/v1/agents/{agent}/messages", said("What is 1 and 2?"))
        back = next(one for one in answer["messages"] if one["message_type"] == "tool_return_message")
        if back["status"] != "success" or "3" not in str(back["tool_return"]):
            raise RuntimeError(f"the tool does not work: {back['tool_return']}"[:300])
        return agent

    made = await run.each(equipped)
    await run.alternate("turn with a sandboxed tool", run.count(30), run.works(Visitor.turn, made), warm=1)
    await run.reply({"say": "All right."})


async def stream(run: Comparison) -> None:
    """Turns shown token by token, beside turns that are the same but for the number of tokens."""
    made = await run.each(Visitor.agent)
    later: list[list[float]] = [[] for _ in run.visitors]

    async def first(visitor: Visitor, agent: str, rest: list[float]) -> float:
        until_first, from_there = await visitor.streamed(agent)
        rest.append(from_there)
        return until_first

    texts = {tokens: {"say": " ".join(f"w{number}" for number in range(tokens))} for tokens in (2, TOKENS)}
    rows = []
    for tokens, text in texts.items():
        await run.reply(text)
        for times in later:
            times.clear()
        name = f"streamed turn of {tokens} tokens (waits: to the first)"
        rows.append(await run.alternate(name, run.count(30), run.works(first, made, later)))
    each = []
    for few, many, times in zip(*rows, later, strict=True):
        if few.cpu_ms is None or many.cpu_ms is None:
            each.append(Figure(failure=few.failure or many.failure))
            continue
        cpu = max(0.0, many.cpu_ms - few.cpu_ms) / (TOKENS - 2)
        each.append(Figure(server_ms=cpu, waits_ms=[one / (TOKENS - 1) * 1000 for one in times]))
    run.report.add("a token of it", each)
    await run.reply({"say": "All right."})


async def histories(run: Comparison) -> None:
    """Turns after few and many messages; these messages listed."""
    made: list[Any] = []
    for length in (10, 500, 2000):
        before = [
            {"role": "user" if number % 2 == 0 else "assistant", "content": f"message {number} about nothing"}
            for number in range(length)
        ]
        made = await run.each(lambda visitor, before=before: visitor.agent(initial_message_sequence=before))
        await run.alternate(f"plain turn after {length} messages", run.count(30), run.works(Visitor.turn, made))
    listing = run.works(lambda visitor, agent: visitor.request("GET", f"/v1/agents/{agent}/messages?limit=50"), made)
    await run.alternate("list 50 messages of them", run.count(50), listing)


async def archives(run: Comparison) -> None:
    """Passages inserted one by one; searches among a thousand and ten thousand, most of them put there in batches."""
    made = await run.each(_with_archive)
    numbers = [itertools.count() for _ in run.visitors]
    reached = [0 for _ in run.visitors]

    async def insert(visitor: Visitor, own: tuple[str, str], number: "itertools.count[int]") -> None:
        await visitor.request("POST", f"/v1/agents/{own[0]}/archival-memory", {"text": _note(next(number))})

    async def fill(visitor: Visitor, own: tuple[str, str], number: "itertools.count[int]", size: int) -> None:
        at = run.visitors.index(visitor)
        while (left := size - reached[at]) > 0:
            batch = [{"text": _note(next(number))} for _ in range(min(BATCH, left))]
            await visitor.request("POST", f"/v1/archives/{own[1]}/passages/batch", {"passages": batch})
            reached[at] += len(batch)

    async def search(visitor: Visitor, own: tuple[str, str], _: None) -> None:
        path = f"/v1/agents/{own[0]}/archival-memory/search?query=heron%20of%20marble&top_k=10"
        if len(found := (await visitor.request("GET", path))["results"]) != 10:
            raise RuntimeError(f"{len(found)} results instead of 10")

    count = run.count(60)
    await run.alternate("insert into archival memory", count, run.works(insert, made, numbers))
    reached[:] = [count + 2 for _ in run.visitors]
    for size in (run.count(1_000), run.count(10_000)):
        filled = await run.each(fill, made, numbers, [size for _ in made])
        await run.alternate(f"search among {size} passages", run.count(40), run.works(search, made, filled))


async def _with_archive(visitor: Visitor) -> tuple[str, str]:
    agent = await visitor.agent()
    archive = (await visitor.request("POST", "/v1/archives/", {"name": "notes", "embedding": EMBEDDING}))["id"]
    await visitor.request("PATCH", f"/v1/agents/{agent}/archives/attach/{archive}")
    return agent, archive


def _note(number: int) -> str:
    return f"Note {number}: the {WORDS[number % 7]} of {WORDS[number % 5 + 2]} was seen at {number % 24} o'clock."


async def clients(run: Comparison) -> None:
    """How many turns a second each server does alone, by the number of clients; then what it holds."""
    for number in (1, 8, 32):

        async def rate(visitor: Visitor, number: int = number) -> float:
            own = await visitor.agents(number)
            await asyncio.gather(*(visitor.turn(agent) for agent in own))
            times = max(2, run.count(96) // number)
            began = time.perf_counter()
            await asyncio.gather(*(_turns_of(visitor, agent, times) for agent in own))
            return number * times / (time.perf_counter() - began)

        await run.note(f"turns a second, {number} client{'s' * (number > 1)}", rate)
    await run.note(
        "memory after all this, server and database (MB)", _told(lambda visitor: sum(visitor.target.memory_mb()))
    )


async def _turns_of(visitor: Visitor, agent: str, times: int) -> None:
    for _ in range(times):
        await visitor.turn(agent)


def _told(tell: Callable[[Visitor], float]) -> Callable[[Visitor], Awaitable[float]]:
    async def told(visitor: Visitor) -> float:
        return tell(visitor)

    return told


PARTS: Final[dict[str, Callable[[Comparison], Awaitable[None]]]] = {
    part.__name__: part for part in (floor, agents, turns, tools, stream, histories, archives, clients)
}
