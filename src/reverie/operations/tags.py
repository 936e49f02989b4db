"""What callers can ask for about tags."""

from reverie.auth.keys import Caller, Scope
from reverie.domain.paging import Page
from reverie.operations.base import Operations
from reverie.storage import agents


async def list_tags(ops: Operations, caller: Caller, page: Page, search: str | None = None) -> list[str]:
    """A page of the tags that agents have, by name; cursors are tags, `search` is a part of the name."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: agents.list_tags(c, caller.organization_id, page, search))
