"""Tags that agents have."""

from typing import Literal

from reverie.api.context import Ask, CursorQuery, LimitQuery
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.base import Order
from reverie.domain.paging import Page
from reverie.operations import tags

routes = Routes("tags")


@routes.get("/v1/tags")
async def list_tags(
    call: Ask,
    limit: LimitQuery = 50,
    after: CursorQuery = None,
    before: CursorQuery = None,
    order: Order = "asc",
    order_by: Literal["name"] = "name",
    query_text: str | None = None,
    name: str | None = None,
) -> Json[list[str]]:
    """List tags by name; a cursor is a tag."""
    page = Page(limit=limit, after=after, before=before, order=order, order_by=order_by)
    return Json(await tags.list_tags(call.ops, call.caller, page, name or query_text))
