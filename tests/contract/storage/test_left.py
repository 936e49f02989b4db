"""The database goes away in the moment in which something is taken: nothing may stay taken that nobody sees to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.domain.agent import AgentDraft
from reverie.domain.clock import utc_now
from reverie.domain.content import TextPart
from reverie.domain.errors import DatabaseUnavailable
from reverie.domain.ids import ConversationId, RunId
from reverie.domain.inputs import Request, SayInput
from reverie.domain.run import Run
from reverie.models.base import Chunk, Prompt
from reverie.operations import agents
from reverie.operations.base import Operations
from reverie.runs.workers import Worker, settle_dead_run
from reverie.storage import conversations, runs, schema, waiting
from reverie.storage.database import Database
from reverie.storage.waiting import Place
from tests.support.operations import Parrot, operations_on

LONG_S = 20
LINE = select(func.count()).select_from(schema.waiting)


class Line:
    """The line to the database: it can be cut before a transaction, or after it was committed."""

    def __init__(self, ops: Operations) -> None:
        self._write = ops.database.write
        self.cut: str | None = None
        self.lost = asyncio.Event()
        ops.database.write = self.write  # type: ignore[method-assign]

    async def reach(self, fn: Callable[[Any], Any]) -> Any:
        """Write over a line that is not cut."""
        return await self._write(fn)

    async def write(self, fn: Callable[[Any], Any]) -> Any:
        cut = self.cut
        if cut is None:
            return await self._write(fn)
        if cut == "after":
            self.cut = None
            await self._write(fn)
        self.lost.set()
        raise DatabaseUnavailable("cut")


@pytest.fixture
def ops(db: Database) -> Operations:
    return operations_on(db, attempts=2)


@pytest.fixture
async def line(ops: Operations) -> AsyncIterator[Line]:
    await ops.runs.start()
    yield Line(ops)
    await ops.runs.close()


@pytest.fixture
async def thread(ops: Operations) -> ConversationId:
    return ConversationId((await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id)


async def ends(ops: Operations, run_id: RunId) -> Run:
    async with asyncio.timeout(LONG_S):
        async for _ in ops.runs.follow(ME.organization_id, run_id):
            pass
    return await ops.database.read(lambda c: runs.get(c, ME.organization_id, run_id))


async def send(ops: Operations, thread: ConversationId) -> Run:
    said = Request(inputs=(SayInput(role="user", parts=(TextPart(text="hi"),)),))
    async with asyncio.timeout(LONG_S):
        handle = await ops.runs.send(ME.organization_id, thread, said)
    return await ends(ops, handle.run.id)


async def somebody_else(ops: Operations, thread: ConversationId) -> Place:
    """Another client, who stands in line before all that come."""
    place = Place(
        id="place-1", organization_id=ME.organization_id, conversation_id=thread, worker_id=ops.runs.worker_id
    )
    await ops.database.write(lambda c: waiting.enter(c, place))
    return place


async def test_a_run_whose_acceptance_was_not_heard_of_lets_the_next_one_in(
    ops: Operations, line: Line, thread: ConversationId
) -> None:
    line.cut = "after"
    with pytest.raises(DatabaseUnavailable):
        await send(ops, thread)
    assert (await ops.database.read(lambda c: conversations.get(c, ME.organization_id, thread))).active_run_id
    assert (await send(ops, thread)).status == "completed"


async def test_a_place_in_line_that_was_not_heard_of_lets_the_next_one_in(
    ops: Operations, line: Line, thread: ConversationId
) -> None:
    place = await somebody_else(ops, thread)
    line.cut = "after"
    with pytest.raises(DatabaseUnavailable):
        await send(ops, thread)
    await ops.database.write(lambda c: waiting.give_up(c, place.id))
    assert await ops.database.read(lambda c: waiting.first(c, thread))
    assert (await send(ops, thread)).status == "completed"


async def test_a_place_in_line_that_could_not_be_given_up_lets_the_next_one_in(
    ops: Operations, line: Line, thread: ConversationId
) -> None:
    place = await somebody_else(ops, thread)
    waits = asyncio.create_task(send(ops, thread))
    async with asyncio.timeout(LONG_S):
        while await ops.database.read(lambda c: c.execute(LINE).scalar_one()) < 2:  # noqa: ASYNC110 (only the database has it)
            await asyncio.sleep(0.01)
    line.cut = "before"
    with pytest.raises(DatabaseUnavailable):
        await waits
    line.cut = None
    await ops.database.write(lambda c: waiting.give_up(c, place.id))
    assert await ops.database.read(lambda c: waiting.first(c, thread))
    assert (await send(ops, thread)).status == "completed"


async def test_a_background_run_whose_start_was_not_heard_of_is_gone_on_with(
    ops: Operations, line: Line, thread: ConversationId
) -> None:
    place = await somebody_else(ops, thread)
    said = Request(inputs=(SayInput(role="user", parts=(TextPart(text="hi"),)),), background=True)
    handle = await ops.runs.submit(ME.organization_id, thread, said)
    await ops.database.write(lambda c: waiting.give_up(c, place.id))
    line.cut = "after"
    ops.runs.work()
    await line.lost.wait()
    assert (await ends(ops, handle.run.id)).status == "completed"


async def driven(
    ops: Operations, thread: ConversationId, monkeypatch: pytest.MonkeyPatch, answer: asyncio.Event
) -> RunId:
    """A background run whose model waits with its answer."""
    asked = asyncio.Event()
    stream = Parrot.stream

    async def hang(self: Parrot, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        asked.set()
        await answer.wait()
        async for chunk in stream(self, prompt):
            yield chunk

    monkeypatch.setattr(Parrot, "stream", hang)
    ops.runs.work()
    said = Request(inputs=(SayInput(role="user", parts=(TextPart(text="hi"),)),), background=True)
    handle = await ops.runs.submit(ME.organization_id, thread, said)
    await asked.wait()
    return handle.run.id


async def test_a_background_run_cancelled_while_the_database_is_away_is_not_gone_on_with(
    ops: Operations, line: Line, thread: ConversationId, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await driven(ops, thread, monkeypatch, asyncio.Event())
    line.cut = "before"
    async with asyncio.timeout(LONG_S):
        await ops.runs.cancel(ME.organization_id, run_id)
    line.cut = None
    assert (await ends(ops, run_id)).status == "cancelled"


async def test_two_that_see_the_same_process_dead_put_its_run_back_once(
    ops: Operations, line: Line, thread: ConversationId, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asyncio.Event()
    run_id = await driven(ops, thread, monkeypatch, answer)
    (seen,) = await ops.database.read(lambda c: runs.live_runs(c, worker_ids=[ops.runs.worker_id]))
    line.cut = "before"  # whoever drives it is as good as dead
    for name in ("one", "another"):
        other = Worker(name, "elsewhere", 1)
        await line.reach(lambda c: settle_dead_run(c, other, seen, utc_now(), attempts=2))  # noqa: B023
    assert await ops.database.read(lambda c: c.execute(LINE).scalar_one()) == 1
    assert (await ops.database.read(lambda c: runs.get(c, ME.organization_id, run_id))).fence == seen.fence + 1
    line.cut = None
    answer.set()
