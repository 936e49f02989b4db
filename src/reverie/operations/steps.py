"""Steps: listed, read, judged."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.ids import StepId
from reverie.domain.message import Message, MessageFilter
from reverie.domain.paging import Page
from reverie.domain.run import Run, Step, StepFilter
from reverie.domain.trace import ProviderTrace
from reverie.operations.base import Operations
from reverie.storage import messages, runs, traces


async def list_steps(ops: Operations, caller: Caller, where: StepFilter, page: Page) -> list[Step]:
    """A page of the steps that meet `where`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: runs.list_steps(c, caller.organization_id, where, page))


async def retrieve(ops: Operations, caller: Caller, step_id: StepId) -> Step:
    """One step."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: runs.get_step(c, caller.organization_id, step_id))


async def retrieve_with_run(ops: Operations, caller: Caller, step_id: StepId) -> tuple[Step, Run]:
    """One step, and the run that it is part of."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[Step, Run]:
        step = runs.get_step(c, caller.organization_id, step_id)
        return step, runs.get(c, caller.organization_id, step.run_id)

    return await ops.database.read(read)


async def trace(ops: Operations, caller: Caller, step_id: StepId) -> ProviderTrace | None:
    """What was said to the provider; None: it was not kept, or is not any more."""
    caller.require(Scope.READ)
    await ops.settle_traces()

    def read(c: Connection) -> ProviderTrace | None:
        runs.get_step(c, caller.organization_id, step_id)
        return traces.of_step(c, caller.organization_id, step_id)

    return await ops.database.read(read)


async def list_messages(ops: Operations, caller: Caller, step_id: StepId, page: Page) -> list[Message]:
    """A page of the step's messages."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Message]:
        step = runs.get_step(c, caller.organization_id, step_id)
        # A fork holds copies of them, which are not what the step wrote.
        where = MessageFilter(step_id=step_id, conversation_id=step.conversation_id)
        return messages.list_page(c, caller.organization_id, where, page)

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
