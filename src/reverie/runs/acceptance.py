"""The transactions that make a request a run: at once, in line, or out of the line."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import Connection

from reverie.domain.agent import Agent
from reverie.domain.errors import Busy, ReverieError
from reverie.domain.events import RunEnded, RunFailure
from reverie.domain.ids import ConversationId, OrganizationId, RunId, make_id
from reverie.domain.inputs import BusyPolicy, Request
from reverie.domain.message import MessageKind
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.loop.state import TurnState, View, admit, view_of
from reverie.runs.arrivals import DIGEST, digest_of, sent_before
from reverie.runs.handover import Begun, go_on
from reverie.storage import agents, conversations, endings, messages, run_events, runs, threads, waiting
from reverie.storage.threads import Thread
from reverie.storage.together import aside
from reverie.storage.waiting import Place

_WORDS: Final = (MessageKind.USER, MessageKind.SYSTEM, MessageKind.ASSISTANT)
OnAccept: TypeAlias = Callable[[Connection, Run], None]
"""Stores something together with a run that is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request on its way to being accepted."""

    organization_id: OrganizationId
    conversation_id: ConversationId
    request: Request
    policy: BusyPolicy | None = None
    """None: as the agent has it."""
    on_accept: OnAccept | None = None
    once: bool = False
    """Inputs that came before under the same otids are not let in again."""
    again: bool = False
    """The client sends it again by itself, because it failed or was not answered."""
    stored: bool = False
    """Where it must wait, it waits as a run of its own, which any worker may start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """The process that accepts."""

    worker_id: str
    now: datetime
    when_busy: BusyPolicy
    has_room: bool = True
    """Whether it may drive a run that others could drive as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """A request that stands in line."""

    place_id: str
    holder: RunId | None
    """The run that holds the conversation."""
    run: Run | None = None
    """The waiting run, where it waits as one."""
    interrupts: bool = False
    """The holder was told to stop."""


class CameBefore(ReverieError):
    """The inputs are those of a run that is there; undoes the one that was to be stored."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"sent before to run {run.id!r}")
        self.run = run


class NotStarted(ReverieError):
    """A waiting run cannot be started, now or ever; undoes the start."""

    def __init__(self, run_id: RunId, why: ReverieError) -> None:
        super().__init__(str(why))
        self.run_id = run_id
        self.why = why


def begin(c: Connection, wish: Wish, acceptor: Acceptor, place_id: str | None = None) -> TurnState | Waits:
    """Claim the conversation, store the run and let its inputs in; or stand in line, and keep the place there.

    Raises:
        Busy: another run holds the conversation and the policy is to refuse.
        CameBefore: the inputs are those of an earlier run.
        ReverieError: as `RunEngine.send`.
    """
    started_ns = time.monotonic_ns()
    run_id = RunId(make_id("run"))
    in_line = place_id is not None and waiting.has(c, place_id)
    may_drive = acceptor.has_room or not wish.stored
    claimed = _claim(c, wish, run_id, place_id if in_line else None) if may_drive else None
    if wish.once:
        with aside(c):  # whoever let the same inputs in meanwhile has had the conversation since, so the claim fails
            known = sent_before(c, wish.organization_id, wish.conversation_id, wish.request)
        if known is not None:
            raise CameBefore(known)
    if claimed is None:
        return _wait(c, wish, acceptor, run_id, place_id if in_line else None)
    if place_id is not None:
        waiting.leave(c, place_id)
    view = view_of(c, claimed, acceptor.now)
    if wish.again:
        view = _without_failed(c, view, wish.request)
    run = _run_of(wish, run_id, view.agent, acceptor.now, worker_id=acceptor.worker_id)
    runs.insert_run(c, run)
    if wish.on_accept is not None:
        wish.on_accept(c, run)
    view = admit(c, view, run, wish.request.inputs, acceptor.now)
    return TurnState(run=run, request=wish.request, view=view, started_ns=started_ns)


def _without_failed(c: Connection, view: View, request: Request) -> View:
    """`view` without what the same request said before, where its run failed before anything came of it."""
    run_id = view.context[-1].run_id
    said = [message for message in view.context if message.run_id == run_id]
    found = [] if run_id is None else runs.get_many(c, view.agent.organization_id, [run_id])
    digest = digest_of(request.inputs)
    if not any(run.status is RunStatus.FAILED and run.request.get(DIGEST) == digest for run in found):
        return view
    if any(message.step_id is not None or message.kind not in _WORDS for message in said):
        return view
    messages.delete_many(c, [message.id for message in said])
    return replace(view, context=view.context[: -len(said)])


def begin_waiting(c: Connection, worker_id: str, now: datetime) -> Begun | None:
    """Start the run that has waited longest of those that can be started, or go on with it; None: there is none.

    Raises:
        NotStarted: its inputs cannot be let in.
    """
    place = waiting.startable(c)
    if place is None or place.request is None:
        return None
    started_ns = time.monotonic_ns()
    run_id = place.run_id
    try:
        if runs.get_any(c, run_id).status is RunStatus.RUNNING:
            waiting.leave(c, place.id)
            return go_on(c, place, worker_id, now)
        claimed = threads.claim(c, place.organization_id, place.conversation_id, run_id, out_of_line=True)
        if claimed is None:
            return None
        waiting.leave(c, place.id)
        run = runs.start(c, run_id, worker_id)
        view = admit(c, view_of(c, claimed, now), run, place.request.inputs, now)
    except ReverieError as error:
        raise NotStarted(run_id, error) from error
    return Begun(TurnState(run=run, request=place.request, view=view, started_ns=started_ns))


def end_waiting(
    c: Connection, run: Run, stop_reason: StopReason, failure: RunFailure | None, now: datetime
) -> tuple[Run, Agent] | None:
    """End a run that waits, without letting its inputs in unless they are; None: it does not wait any more."""
    if not waiting.give_up(c, run.id):
        return None
    runs.end_run(
        c,
        run,
        stop_reason=stop_reason,
        usage=run.usage,
        now=now,
        ttft_ns=None,
        total_duration_ns=None,
        failure=failure,
    )
    if run.status is RunStatus.RUNNING:  # it was put back
        runs.stop_last_step(c, run.id, stop_reason, "cancelled" if failure is None else "failed")
        endings.release(c, run.conversation_id, run.id, now)
    last = RunEnded(run_id=run.id, stop_reason=stop_reason, usage=run.usage, failure=failure)
    run_events.append(c, run.id, run_events.count(c, run.id) + 1, [last])
    return runs.get(c, run.organization_id, run.id), agents.get(c, run.organization_id, run.agent_id)


def _claim(c: Connection, wish: Wish, run_id: RunId, place_id: str | None) -> Thread | None:
    if place_id is not None and waiting.first(c, wish.conversation_id) != place_id:
        return None
    out_of_line = place_id is not None
    return threads.claim(c, wish.organization_id, wish.conversation_id, run_id, out_of_line=out_of_line)


def _wait(c: Connection, wish: Wish, acceptor: Acceptor, run_id: RunId, place_id: str | None) -> Waits:
    conversation = conversations.get(c, wish.organization_id, wish.conversation_id)
    if place_id is None and conversation.active_run_id is not None:
        # The holder's end looks whether anybody waits. So it either sees who is about to, or is seen here.
        runs.hold_end_off(c, RunId(conversation.active_run_id))
        conversation = conversations.get(c, wish.organization_id, wish.conversation_id)
    holder = None if conversation.active_run_id is None else RunId(conversation.active_run_id)
    if place_id is not None:
        return Waits(place_id=place_id, holder=holder)
    agent = agents.get(c, wish.organization_id, conversation.agent_id)
    policy = wish.policy or agent.when_busy or acceptor.when_busy
    busy = holder or waiting.first(c, wish.conversation_id)
    if busy is not None and policy == "reject":
        raise Busy(conversation.id, busy)
    interrupts = policy == "interrupt" and holder is not None
    if interrupts and holder is not None:
        _interrupt(c, holder, acceptor.now)
    run = _run_of(wish, run_id, agent, acceptor.now, worker_id=None) if wish.stored else None
    place = Place(
        id=make_id("place") if run is None else run.id,
        organization_id=wish.organization_id,
        conversation_id=wish.conversation_id,
        worker_id=acceptor.worker_id if run is None else None,
        request=None if run is None else wish.request,
    )
    if run is not None:
        runs.insert_run(c, run)
        if wish.on_accept is not None:
            wish.on_accept(c, run)
    waiting.enter(c, place, ahead=policy == "interrupt")
    return Waits(place_id=place.id, holder=holder, run=run, interrupts=interrupts)


def _interrupt(c: Connection, holder: RunId, now: datetime) -> None:
    """Stop the run that holds the conversation: at once where nobody drives it, else through who does."""
    run = runs.unended(c, holder)
    if run is None:
        return
    if run.worker_id is not None or end_waiting(c, run, StopReason.CANCELLED, None, now) is None:
        runs.request_cancel(c, holder)


def _run_of(wish: Wish, run_id: RunId, agent: Agent, now: datetime, *, worker_id: str | None) -> Run:
    """The run of a request: driven by a worker, or waiting for one."""
    request = wish.request
    return Run(
        id=run_id,
        organization_id=wish.organization_id,
        agent_id=agent.id,
        conversation_id=wish.conversation_id,
        status=RunStatus.CREATED if worker_id is None else RunStatus.RUNNING,
        background=request.background,
        request={"options": request.options, "reader": request.reader, DIGEST: digest_of(request.inputs)},
        project_id=agent.project_id,
        template_id=agent.template_id,
        base_template_id=agent.base_template_id,
        metadata=request.metadata,
        worker_id=worker_id,
        fence=0 if worker_id is None else 1,
        callback_url=request.callback_url,
        created_at=now,
    )
