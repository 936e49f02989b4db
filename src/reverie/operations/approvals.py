"""What callers can ask for about calls that wait for an answer. They are answered with a message to their agent."""

from dataclasses import dataclass
from datetime import datetime

from reverie.auth.keys import Caller, Scope
from reverie.domain.approval import ApprovalFilter, PendingApproval
from reverie.domain.paging import Page
from reverie.operations.base import Operations
from reverie.storage import approvals


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits, and until when it does."""

    approval: PendingApproval
    expires_at: datetime | None
    """None: for ever."""


async def list_waiting(ops: Operations, caller: Caller, where: ApprovalFilter, page: Page) -> list[Waiting]:
    """A page of the requests that wait for an answer, of all agents."""
    caller.require(Scope.READ)
    found = await ops.database.read(lambda c: approvals.list_page(c, caller.organization_id, where, page))
    return [Waiting(item, item.expires_at(ops.approval_timeout_s)) for item in found]
