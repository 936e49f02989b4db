"""How handlers are declared, and the routes that come of it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from reverie.api.reading import Handler, Plan

H = TypeVar("H", bound=Callable[..., Any])


class HandlerRoute(Route):
    """The route of a handler that returns ready bytes.

    FastAPI describes it when it is first asked for, or when somebody wants the page: describing all of them
    would be a third of the time that the server needs to start.
    """

    def __init__(self, path: str, endpoint: Handler, *, verb: str, tag: str, **told: Any) -> None:
        super().__init__(path, endpoint, include_in_schema=told.get("include_in_schema", True))
        self.methods = {verb}
        self.app = self._serve
        self._tag = tag
        self._told = told

    @cached_property
    def described(self) -> APIRoute:
        """What the handler takes and may answer. What it answers with stands in its return type, `Json[…]`."""
        return APIRoute(
            self.path,
            self.endpoint,
            methods=self.methods,
            tags=[self._tag],
            response_model=None,
            **self._told,
        )

    @cached_property
    def _plan(self) -> Plan:
        return Plan(self.described.dependant)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            answer = await self.endpoint(**await self._plan.arguments(request))
        finally:
            await request.close()  # the files of a form
        await answer(scope, receive, send)


class Routes:
    """The routes of one module, under the tag that the page shows them by.

    Handlers are declared as in FastAPI, and with the words it has for them: `status_code`, `responses`,
    `include_in_schema`, `name`.
    """

    def __init__(self, tag: str) -> None:
        self.routes: list[HandlerRoute] = []
        self.sockets: list[WebSocketRoute] = []
        self.tag = tag

    def get(self, path: str, **told: Any) -> Callable[[H], H]:
        """Declare the handler of GET."""
        return self._declare("GET", path, told)

    def post(self, path: str, **told: Any) -> Callable[[H], H]:
        """Declare the handler of POST."""
        return self._declare("POST", path, told)

    def put(self, path: str, **told: Any) -> Callable[[H], H]:
        """Declare the handler of PUT."""
        return self._declare("PUT", path, told)

    def patch(self, path: str, **told: Any) -> Callable[[H], H]:
        """Declare the handler of PATCH."""
        return self._declare("PATCH", path, told)

    def delete(self, path: str, **told: Any) -> Callable[[H], H]:
        """Declare the handler of DELETE."""
        return self._declare("DELETE", path, told)

    def websocket(self, path: str) -> Callable[[H], H]:
        """Declare the handler of a WebSocket, which is given the socket and nothing else."""

        def declared(handler: H) -> H:
            self.sockets.append(WebSocketRoute(path, handler))
            return handler

        return declared

    def _declare(self, verb: str, path: str, told: dict[str, Any]) -> Callable[[H], H]:
        def declared(handler: H) -> H:
            self.routes.append(HandlerRoute(path, handler, verb=verb, tag=self.tag, **told))
            return handler

        return declared
