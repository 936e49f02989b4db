"""Steps: listed, read, judged."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.ids import AgentId, StepId
from reverie.domain.message import Message, MessageKind
from reverie.domain.paging import Page
from reverie.domain.run import Step
from reverie.domain.trace import ProviderTrace
from reverie.operations.base import Operations
from reverie.storage import messages, runs, traces


async def list_steps(
    ops: Operations,
    caller: Caller,
    page: Page,
    *,
    agent_id: AgentId | None = None,
    model: str | None = None,
    feedback: Literal["positive", "negative"] | None = None,
    project_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Step]:
    """A page of steps that meet every given condition."""
    return await ops.database.read(
        lambda c: runs.list_steps(
            c,
            caller.organization_id,
            page,
            agent_id=agent_id,
            model=model,
            feedback=feedback,
            project_id=project_id,
            start=start,
            end=end,
        )
    )


async def retrieve(ops: Operations, caller: Caller, step_id: StepId) -> Step:
    """One step."""
    return await ops.database.read(lambda c: runs.get_step(c, caller.organization_id, step_id))


async def trace(ops: Operations, caller: Caller, step_id: StepId) -> ProviderTrace | None:
    """What was said to the provider; None: it was not kept, or is not any more."""
    caller.require(Scope.READ)
    await ops.settle_traces()

    def read(c: Connection) -> ProviderTrace | None:
        runs.get_step(c, caller.organization_id, step_id)
        return traces.of_step(c, caller.organization_id, step_id)

    return await ops.database.read(read)


async def list_messages(
    ops: Operations, caller: Caller, step_id: StepId, page: Page, *, kinds: Sequence[MessageKind] | None = None
) -> list[Message]:
    """A page of the step's messages."""

    def read(c: Connection) -> list[Message]:
        runs.get_step(c, caller.organization_id, step_id)
        return messages.list_page(c, caller.organization_id, page, step_id=step_id, kinds=kinds)

    return await ops.database.read(read)


async def judge(
    ops: Operations,
    caller: Caller,
    step_id: StepId,
    *,
    feedback: Literal["positive", "negative"] | None,
    tags: Sequence[str] | None = None,
) -> Step:
    """Store a person's judgement of the step; None takes it back."""
    caller.require(Scope.WRITE)

    def write(c: Connection) -> Step:
        step = runs.get_step(c, caller.organization_id, step_id)
        kept = step.tags if tags is None else tuple(tags)
        runs.update_step(c, step_id, {"feedback": feedback, "tags": kept})
        return replace(step, feedback=feedback, tags=kept)

    return await ops.database.write(write)
