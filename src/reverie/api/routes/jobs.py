"""Jobs: runs and batches under their old name."""

from reverie.api.context import Ask, CursorQuery, LimitQuery, Newest100, RunPath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.jobs import JobState, job_state
from reverie.domain.paging import Page
from reverie.operations import batches

routes = Routes("jobs")


@routes.get("/v1/jobs")
async def list_jobs(
    call: Ask,
    page: Newest100,
    source_id: str | None = None,
    active: bool = False,
    ascending: bool | None = None,
) -> Json[list[JobState]]:
    """List jobs. Reading a file is none here, so those of a source are an empty list; files tell their own status."""
    wanted = page.page()
    if ascending is not None:
        wanted = Page(
            limit=page.limit, after=page.after, before=page.before, order="asc" if ascending else "desc"
        )  # fmt: skip
    if source_id is not None:
        return Json([])
    return Json([job_state(job) for job in await batches.list_jobs(call.ops, call.caller, wanted, active=active)])


@routes.get("/v1/jobs/active")
async def list_active_jobs(
    call: Ask,
    source_id: str | None = None,
    limit: LimitQuery = 50,
    after: CursorQuery = None,
    before: CursorQuery = None,
    ascending: bool = True,
) -> Json[list[JobState]]:
    """List jobs that have not ended."""
    if source_id is not None:
        return Json([])
    page = Page(limit=limit, after=after, before=before, order="asc" if ascending else "desc")
    return Json([job_state(job) for job in await batches.list_jobs(call.ops, call.caller, page, active=True)])


@routes.get("/v1/jobs/{job_id}")
async def retrieve_job(job_id: RunPath, call: Ask) -> Json[JobState]:
    """Retrieve a job."""
    return Json(job_state(await batches.retrieve_job(call.ops, call.caller, job_id)))


@routes.patch("/v1/jobs/{job_id}/cancel")
async def cancel_job(job_id: RunPath, call: Ask) -> Json[JobState]:
    """Stop a job; one that has ended stays as it is."""
    return Json(job_state(await batches.cancel_job(call.ops, call.caller, job_id)))


@routes.delete("/v1/jobs/{job_id}")
async def delete_job(job_id: RunPath, call: Ask) -> Json[JobState]:
    """Delete the record of an ended job; messages stay."""
    return Json(job_state(await batches.delete_job(call.ops, call.caller, job_id)))
