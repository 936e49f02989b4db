"""Runs and steps: listed, read, followed, cancelled."""

from collections.abc import AsyncGenerator, Sequence

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict
from reverie.domain.events import Event
from reverie.domain.ids import AgentId, ConversationId, RunId
from reverie.domain.message import Message, MessageKind
from reverie.domain.paging import Page
from reverie.domain.run import Run, Step
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.operations.base import Operations
from reverie.storage import messages, runs


async def list_runs(
    ops: Operations,
    caller: Caller,
    page: Page,
    *,
    agent_ids: Sequence[AgentId] | None = None,
    conversation_id: ConversationId | None = None,
    statuses: Sequence[RunStatus] | None = None,
    stop_reason: StopReason | None = None,
    background: bool | None = None,
) -> list[Run]:
    """A page of runs that meet every given condition."""
    return await ops.database.read(
        lambda c: runs.list_page(
            c,
            caller.organization_id,
            page,
            agent_ids=agent_ids,
            conversation_id=conversation_id,
            statuses=statuses,
            stop_reason=stop_reason,
            background=background,
        )
    )


async def retrieve(ops: Operations, caller: Caller, run_id: RunId) -> Run:
    """One run."""
    return await ops.database.read(lambda c: runs.get(c, caller.organization_id, run_id))


async def delete(ops: Operations, caller: Caller, run_id: RunId) -> None:
    """Remove the record of a run; its messages stay.

    Raises:
        Conflict: it has not ended.
    """
    caller.require(Scope.WRITE)

    def write(c: Connection) -> None:
        if runs.get(c, caller.organization_id, run_id).completed_at is None:
            raise Conflict(f"run {run_id!r} is still active; cancel it first")
        runs.delete_run(c, run_id)

    await ops.database.write(write)


async def cancel(ops: Operations, caller: Caller, run_id: RunId) -> Run:
    """Stop a run; one that has ended stays as it is."""
    caller.require(Scope.WRITE)
    return await ops.runs.cancel(caller.organization_id, run_id)


async def list_messages(
    ops: Operations, caller: Caller, run_id: RunId, page: Page, *, kinds: Sequence[MessageKind] | None = None
) -> list[Message]:
    """A page of the messages that the run wrote or was given."""

    def read(c: Connection) -> list[Message]:
        runs.get(c, caller.organization_id, run_id)
        return messages.list_page(c, caller.organization_id, page, run_id=run_id, kinds=kinds)

    return await ops.database.read(read)


async def list_steps(ops: Operations, caller: Caller, run_id: RunId, page: Page) -> list[Step]:
    """A page of the run's steps."""

    def read(c: Connection) -> list[Step]:
        runs.get(c, caller.organization_id, run_id)
        return runs.list_steps(c, caller.organization_id, page, run_id=run_id)

    return await ops.database.read(read)


async def trace(ops: Operations, caller: Caller, run_id: RunId, limit: int) -> tuple[Run, list[Step]]:
    """A run with its first `limit` steps, from which its spans are made."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[Run, list[Step]]:
        run = runs.get(c, caller.organization_id, run_id)
        page = Page(limit=limit, order="asc")
        return run, runs.list_steps(c, caller.organization_id, page, run_id=run_id)

    return await ops.database.read(read)


async def follow(
    ops: Operations, caller: Caller, run_id: RunId, after: int = 0
) -> AsyncGenerator[tuple[int, Event], None]:
    """The run's events from number `after` + 1, as they come or as they were stored."""
    await retrieve(ops, caller, run_id)
    return ops.runs.follow(caller.organization_id, run_id, after)
