"""The ASGI application: routes, the layers around them, and the page that describes them."""

import asyncio
import warnings
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reverie import __version__
from reverie.api import errors
from reverie.api.context import ApiOptions
from reverie.api.describe import DescribedApp
from reverie.api.encode.json import Json
from reverie.api.routes import ALL_ROUTES
from reverie.api.routes.later import later_routes
from reverie.api.security import BodyLimit, Doors, Keys, Paths, SecurityOptions
from reverie.operations.base import Operations

_DOCS_PAGE: Final = Path(__file__).with_name("docs.html")

__all__ = ["ApiOptions", "SecurityOptions", "create_app"]


def create_app(
    ops: Operations,
    security: SecurityOptions,
    options: ApiOptions | None = None,
) -> FastAPI:
    """Build the application over `ops`. Nothing is read or opened until a request comes."""
    # FastAPI marks every body that may be left out in a way that this Pydantic finds pointless;
    # it says so once for each route, at the first request.
    warnings.filterwarnings("ignore", message="The 'alias' attribute with value 'body'", category=UserWarning)
    app = DescribedApp(
        title="Reverie",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.ops = ops
    app.state.options = options or ApiOptions()
    app.state.routes = ALL_ROUTES
    *most, last = ALL_ROUTES
    for routes in most:
        app.include_router(routes)
    # `/v1/messages/batches` also has the form of `/v1/messages/{message_id}`.
    app.router.routes.extend(later_routes())
    app.include_router(last)
    app.add_route("/openapi.json", _openapi_page, include_in_schema=False)
    app.add_route("/docs", _docs_page, include_in_schema=False)
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(Keys, options=security)
    app.add_middleware(BodyLimit, options=security)
    app.add_middleware(Doors, options=security)
    app.add_middleware(Paths)
    app.add_middleware(errors.Border)
    return app


async def _openapi_page(request: Request) -> Response:
    # Made once, and long to make: in a thread, so that nobody waits for it but who asked.
    return Json(await asyncio.to_thread(request.app.openapi))


async def _docs_page(_request: Request) -> Response:
    return HTMLResponse(await asyncio.to_thread(_DOCS_PAGE.read_bytes))
