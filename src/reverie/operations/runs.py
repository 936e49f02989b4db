"""Runs and steps: listed, read, followed, cancelled."""

from collections.abc import AsyncGenerator

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict, InvalidInput, NotFound
from reverie.domain.events import Event
from reverie.domain.ids import ConversationId, RunId, ToolId
from reverie.domain.message import Message, MessageFilter
from reverie.domain.paging import Page
from reverie.domain.run import Run, RunFilter, Step, StepFilter
from reverie.operations.base import Operations
from reverie.runs.arrivals import run_of_otid
from reverie.storage import conversations, messages, runs, tools


async def list_runs(ops: Operations, caller: Caller, where: RunFilter, page: Page) -> list[Run]:
    """A page of the runs that meet `where`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: runs.list_page(c, caller.organization_id, where, page))


async def tools_used(ops: Operations, caller: Caller, run: Run) -> list[ToolId]:
    """Ids of the tools that the run used; those that are gone meanwhile have none."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: tools.ids_named(c, caller.organization_id, run.tools_used))


async def retrieve(ops: Operations, caller: Caller, run_id: RunId) -> Run:
    """One run."""
    caller.require(Scope.READ)
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


async def list_messages(ops: Operations, caller: Caller, run_id: RunId, page: Page) -> list[Message]:
    """A page of the messages that the run wrote or was given."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Message]:
        runs.get(c, caller.organization_id, run_id)
        return messages.list_page(c, caller.organization_id, MessageFilter(run_id=run_id), page)

    return await ops.database.read(read)


async def list_steps(ops: Operations, caller: Caller, run_id: RunId, page: Page) -> list[Step]:
    """A page of the run's steps."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Step]:
        runs.get(c, caller.organization_id, run_id)
        return runs.list_steps(c, caller.organization_id, StepFilter(run_id=run_id), page)

    return await ops.database.read(read)


async def to_follow(
    ops: Operations, caller: Caller, conversation_id: ConversationId, *, run_id: RunId | None, otid: str | None
) -> Run:
    """The run of a conversation that a reader means: the one named, the one that was sent `otid`, or the latest.

    Raises:
        NotFound: there is none of that id or otid.
        InvalidInput: none was named, and the conversation never had one in the background.
    """
    caller.require(Scope.READ)

    def read(c: Connection) -> Run:
        conversations.get(c, caller.organization_id, conversation_id)
        wanted = run_id
        if wanted is None and otid is not None:
            wanted = run_of_otid(c, conversation_id, otid)
            if wanted is None:
                raise NotFound("run of the message with otid", otid, f"conversation {conversation_id!r} has none")
        if wanted is not None:
            run = runs.get(c, caller.organization_id, wanted)
            if run.conversation_id != conversation_id:
                raise NotFound("run", wanted, f"it is not one of conversation {conversation_id!r}")
            return run
        in_background = RunFilter(conversation_id=conversation_id, background=True)
        latest = runs.list_page(c, caller.organization_id, in_background, Page(limit=1))
        if not latest:
            raise InvalidInput(
                f"No active runs found for conversation {conversation_id!r}, and none that ended can be read again: "
                "send a message with background=true first"
            )
        return latest[0]

    return await ops.database.read(read)


async def trace(ops: Operations, caller: Caller, run_id: RunId, limit: int) -> tuple[Run, list[Step]]:
    """A run with its first `limit` steps, from which its spans are made."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[Run, list[Step]]:
        run = runs.get(c, caller.organization_id, run_id)
        page = Page(limit=limit, order="asc")
        return run, runs.list_steps(c, caller.organization_id, StepFilter(run_id=run_id), page)

    return await ops.database.read(read)


async def follow(
    ops: Operations, caller: Caller, run_id: RunId, after: int = 0
) -> AsyncGenerator[tuple[int, Event], None]:
    """The run's events from number `after` + 1, as they come or as they were stored.

    Raises:
        Gone: the run has ended and its events were not kept.
    """
    ops.runs.require_events(await retrieve(ops, caller, run_id))
    return ops.runs.follow(caller.organization_id, run_id, after)
