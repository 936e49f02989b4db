"""The routes of this server, and what they take and give."""

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from reverie.api.describe import described_routes
from reverie.api.encode.json import Json
from reverie.api.encode.sse import EventStream
from reverie.api.routes.later import LATER
from tests.support.sdk import route_key
from tests.support.shapes import Shape, part_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OurRoute:
    """One route, by its types."""

    verb: str
    path: str
    route: APIRoute
    answer: Any
    """What stands inside the handler's `Json[…]`; None where it answers nothing of the kind."""
    is_json: bool
    streams: bool

    @property
    def query(self) -> Shape:
        """The parameters of the query."""
        found = get_flat_params(self.route.dependant)
        return Shape(
            "query", dict(part_of(item.alias, item.field_info) for item in found if isinstance(item.field_info, Query))
        )

    @property
    def body(self) -> Any:
        """The type of the body; None where there is none."""
        field = self.route.body_field
        return None if field is None else field.field_info.annotation


@cache
def our_routes() -> dict[tuple[str, str], OurRoute]:
    """All of them, by `route_key`; of two that are alike the first one, which answers."""
    found: dict[tuple[str, str], OurRoute] = {}
    for item in _all():
        found.setdefault(route_key(item.verb, item.path), item)
    return found


def _all() -> Iterator[OurRoute]:
    for route in described_routes():
        returned = typing.get_type_hints(route.endpoint).get("return")
        parts = [returned, *get_args(returned)]
        json = [get_args(part)[0] for part in parts if get_origin(part) is Json]
        for verb in sorted(route.methods or ()):
            yield OurRoute(
                verb=verb,
                path=route.path,
                route=route,
                answer=json[0] if json else None,
                is_json=bool(json),
                streams=EventStream in parts,
            )


def refusal(path: str) -> str | None:
    """Why the path is answered 501; None when it is not."""
    _, wanted = route_key("", path)
    for start, reason in LATER.items():
        _, own = route_key("", start)
        if wanted == own or wanted.startswith(f"{own}/"):
            return reason
    return None
