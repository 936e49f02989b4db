"""Runs that are this process's by the database alone."""

import asyncio
from datetime import UTC, datetime

import pytest

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.domain.agent import AgentDraft
from reverie.domain.ids import ConversationId, RunId, make_id
from reverie.domain.run import Run
from reverie.operations import agents
from reverie.operations.base import Operations
from reverie.storage import conversations, runs

pytestmark = pytest.mark.one_database("sqlite")


async def test_a_claim_that_this_process_never_heard_of_holds_no_agent_for_ever(ops: Operations) -> None:
    agent = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent
    thread = ConversationId(agent.id)
    run = Run(
        id=RunId(make_id("run")),
        organization_id=ME.organization_id,
        agent_id=agent.id,
        conversation_id=thread,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        worker_id=ops.runs.worker_id,
    )
    await ops.database.write(lambda c: runs.insert_run(c, run))
    await ops.database.write(lambda c: conversations.claim(c, ME.organization_id, thread, run.id))
    ended = await asyncio.wait_for(ops.runs.cancel(ME.organization_id, run.id), 20)
    assert ended.status == "cancelled"
    held = await ops.database.read(lambda c: conversations.get(c, ME.organization_id, thread))
    assert held.active_run_id is None
