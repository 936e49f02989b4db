"""The ASGI application: routes, the layers around them, and the page that describes them."""

import asyncio
import warnings
from itertools import chain
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from reverie.api import errors
from reverie.api.context import ApiOptions
from reverie.api.describe import openapi_page
from reverie.api.encode.json import Json
from reverie.api.routes import ALL_ROUTES
from reverie.api.routes.later import later_routes
from reverie.api.security import BodyLimit, Doors, Keys, Paths, SecurityOptions
from reverie.api.table import RouteTable
from reverie.operations.base import Operations

_DOCS_PAGE: Final = Path(__file__).with_name("docs.html")

__all__ = ["ApiOptions", "SecurityOptions", "create_app"]


def create_app(
    ops: Operations,
    security: SecurityOptions,
    options: ApiOptions | None = None,
) -> Starlette:
    """Build the application over `ops`. Nothing is read or opened until a request comes."""
    # FastAPI marks every body that may be left out in a way that this Pydantic finds pointless;
    # it says so once for each route, at the first request.
    warnings.filterwarnings("ignore", message="The 'alias' attribute with value 'body'", category=UserWarning)
    handlers = chain.from_iterable(part.routes for part in ALL_ROUTES)
    sockets = chain.from_iterable(part.sockets for part in ALL_ROUTES)
    pages = [Route("/openapi.json", _openapi_page), Route("/docs", _docs_page)]
    app = Starlette(routes=[RouteTable([*handlers, *later_routes(), *pages]), *sockets])
    app.router.redirect_slashes = False
    app.state.ops = ops
    app.state.options = options or ApiOptions()
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(Keys, options=security)
    app.add_middleware(BodyLimit, options=security)
    app.add_middleware(Doors, options=security)
    app.add_middleware(Paths)
    app.add_middleware(errors.Border)
    return app


async def _openapi_page(_request: Request) -> Response:
    # Made once, and long to make: in a thread, so that nobody waits for it but who asked.
    return Json(await asyncio.to_thread(openapi_page))


async def _docs_page(_request: Request) -> Response:
    return HTMLResponse(await asyncio.to_thread(_DOCS_PAGE.read_bytes))
