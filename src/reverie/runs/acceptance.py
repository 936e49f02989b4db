"""A request on its way to being a run, and the transaction that makes it one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection

from reverie.domain.errors import Busy, ReverieError
from reverie.domain.ids import ConversationId, OrganizationId, RunId, make_id
from reverie.domain.inputs import BusyPolicy, Request
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus
from reverie.loop.state import TurnState, admit, load_view
from reverie.runs.arrivals import DIGEST, digest_of, sent_before
from reverie.storage import conversations, runs

OnAccept: TypeAlias = Callable[[Connection, Run], None]
"""Stores something together with a run that is accepted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A request on its way to being accepted."""

    organization_id: OrganizationId
    conversation_id: ConversationId
    request: Request
    policy: BusyPolicy | None
    """None: as the agent has it."""
    on_accept: OnAccept | None
    once: bool
    """Inputs that came before under the same otids are not let in again."""


class CameBefore(ReverieError):
    """The inputs are those of a run that is there; undoes the one that was to be stored."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"sent before to run {run.id!r}")
        self.run = run


def begin(c: Connection, wish: Wish, worker_id: str, now: datetime, *, alone: bool) -> TurnState:
    """Claim the conversation, store the run, and let its inputs in.

    Raises:
        Busy: another run holds the conversation.
        CameBefore: the inputs are those of an earlier run.
        ReverieError: as `RunEngine.send`.
    """
    started_ns = time.monotonic_ns()
    _refuse_repeat(c, wish)
    view = load_view(c, wish.organization_id, wish.conversation_id, now)
    request = wish.request
    run = Run(
        id=RunId(make_id("run")),
        organization_id=wish.organization_id,
        agent_id=view.agent.id,
        conversation_id=wish.conversation_id,
        status=RunStatus.RUNNING,
        background=request.background,
        request={"options": request.options, "reader": request.reader, DIGEST: digest_of(request.inputs)},
        project_id=view.agent.project_id,
        template_id=view.agent.template_id,
        base_template_id=view.agent.base_template_id,
        metadata=request.metadata,
        worker_id=worker_id,
        fence=1,
        callback_url=request.callback_url,
        created_at=now,
    )
    if not conversations.claim(c, view.conversation.id, run.id):
        raise Busy(view.conversation.id, view.conversation.active_run_id or "unknown")
    if not alone:  # another process may have let the same in just before the claim
        _refuse_repeat(c, wish)
    runs.insert_run(c, run)
    if wish.on_accept is not None:
        wish.on_accept(c, run)
    view = admit(c, view, run, request.inputs, now)
    return TurnState(run=run, request=request, view=view, started_ns=started_ns)


def _refuse_repeat(c: Connection, wish: Wish) -> None:
    if not wish.once:
        return
    known = sent_before(c, wish.organization_id, wish.conversation_id, wish.request)
    if known is not None:
        raise CameBefore(known)
