"""What travels together to the database, and what must not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.util import await_only

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.domain.agent import AgentDraft
from reverie.domain.errors import Busy, RunLost
from reverie.domain.ids import AgentId, ConversationId
from reverie.domain.inputs import Request, SayInput
from reverie.domain.message import AssistantBody, text_parts
from reverie.domain.run import Usage
from reverie.domain.stop_reason import StopReason
from reverie.loop.state import TurnState, new_message
from reverie.operations import agents
from reverie.operations.base import Operations
from reverie.runs.acceptance import Acceptor, Waits, Wish, begin
from reverie.runs.bells import Bells
from reverie.storage import bells, conversations, endings, messages, runs
from reverie.storage.database import Database
from reverie.storage.together import aside

LONG_S = 20
BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def acceptor() -> Acceptor:
    return Acceptor(worker_id="worker-here", now=datetime.now(UTC), when_busy="enqueue")


def end(c: Connection, turn: TurnState) -> None:
    now, reason = datetime.now(UTC), StopReason.END_TURN
    runs.end_run(c, turn.run, stop_reason=reason, usage=Usage(), now=now, ttft_ns=None, total_duration_ns=None)
    endings.leave(c, turn.run, now=now, duration_ms=1, stop_reason=reason)


@asynccontextmanager
async def listening(database: Database) -> AsyncIterator["asyncio.Queue[str | None]"]:
    """The bells of lines that are rung from now on."""
    ears, heard = Bells(database), asyncio.Queue[str | None]()
    ears.on("line", heard.put_nowait)
    ears.start()
    assert await heard.get() is None
    yield heard
    await ears.close()


@pytest.fixture
async def wish(ops: Operations) -> Wish:
    agent = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent
    said = Request(inputs=(SayInput(role="user", parts=text_parts("hi")),))
    return Wish(organization_id=ME.organization_id, conversation_id=ConversationId(agent.id), request=said)


@pytest.fixture
async def turn(ops: Operations, wish: Wish) -> TurnState:
    begun = await ops.database.write(lambda c: begin(c, wish, acceptor()))
    assert isinstance(begun, TurnState)
    return begun


async def test_who_lost_a_run_writes_nothing_more_of_it(ops: Operations, turn: TurnState) -> None:
    words = new_message(turn.view, AssistantBody(parts=text_parts("mine")), datetime.now(UTC), run=turn.run)
    await ops.database.write(lambda c: runs.take_over(c, turn.run, "worker-elsewhere"))

    def write(c: Connection) -> None:
        messages.append(c, [words])
        runs.hold_fence(c, turn.run, {"usage": Usage(step_count=1)})

    with pytest.raises(RunLost):
        await ops.database.write(write)
    stored = await ops.database.read(lambda c: messages.load_context(c, turn.run.conversation_id))
    assert words.id not in [message.id for message in stored]


async def test_a_run_whose_agent_was_deleted_is_lost(ops: Operations, turn: TurnState) -> None:
    words = new_message(turn.view, AssistantBody(parts=text_parts("late")), datetime.now(UTC), run=turn.run)
    await agents.delete(ops, ME, turn.run.agent_id)

    def write(c: Connection) -> None:
        runs.hold_fence(c, turn.run, {"usage": Usage(step_count=1)})
        messages.append(c, [words])

    with pytest.raises(RunLost):
        await ops.database.write(write)


async def test_a_savepoint_takes_back_what_was_written_in_it_and_no_more(ops: Operations, turn: TurnState) -> None:
    words = new_message(turn.view, AssistantBody(parts=text_parts("taken back")), datetime.now(UTC), run=turn.run)

    def write(c: Connection) -> None:
        runs.hold_fence(c, turn.run, {"usage": Usage(step_count=3)})
        nested = c.begin_nested()
        messages.append(c, [words])
        nested.rollback()

    await ops.database.write(write)
    stored = await ops.database.read(lambda c: messages.load_context(c, turn.run.conversation_id))
    assert words.id not in [message.id for message in stored]
    assert (await ops.database.read(lambda c: runs.get_any(c, turn.run.id))).usage.step_count == 3


async def test_what_is_read_sees_what_was_written_before(ops: Operations, turn: TurnState) -> None:
    words = [new_message(turn.view, AssistantBody(parts=text_parts(said)), datetime.now(UTC)) for said in "abc"]
    statements: list[str] = []

    def write(c: Connection) -> list[str]:
        event.listen(c, "before_cursor_execute", lambda _c, _cursor, statement, *_: statements.append(statement))
        for message in words:
            messages.append(c, [message])
        runs.hold_fence(c, turn.run, {"usage": Usage(step_count=7)})
        runs.hold_fence(c, turn.run, {"tools_used": ["add"]})
        stored = messages.load_context(c, turn.run.conversation_id)
        assert runs.get_any(c, turn.run.id).usage.step_count == 7
        assert runs.get_any(c, turn.run.id).tools_used == ("add",)
        return [message.id for message in stored]

    stored = await ops.database.write(write)
    assert stored[-3:] == [message.id for message in words], "in the order in which they were written"
    if ops.database.dialect.name == "postgresql":
        both = [one for one in statements if "INSERT INTO messages" in one and "UPDATE runs" in one]
        assert len(both) == 1, "the last message travels with the usage"


async def test_what_is_read_aside_lets_wait_what_was_written(ops: Operations, turn: TurnState) -> None:
    words = new_message(turn.view, AssistantBody(parts=text_parts("later")), datetime.now(UTC), run=turn.run)

    def write(c: Connection, *, fails: bool) -> None:
        runs.hold_fence(c, turn.run, {"usage": Usage(step_count=5)})
        messages.append(c, [words])
        with aside(c):
            seen = runs.get_any(c, turn.run.id)
        assert seen.usage.step_count == (0 if ops.database.dialect.writes_together() else 5)
        if fails:
            raise Busy("conversation", "run")

    async def stored() -> tuple[int | None, bool]:
        run = await ops.database.read(lambda c: runs.get_any(c, turn.run.id))
        context = await ops.database.read(lambda c: messages.load_context(c, turn.run.conversation_id))
        return run.usage.step_count, words.id in [message.id for message in context]

    with pytest.raises(Busy):
        await ops.database.write(lambda c: write(c, fails=True))
    assert await stored() == (0, False)
    await ops.database.write(lambda c: write(c, fails=False))
    assert await stored() == (5, True)


@pytest.mark.one_database("postgresql")  # SQLite has one writer, so nothing comes in between there
async def test_the_end_of_a_run_sees_who_was_just_about_to_wait(ops: Operations, wish: Wish, turn: TurnState) -> None:
    stands_there, goes_on = asyncio.Event(), asyncio.Event()

    def come(c: Connection) -> object:
        found = begin(c, wish, acceptor())
        stands_there.set()
        await_only(goes_on.wait())
        return found

    async with asyncio.timeout(LONG_S), listening(ops.database) as heard:
        comes = asyncio.create_task(ops.database.write(come))
        await stands_there.wait()
        ends = asyncio.create_task(ops.database.write(lambda c: end(c, turn)))
        while not ends.done() and not await ops.database.read(lambda c: c.execute(BLOCKED).scalar_one()):  # noqa: ASYNC110 (only the database has it)
            await asyncio.sleep(0.01)
        goes_on.set()
        assert isinstance(await comes, Waits)
        await ends
        await ops.database.write(lambda c: bells.ring(c, "line", ["nothing more"]))
        assert await heard.get() == wish.conversation_id, "nobody would ever tell who waits that it is free"


async def _has_a_turn(ops: Operations, wish: Wish) -> None:
    state = await ops.database.write(lambda c: begin(c, wish, acceptor()))
    assert isinstance(state, TurnState)
    await ops.database.write(lambda c: end(c, state))


async def _is_at_work(ops: Operations, wish: Wish) -> None:
    await ops.database.write(lambda c: begin(c, wish, acceptor()))


async def _forgets_all(ops: Operations, wish: Wish) -> None:
    def reset(c: Connection) -> None:
        conversations.hold_all_of(c, AgentId(wish.conversation_id))
        messages.delete_all(c, wish.conversation_id, keep_prompt=True)

    await ops.database.write(reset)


async def _drops_all(ops: Operations, wish: Wish) -> None:
    def compact(c: Connection) -> None:
        conversations.hold(c, wish.organization_id, wish.conversation_id)
        messages.set_context(c, wish.conversation_id, [])

    await ops.database.write(compact)


@pytest.mark.one_database("postgresql")  # SQLite has one writer
@pytest.mark.parametrize(
    ("other", "in_context"), [(_has_a_turn, 4), (_is_at_work, 3), (_forgets_all, 2), (_drops_all, 2)]
)
async def test_who_is_overtaken_on_the_way_to_a_conversation_begins_again(
    ops: Operations, wish: Wish, other: Callable[[Operations, Wish], Coroutine[Any, Any, None]], in_context: int
) -> None:
    await _has_a_turn(ops, wish)
    tries = 0

    def write(c: Connection) -> TurnState | Waits:
        nonlocal tries
        tries += 1
        found = begin(c, wish, acceptor())
        if tries == 1:  # it has read all, and written nothing yet
            await_only(other(ops, wish))
        return found

    found = await ops.database.write(write)
    assert tries == 2
    stored = await ops.database.read(lambda c: messages.load_context(c, wish.conversation_id))
    assert len(stored) == in_context
    if isinstance(found, Waits):
        assert other is _is_at_work
    else:
        assert [message.id for message in found.view.context] == [message.id for message in stored]
