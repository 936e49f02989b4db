"""Batches of requests to many agents."""

from reverie.api.context import AgentQuery, Ask, BatchPath, Newest100
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.images import with_images
from reverie.api.wire.jobs import BatchMessages, CreateBatch, JobState, job_state, message_record
from reverie.domain.ids import AgentId, BatchId
from reverie.domain.job import BatchDraft
from reverie.operations import batches

routes = Routes("batches")


@routes.post("/v1/messages/batches")
async def create_batch(body: CreateBatch, call: Ask) -> Json[JobState]:
    """Accept requests to many agents, all or none. Each becomes a background run of its agent when its turn comes."""
    requests = [
        (AgentId(item.agent_id), await with_images(item.to_domain(background=True), call.options))
        for item in body.requests
    ]
    draft = BatchDraft(requests=tuple(requests), callback_url=body.callback_url)
    return Json(job_state(await batches.create(call.ops, call.caller, draft)))


@routes.get("/v1/messages/batches")
async def list_batches(call: Ask, page: Newest100) -> Json[list[JobState]]:
    """List batches."""
    return Json([job_state(item) for item in await batches.list_batches(call.ops, call.caller, page.page())])


@routes.get("/v1/messages/batches/{batch_id}")
async def retrieve_batch(batch_id: BatchPath, call: Ask) -> Json[JobState]:
    """Retrieve a batch; `metadata.request_counts` tells how far it is."""
    return Json(job_state(await batches.retrieve(call.ops, call.caller, BatchId(batch_id))))


@routes.get("/v1/messages/batches/{batch_id}/messages")
async def list_batch_messages(
    batch_id: BatchPath, call: Ask, page: Newest100, agent_id: AgentQuery = None
) -> Json[BatchMessages]:
    """List what the agents wrote in a batch, by role as the old API has it."""
    wanted = None if agent_id is None else AgentId(agent_id)
    found = await batches.list_messages(call.ops, call.caller, BatchId(batch_id), page.page(), wanted)
    return Json({"messages": [message_record(message) for message in found]})


@routes.patch("/v1/messages/batches/{batch_id}/cancel")
async def cancel_batch(batch_id: BatchPath, call: Ask) -> Json[JobState]:
    """Begin nothing more of a batch and stop what runs; one that has ended stays as it is."""
    return Json(job_state(await batches.cancel(call.ops, call.caller, BatchId(batch_id))))
