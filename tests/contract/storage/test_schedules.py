"""Schedules: each due time is fired at most once, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.background.schedules import ScheduleOptions, Schedules
from reverie.domain.agent import AgentDraft
from reverie.domain.content import TextPart, ToolCall
from reverie.domain.ids import AgentId, ConversationId, MessageId, make_id
from reverie.domain.inputs import SayInput
from reverie.domain.message import ApprovalRequestBody, Message, MessageFilter, UserBody
from reverie.domain.paging import Page
from reverie.domain.schedule import Once, Recurring, Schedule, ScheduleDraft, Timing
from reverie.operations import agents, schedules
from reverie.operations.base import Operations
from reverie.storage import messages
from tests.support.databases import opened
from tests.support.operations import operations_on

START = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
ALL = Page(limit=None, order="asc")


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def ops(url: str, clock: Hands) -> AsyncIterator[Operations]:
    async with opened(url) as database:
        ops = replace(operations_on(database), clock=clock)
        yield ops
        await ops.runs.drain(10)


def firing(ops: Operations, clock: Hands, grace_s: float = 3600.0) -> Schedules:
    return Schedules(ops.database, ops.runs, clock, ScheduleOptions(grace_s=grace_s))


async def fire(*all_of: Schedules) -> None:
    await asyncio.gather(*(one.fire_due() for one in all_of))
    await asyncio.gather(*(one.settle() for one in all_of))


async def agent_of(ops: Operations, timezone: str = "UTC") -> AgentId:
    return (await agents.create(ops, ME, AgentDraft(timezone=timezone))).agent.id


async def plan(ops: Operations, agent_id: AgentId, timing: Timing, text: str = "now") -> Schedule:
    said = (SayInput(role="user", parts=(TextPart(text=text),), otid="otid-1"),)
    return await schedules.create(ops, ME, agent_id, ScheduleDraft(timing=timing, inputs=said, max_steps=3))


async def said(ops: Operations, agent_id: AgentId) -> list[str]:
    thread = MessageFilter(conversation_id=agent_id)
    found = await ops.database.read(lambda c: messages.list_page(c, ME.organization_id, thread, ALL))
    return [part.text for item in found if isinstance(item.body, UserBody)
            for part in item.body.parts if isinstance(part, TextPart) and item.run_id]  # fmt: skip


def at(moment: datetime) -> Once:
    return Once(scheduled_at=moment.timestamp() * 1000)


async def test_a_message_for_one_time_is_sent_once_as_a_background_run(ops: Operations, clock: Hands) -> None:
    agent_id = await agent_of(ops)
    made = await plan(ops, agent_id, at(START + timedelta(minutes=5)))
    await fire(firing(ops, clock))
    assert await said(ops, agent_id) == []
    clock.now += timedelta(minutes=5)
    for _ in range(3):
        await fire(firing(ops, clock))
    assert await said(ops, agent_id) == ["now"]
    after = await schedules.retrieve(ops, ME, agent_id, made.id)
    assert (after.next_at, after.last_due_at, after.last_error) == (None, made.next_at, None)
    assert after.last_run_id is not None


@pytest.mark.parametrize("recurring", [False, True])
async def test_of_many_processes_one_fires(url: str, ops: Operations, clock: Hands, recurring: bool) -> None:
    agent_id = await agent_of(ops)
    timing = Recurring(cron_expression="0 9 * * *") if recurring else at(START + timedelta(minutes=30))
    await plan(ops, agent_id, timing)
    clock.now = START + timedelta(minutes=30)
    async with opened(url) as second, opened(url) as third:
        others = [replace(operations_on(database), clock=clock) for database in (second, third)]
        await fire(*(firing(each, clock) for each in (ops, *others)))
        for each in others:
            await each.runs.drain(10)
    assert await said(ops, agent_id) == ["now"]


async def test_of_the_missed_times_of_a_recurring_one_only_the_latest_is_sent(ops: Operations, clock: Hands) -> None:
    agent_id = await agent_of(ops)
    made = await plan(ops, agent_id, Recurring(cron_expression="0 9 * * *"))
    assert made.next_at == datetime(2026, 5, 1, 9, tzinfo=UTC)
    clock.now = datetime(2026, 5, 9, 12, tzinfo=UTC)
    await fire(firing(ops, clock))
    assert await said(ops, agent_id) == ["now"]
    after = await schedules.retrieve(ops, ME, agent_id, made.id)
    assert after.last_due_at == datetime(2026, 5, 9, 9, tzinfo=UTC)
    assert after.next_at == datetime(2026, 5, 10, 9, tzinfo=UTC)


@pytest.mark.parametrize(("late", "sent"), [(timedelta(minutes=59), ["now"]), (timedelta(minutes=61), [])])
async def test_a_missed_one_time_message_is_sent_within_the_grace(
    ops: Operations, clock: Hands, late: timedelta, sent: list[str]
) -> None:
    agent_id = await agent_of(ops)
    made = await plan(ops, agent_id, at(START))
    clock.now += late
    await fire(firing(ops, clock))
    assert await said(ops, agent_id) == sent
    after = await schedules.retrieve(ops, ME, agent_id, made.id)
    assert after.next_at is None
    assert (after.last_error is None) == bool(sent)
    assert sent or "missed" in str(after.last_error)


async def test_a_failure_is_recorded_and_stops_no_other(ops: Operations, clock: Hands) -> None:
    waiting, good = await agent_of(ops), await agent_of(ops)
    ask = ApprovalRequestBody(calls=(ToolCall(id="call-1", name="add", arguments="{}", requires_approval=True),))
    asked = Message(
        id=MessageId(make_id("message")),
        organization_id=ME.organization_id,
        agent_id=waiting,
        conversation_id=ConversationId(waiting),
        body=ask,
        created_at=clock(),
    )
    await ops.database.write(lambda c: messages.append(c, [asked]))
    stuck = await plan(ops, waiting, Recurring(cron_expression="0 9 * * *"))
    await plan(ops, good, Recurring(cron_expression="0 9 * * *"))
    clock.now += timedelta(hours=1)
    await fire(firing(ops, clock))
    assert await said(ops, good) == ["now"]
    after = await schedules.retrieve(ops, ME, waiting, stuck.id)
    assert "waiting for approval" in str(after.last_error)
    assert (after.last_run_id, after.last_due_at) == (None, stuck.next_at)
    assert after.next_at == datetime(2026, 5, 2, 9, tzinfo=UTC)


async def test_the_agents_time_zone_counts_unless_the_expression_names_one(ops: Operations) -> None:
    agent_id = await agent_of(ops, "America/New_York")
    mine = await plan(ops, agent_id, Recurring(cron_expression="0 9 * * *"))
    named = await plan(ops, agent_id, Recurring(cron_expression="CRON_TZ=Asia/Tokyo 0 9 * * *"))
    assert mine.next_at == datetime(2026, 5, 1, 13, tzinfo=UTC)
    assert named.next_at == datetime(2026, 5, 2, 0, tzinfo=UTC)


async def test_a_server_that_shuts_down_leaves_what_is_due_for_the_next_start(ops: Operations, clock: Hands) -> None:
    agent_id = await agent_of(ops)
    made = await plan(ops, agent_id, at(START + timedelta(minutes=1)))
    clock.now += timedelta(minutes=1)
    await ops.runs.drain(1)
    await fire(firing(ops, clock))
    assert (await schedules.retrieve(ops, ME, agent_id, made.id)) == made


async def test_schedules_go_with_their_agent(ops: Operations, clock: Hands) -> None:
    agent_id = await agent_of(ops)
    await plan(ops, agent_id, at(START + timedelta(minutes=1)))
    await agents.delete(ops, ME, agent_id)
    clock.now += timedelta(minutes=1)
    assert await firing(ops, clock).fire_due() == 0
