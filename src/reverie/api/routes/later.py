"""Operations of the API that this server does not do yet: 501, with the reason.

Each row is the start of a path; everything below it is answered alike.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reverie.api.errors import answer
from reverie.domain.errors import NotImplementedHere

_HOSTED: Final = "this belongs to a hosted service and has no counterpart in a server of your own"

LATER: Final = {
    "/v1/agents/{agent_id}/memory-files": "memory as files is not there yet; memory blocks are",
    "/v1/feeds": _HOSTED,
    "/v1/pipelines": _HOSTED,
    "/v1/sandboxes": _HOSTED,
    "/v1/device-storage-key": _HOSTED,
}

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def later_routes() -> list[Route]:
    """One route for each row, and one for what lies below it."""
    found: list[Route] = []
    for path, reason in LATER.items():
        endpoint = _Refusal(f"{path}: {reason}")
        found.append(Route(path, endpoint.serve, methods=_METHODS, include_in_schema=False))
        found.append(Route(path + "/{below:path}", endpoint.serve, methods=_METHODS, include_in_schema=False))
    return found


class _Refusal:
    def __init__(self, reason: str) -> None:
        self._error = NotImplementedHere(reason)

    async def serve(self, _request: Request) -> Response:
        return answer(self._error)
