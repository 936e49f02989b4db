"""Steps."""

from datetime import datetime
from typing import Literal

from reverie.api.context import AgentQuery, Ask, FromProject, ListQuery, Newest50, Oldest100, StepPath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import wire_list
from reverie.api.encode.views import LIST_VIEW
from reverie.api.wire.runs import Feedback, StepMetrics, StepState, step_metrics, step_state
from reverie.api.wire.traces import ProviderTraceState, provider_trace_state
from reverie.domain.clock import aware
from reverie.domain.ids import StepId
from reverie.domain.run import StepFilter
from reverie.operations import steps

routes = Routes("steps")

Opinion = Literal["positive", "negative"]


@routes.get("/v1/steps")
async def list_steps(
    call: Ask,
    page: Newest50,
    project: FromProject,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    model: str | None = None,
    agent_id: AgentQuery = None,
    trace_ids: ListQuery = None,
    feedback: Opinion | None = None,
    has_feedback: bool | None = None,
    tags: ListQuery = None,
    project_id: str | None = None,
) -> Json[list[StepState]]:
    """List steps; every given condition must hold."""
    if trace_ids:  # no step has one
        return Json([])
    where = StepFilter(
        agent_id=agent_id,
        model=model,
        feedback=feedback,
        has_feedback=has_feedback,
        tags=tags or (),
        project_id=project_id or project,
        start=aware(start_date),
        end=aware(end_date),
    )
    return Json([step_state(step) for step in await steps.list_steps(call.ops, call.caller, where, page.page())])


@routes.get("/v1/steps/{step_id}")
async def retrieve_step(step_id: StepPath, call: Ask) -> Json[StepState]:
    """Retrieve a step."""
    return Json(step_state(await steps.retrieve(call.ops, call.caller, StepId(step_id))))


@routes.get("/v1/steps/{step_id}/messages")
async def list_step_messages(step_id: StepPath, call: Ask, page: Oldest100) -> Json[list[WireMessage]]:
    """List the step's messages."""
    found = await steps.list_messages(call.ops, call.caller, StepId(step_id), page.page())
    return Json(wire_list(found, LIST_VIEW, newest_first=page.order == "desc"))


@routes.get("/v1/steps/{step_id}/metrics")
async def retrieve_step_metrics(step_id: StepPath, call: Ask) -> Json[StepMetrics]:
    """How long the step took."""
    step, run = await steps.retrieve_with_run(call.ops, call.caller, StepId(step_id))
    return Json(step_metrics(step, run))


@routes.get("/v1/steps/{step_id}/trace")
@routes.get("/v1/telemetry/{step_id}", include_in_schema=False)
async def retrieve_step_trace(step_id: StepPath, call: Ask) -> Json[ProviderTraceState | None]:
    """The step's exchange with the model provider; null when it was not kept, or is not any more."""
    found = await steps.trace(call.ops, call.caller, StepId(step_id))
    return Json(None if found is None else provider_trace_state(found))


@routes.patch("/v1/steps/{step_id}/feedback")
async def judge_step(step_id: StepPath, body: Feedback, call: Ask) -> Json[StepState]:
    """Say what a person thought of the step."""
    found = await steps.judge(call.ops, call.caller, StepId(step_id), feedback=body.feedback, tags=body.tags)
    return Json(step_state(found))
