"""Errors to HTTP answers: one table, looked up along an error's ancestry."""

import math
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reverie.api.encode.fold import RunCut, RunFailed
from reverie.api.encode.json import Json
from reverie.domain import errors

log = structlog.get_logger(__name__)

STATUS: Final[Mapping[type[errors.ReverieError], int]] = {
    errors.ReverieError: 500,
    errors.InvalidInput: 400,
    errors.MalformedInput: 422,
    errors.NotAuthenticated: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.UnsupportedMedia: 415,
    errors.TimedOut: 408,
    errors.BadGateway: 502,
    errors.NotImplementedHere: 501,
    errors.Unavailable: 503,
    errors.ToolError: 400,
    errors.ModelError: 502,
    errors.ModelAuthFailed: 401,
    errors.ModelOutOfCredits: 402,
    errors.ModelRateLimited: 429,
    errors.ModelOverloaded: 503,
    errors.ModelTimedOut: 504,
    errors.ModelNotServed: 404,
    errors.ModelRefused: 400,
    errors.ModelContextOverflow: 400,
    errors.PromptOverflow: 400,
    RunCut: 503,
}


NO_RETRY: Final = {"x-should-retry": "false"}
"""Tells the SDKs, which repeat a request on 409 and above 500, that this one would fail or act again."""


def status_of(error: errors.ReverieError) -> int:
    """The HTTP status of `error`: the most specific entry wins, so a new subclass needs no new row."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def answer(error: errors.ReverieError) -> Response:
    """The whole HTTP answer to `error`."""
    if isinstance(error, RunFailed):
        failure = error.failure
        body = {"detail": str(error), "error_type": failure.error_type, "run_id": error.run_id}
        return Json(body, failure.http_status, NO_RETRY)
    headers: dict[str, str] = {}
    if isinstance(error, errors.NotImplementedHere | errors.Conflict) and not isinstance(error, errors.Busy):
        headers |= NO_RETRY
    if isinstance(error, errors.NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.ModelError) and error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = "1"
    detail: Any = str(error)
    if isinstance(error, errors.ApprovalPending):
        detail = {"code": "PENDING_APPROVAL", "message": str(error), "pending_request_id": error.request_id}
    return Json({"detail": detail}, status_of(error), headers)


def install(app: Starlette) -> None:
    """Let `app` answer every failure in JSON."""
    app.add_exception_handler(errors.ReverieError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_malformed)
    app.add_exception_handler(HTTPException, _on_http)


def _told(request: Request, found: Response) -> Response:
    """`found`, with what OpenAI's clients look for beside the detail where one of them asked."""
    if not request.url.path.rstrip("/").endswith("/chat/completions"):
        return found
    body: dict[str, Any] = orjson.loads(found.body)
    detail = body["detail"]
    text = detail if isinstance(detail, str) else orjson.dumps(detail).decode()
    kind = "invalid_request_error" if found.status_code < 500 else "server_error"
    told = {"message": text, "type": body.get("error_type", kind), "param": None, "code": None}
    headers = {name: value for name, value in found.headers.items() if not name.startswith("content-")}
    return Json({**body, "error": told}, found.status_code, headers)


async def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ReverieError)
    return _told(request, answer(error))


async def _on_malformed(request: Request, error: Exception) -> Response:
    """422 with one entry per fault. What was sent is not echoed: it may hold secrets."""
    assert isinstance(error, RequestValidationError)
    detail = [{"type": item["type"], "loc": item["loc"], "msg": _said(item)} for item in error.errors()]
    return _told(request, Json({"detail": detail}, 422))


def _said(item: Mapping[str, Any]) -> str:
    return f"the body is no JSON: {item['ctx']['error']}" if item["type"] == "json_invalid" else item["msg"]


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"no such path: {request.method} {request.url.path}; GET /openapi.json lists those there are"
    elif error.status_code == 405:
        detail = f"{request.url.path} does not take {request.method}; GET /openapi.json lists what it takes"
    return Json({"detail": detail}, error.status_code, dict(error.headers) if error.headers else None)


class Border:
    """The outermost layer: whatever breaks inside is logged under an id, and only the id is told."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:  # the outermost HTTP layer
            error_id = uuid.uuid4().hex[:12]
            log.exception("request_failed", error_id=error_id, method=scope["method"], path=scope["path"])
            if started:  # too late for another status: the client sees a cut answer
                return
            detail = f"an error inside the server; its log has the details under {error_id}"
            await Json({"detail": detail, "error_id": error_id}, 500)(scope, receive, send)
