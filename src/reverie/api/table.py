"""The table of routes: a path is found by its segments, however many routes there are."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

_FOUND: Final = "reverie.route"
_ALLOWED: Final = "reverie.allowed_methods"


class RouteTable(BaseRoute):
    """All routes as one.

    A segment that is spelled out goes before a parameter, wherever the routes were declared, and a
    `{name:path}` at the end, which takes all that is left, comes last.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._root.add(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The route of this path and method; a partial match where the path takes other methods only."""
        if scope["type"] != "http":
            return Match.NONE, {}
        method: str = scope["method"]
        allowed: list[str] = []
        for routes, values in self._root.find(scope["path"].split("/"), 1, ()):
            route = routes.get(method)
            if route is not None:
                names = route.param_convertors
                return Match.FULL, {_FOUND: route, "path_params": dict(zip(names, values, strict=True))}
            allowed += routes
        return (Match.PARTIAL, {_FOUND: None, _ALLOWED: ", ".join(sorted(allowed))}) if allowed else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route: Route | None = scope[_FOUND]
        if route is None:
            raise HTTPException(405, headers={"Allow": scope[_ALLOWED]})
        await route.app(scope, receive, send)


class _Node:
    """What follows after some segments of a path."""

    __slots__ = ("here", "named", "one", "rest")

    def __init__(self) -> None:
        self.here: dict[str, Route] = {}
        """The routes that end here, by method."""
        self.named: dict[str, _Node] = {}
        self.one: _Node | None = None
        """After a parameter of one segment."""
        self.rest: dict[str, Route] = {}
        """The routes that take all that is left."""

    def add(self, route: Route) -> None:
        node, ends = self, False
        for segment in route.path.split("/")[1:]:
            if ends or ("{" in segment and not (segment.startswith("{") and segment.endswith("}"))):
                raise ValueError(f"{route.path}: a parameter is a whole segment, and a path the last one")
            ends = segment.endswith(":path}")
            if ends:
                continue
            if segment.startswith("{"):
                node.one = node.one or _Node()
                node = node.one
            else:
                node = node.named.setdefault(segment, _Node())
        for method in sorted(route.methods or ()):
            (node.rest if ends else node.here).setdefault(method, route)

    def find(
        self, segments: list[str], at: int, values: tuple[Any, ...]
    ) -> Iterator[tuple[dict[str, Route], tuple[Any, ...]]]:
        """The routes that fit, the best first, with the values of their parameters."""
        if at == len(segments):
            if self.here:
                yield self.here, values
            return
        segment = segments[at]
        if (named := self.named.get(segment)) is not None:
            yield from named.find(segments, at + 1, values)
        if self.one is not None and segment:
            yield from self.one.find(segments, at + 1, (*values, segment))
        if self.rest:
            yield self.rest, (*values, "/".join(segments[at:]))
