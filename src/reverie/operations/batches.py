"""What callers can ask for about batches, and about jobs: runs and batches under their old name."""

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict, MalformedInput
from reverie.domain.ids import AgentId, BatchId, RunId, make_id
from reverie.domain.job import MOST_REQUESTS, Batch, BatchDetails, BatchDraft, BatchItem, Job
from reverie.domain.message import Message
from reverie.domain.paging import Page
from reverie.operations.base import Operations
from reverie.storage import agents, batches, runs


async def create(ops: Operations, caller: Caller, draft: BatchDraft) -> BatchDetails:
    """Accept requests to many agents, all or none; each becomes a background run when its turn comes.

    Raises:
        NotFound: an unknown agent; the text names it.
        MalformedInput: no request, or too many.
    """
    caller.require(Scope.WRITE)
    if not 0 < len(draft.requests) <= MOST_REQUESTS:
        raise MalformedInput("requests", f"a batch holds from 1 to {MOST_REQUESTS} requests, got {len(draft.requests)}")
    batch_id = BatchId(make_id("job"))

    def store(c: Connection) -> BatchDetails:
        for agent_id in dict.fromkeys(agent_id for agent_id, _ in draft.requests):
            agents.get(c, caller.organization_id, agent_id)
        batch = Batch(
            id=batch_id,
            organization_id=caller.organization_id,
            runs_before=batches.newest_run(c, caller.organization_id),
            callback_url=draft.callback_url,
            created_at=ops.clock(),
            created_by_id=caller.user_id,
        )
        items = [
            BatchItem(batch_id=batch_id, place=place, agent_id=agent_id, request=request)
            for place, (agent_id, request) in enumerate(draft.requests)
        ]
        batches.insert_batch(c, batch, items)
        return batches.details(c, [batch])[0]

    made = await ops.database.write(store)
    ops.ring("batches")
    return made


async def list_batches(ops: Operations, caller: Caller, page: Page) -> list[BatchDetails]:
    """A page of batches."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: batches.list_page(c, caller.organization_id, page))


async def retrieve(ops: Operations, caller: Caller, batch_id: BatchId) -> BatchDetails:
    """One batch."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: batches.get(c, caller.organization_id, batch_id))


async def list_messages(
    ops: Operations, caller: Caller, batch_id: BatchId, page: Page, agent_id: AgentId | None = None
) -> list[Message]:
    """A page of what the agents wrote in a batch."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Message]:
        batches.get(c, caller.organization_id, batch_id)
        return batches.written(c, caller.organization_id, batch_id, page, agent_id)

    return await ops.database.read(read)


async def cancel(ops: Operations, caller: Caller, batch_id: BatchId) -> BatchDetails:
    """Begin nothing more of a batch and stop what runs; one that has ended stays as it is."""
    caller.require(Scope.WRITE)
    return await _stop(ops, caller, batch_id)


async def list_jobs(ops: Operations, caller: Caller, page: Page, *, active: bool = False) -> list[Job]:
    """A page of runs and batches."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: batches.list_jobs(c, caller.organization_id, page, active=active))


async def retrieve_job(ops: Operations, caller: Caller, job_id: str) -> Job:
    """One run or batch."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: _job(c, caller, job_id))


async def cancel_job(ops: Operations, caller: Caller, job_id: str) -> Job:
    """Stop a run or a batch; one that has ended stays as it is."""
    caller.require(Scope.WRITE)
    if job_id.startswith("run-"):
        return await ops.runs.cancel(caller.organization_id, RunId(job_id))
    return await _stop(ops, caller, BatchId(job_id))


async def delete_job(ops: Operations, caller: Caller, job_id: str) -> Job:
    """Remove the record of a run or a batch; messages, and the runs of a batch, stay.

    Raises:
        Conflict: it has not ended.
    """
    caller.require(Scope.WRITE)

    def write(c: Connection) -> Job:
        found = _job(c, caller, job_id)
        ended = found.batch.completed_at if isinstance(found, BatchDetails) else found.completed_at
        if ended is None:
            raise Conflict(f"job {job_id!r} is still active; cancel it first")
        if isinstance(found, BatchDetails):
            batches.delete_batch(c, found.batch.id)
        else:
            runs.delete_run(c, found.id)
        return found

    return await ops.database.write(write)


def _job(c: Connection, caller: Caller, job_id: str) -> Job:
    if job_id.startswith("run-"):
        return runs.get(c, caller.organization_id, RunId(job_id))
    return batches.get(c, caller.organization_id, BatchId(job_id))


async def _stop(ops: Operations, caller: Caller, batch_id: BatchId) -> BatchDetails:
    def stop(c: Connection) -> list[RunId]:
        found = batches.get(c, caller.organization_id, batch_id, lock=True)
        return [] if found.batch.completed_at is not None else batches.request_cancel(c, batch_id)

    for run_id in await ops.database.write(stop):
        await ops.runs.cancel(caller.organization_id, run_id)
    await ops.database.write(lambda c: batches.settle(c, ops.clock(), batch_id))
    ops.ring("batches")
    return await ops.database.read(lambda c: batches.get(c, caller.organization_id, batch_id))
