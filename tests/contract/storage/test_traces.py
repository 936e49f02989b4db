"""What was said to providers, from the keeper's hand to the database and out of it again, on both databases."""

import zlib
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from sqlalchemy import select

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.background import traces as keeping
from reverie.background.traces import TraceKeeper, TraceOptions
from reverie.domain.agent import AgentDraft
from reverie.domain.errors import NotFound
from reverie.domain.ids import ConversationId, RunId, StepId, make_id
from reverie.domain.run import Run, Step
from reverie.domain.trace import Exchange
from reverie.operations import agents, sandboxes, steps
from reverie.operations.base import Operations
from reverie.storage import runs
from reverie.storage.schema import provider_traces

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NEWEST = select(provider_traces.c.content).order_by(provider_traces.c.seq.desc()).limit(1)


async def a_step(ops: Operations) -> Step:
    """A run of one step."""
    agent = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent
    run = Run(
        id=RunId(make_id("run")),
        organization_id=ME.organization_id,
        agent_id=agent.id,
        conversation_id=ConversationId(agent.id),
        created_at=NOW,
    )
    step = Step(
        id=StepId(make_id("step")),
        organization_id=ME.organization_id,
        run_id=run.id,
        agent_id=agent.id,
        conversation_id=run.conversation_id,
        model="parrot",
        model_handle="toy/parrot",
        created_at=NOW,
    )
    await ops.database.write(lambda c: runs.insert_run(c, run))
    await ops.database.write(lambda c: runs.insert_step(c, step))
    return step


def exchange(step: Step, created_at: datetime = NOW, request: bytes = b'{"n":1}') -> Exchange:
    return Exchange(
        organization_id=step.organization_id,
        agent_id=step.agent_id,
        run_id=step.run_id,
        step_id=step.id,
        llm_config={"model": "parrot"},
        request=request,
        response={"ok": True},
        latency_ns=5,
        created_at=created_at,
    )


def keeper(ops: Operations, days: float = 7.0) -> TraceKeeper:
    return TraceKeeper(ops.database, ops.cipher, lambda: NOW, TraceOptions(days=days))


async def test_old_traces_go_and_young_ones_stay(ops: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "BATCH", 2)
    made = [await a_step(ops) for _ in range(6)]
    kept = keeper(ops)
    for step, days in zip(made, (9, 8.5, 8, 7.5, 7.1, 6), strict=True):
        kept.keep(exchange(step, NOW - timedelta(days=days)))
    assert await kept.flush() == 6
    assert await kept.sweep() == 5
    assert [await steps.trace(ops, ME, step.id) is not None for step in made] == [False] * 5 + [True]


async def test_what_a_deleted_run_said_goes_with_it_and_hinders_nobody(ops: Operations) -> None:
    gone, stays = await a_step(ops), await a_step(ops)
    kept = keeper(ops)
    kept.keep(exchange(gone))
    assert await kept.flush() == 1
    await agents.delete(ops, ME, gone.agent_id)
    with pytest.raises(NotFound):
        await steps.trace(ops, ME, gone.id)
    kept.keep(exchange(gone))
    kept.keep(exchange(stays))
    assert await kept.flush() == 1
    found = await steps.trace(ops, ME, stays.id)
    assert found is not None
    assert (found.request, found.response, found.latency_ns) == ({"n": 1}, {"ok": True}, 5)


async def test_a_variable_is_hidden_as_soon_as_it_is_there(ops: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    step, gone, kept, shown = await a_step(ops), await a_step(ops), keeper(ops), []
    await agents.delete(ops, ME, gone.agent_id)

    async def store_and_look() -> None:
        kept.keep(exchange(step, request=b'{"said":"opensesame"}'))
        kept.keep(exchange(gone))
        assert await kept.flush() == 1
        found = await ops.database.read(lambda c: c.execute(NEWEST).scalar_one())
        shown.append(orjson.loads(zlib.decompress(found))["request"]["said"])

    await store_and_look()
    config = await sandboxes.upsert(ops, ME, None)  # through another server: this keeper is not told
    variable = await sandboxes.create_variable(ops, ME, config.id, key="VAULT", value="opensesame", description=None)
    await store_and_look()
    monkeypatch.setattr(keeping, "SMALL_BYTES", 0)
    await store_and_look()
    await sandboxes.delete_variable(ops, ME, variable.id)
    await store_and_look()
    await store_and_look()
    assert shown == ["opensesame", "[secret VAULT]", "[secret VAULT]", "opensesame", "opensesame"]


async def test_a_flood_is_dropped_and_never_fills_the_memory(ops: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_BYTES", 20)
    step = await a_step(ops)
    kept = keeper(ops)
    for _ in range(10):
        kept.keep(exchange(step, request=b'{"n":12345}'))
    assert await kept.flush() == 2
    kept.keep(exchange(step))
    assert await kept.flush() == 1
