"""Denies calls that nobody answered in time, whichever process is first.

When a call was asked for stands in the database, so a time that passed while no server ran is noticed at
the next start. A denial is an ordinary answer: where somebody else was faster, it is refused and left out.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from reverie.background.rounds import Rounds
from reverie.domain.approval import PendingApproval
from reverie.domain.clock import Clock
from reverie.domain.errors import Draining, ReverieError
from reverie.domain.inputs import ApprovalInput, Request
from reverie.domain.message import Decision
from reverie.runs.engine import RunEngine
from reverie.storage import approvals
from reverie.storage.database import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalOptions:
    """What the room is told about approvals."""

    timeout_s: float = 0.0
    """After how many seconds calls are denied where their agent does not say; 0: never."""
    interval_s: float = 1.0
    """Between looks at the clock."""


class ApprovalTimeouts:
    """Looks for approvals whose time is over."""

    def __init__(self, database: Database, engine: RunEngine, clock: Clock, options: ApprovalOptions) -> None:
        self._database = database
        self._engine = engine
        self._clock = clock
        self._options = options

    def rounds(self) -> Rounds:
        """Look again and again, between entering and leaving."""
        return Rounds("approvals", self.deny_overdue, self._options.interval_s)

    async def deny_overdue(self) -> int:
        """One round: deny what is overdue, each with a run of its own; returns how many requests there were."""
        if self._engine.draining:
            return 0
        waiting = await self._database.read(approvals.all_waiting)
        now = self._clock()
        denied = 0
        for item in waiting:
            ends = item.expires_at(self._options.timeout_s)
            if ends is not None and ends <= now:
                denied += await self._deny(item, ends - item.request.created_at)
        return denied

    async def _deny(self, item: PendingApproval, waited: timedelta) -> bool:
        request = item.request
        reason = f"nobody answered within {waited.total_seconds():g} s"
        decisions = tuple(Decision(tool_call_id=call.id, approve=False, reason=reason) for call in item.calls)
        try:
            handle = await self._engine.send(
                request.organization_id,
                request.conversation_id,
                Request(inputs=(ApprovalInput(decisions=decisions),), background=True),
                when_busy="reject",
            )
        except Draining:
            return False
        except ReverieError as error:  # answered meanwhile, or its agent is gone
            log.info("approval_not_denied", agent_id=request.agent_id, request_id=request.id, why=str(error))
            return False
        log.info("approval_denied", agent_id=request.agent_id, request_id=request.id, run_id=handle.run.id)
        return True
