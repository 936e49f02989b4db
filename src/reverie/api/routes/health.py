"""Whether the server lives, and which one it is."""

from typing import Final

from fastapi import Request

from reverie import __version__
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.health import Health

routes = Routes("health")
_DRAINING: Final = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}}


@routes.get("/v1/health")
async def health(request: Request) -> Json[Health]:
    """Tell version and status; needs no key."""
    return Json(_health(request))


@routes.get("/v1/ready", responses={503: _DRAINING})
async def ready(request: Request) -> Json[Health]:
    """Tell whether messages are taken: 503 while the server shuts down. Needs no key."""
    state = _health(request)
    return Json(state, 200 if state["status"] == "ok" else 503)


def _health(request: Request) -> Health:
    return {"version": __version__, "status": "draining" if request.app.state.ops.runs.draining else "ok"}
