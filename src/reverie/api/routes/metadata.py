"""Account data: who calls, as client programs ask before they begin."""

import structlog

from reverie.api.context import Ask, FromProject
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.metadata import (
    BALANCE,
    BalanceState,
    FeedbackBody,
    StatusState,
    Taken,
    TelemetryBody,
    UserState,
    user_state,
)
from reverie.auth.keys import Scope
from reverie.operations import organizations

log = structlog.get_logger(__name__)

routes = Routes("metadata")


@routes.get("/v1/metadata/user")
async def retrieve_user(call: Ask, project_id: FromProject) -> Json[UserState]:
    """Tell who calls, and for which organisation."""
    return Json(user_state(call.caller, await organizations.of_caller(call.ops, call.caller), project_id))


@routes.get("/v1/metadata/status")
async def retrieve_status(call: Ask, project_id: FromProject) -> Json[StatusState]:
    """Tell the project that the request's headers name."""
    call.caller.require(Scope.READ)
    return Json({"current_project_id": project_id})


@routes.get("/v1/metadata/balance")
async def retrieve_balance(call: Ask) -> Json[BalanceState]:
    """Tell what is left of what was bought. Nothing is sold here: every figure is 0, and none is a limit."""
    call.caller.require(Scope.READ)
    return Json(BALANCE)


@routes.post("/v1/metadata/feedback")
async def send_feedback(body: FeedbackBody, call: Ask) -> Json[Taken]:
    """Write a user's words into the server's log, for whoever runs it. They go nowhere else."""
    call.caller.require(Scope.READ)
    log.info("feedback", organization_id=call.caller.organization_id, **body.model_dump(exclude_none=True))
    return Json({"success": True})


@routes.post("/v1/metadata/telemetry")
async def send_telemetry(body: TelemetryBody, call: Ask) -> Json[Taken]:
    """Take what a client program counted, and keep nothing of it: what users do is nobody else's business."""
    call.caller.require(Scope.READ)
    log.debug("telemetry_dropped", service=body.service, events=len(body.events))
    return Json({"success": True})
