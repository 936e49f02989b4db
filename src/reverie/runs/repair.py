"""Looks through a conversation for what a healthy server never leaves behind, and mends it.

The next message would succeed without it: loading pairs calls, and dead runs are ended on the way.
Here a person sees what is wrong, and puts it right for readers of the history too.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from reverie.context.pairing import lost_calls, open_calls
from reverie.domain.clock import Clock
from reverie.domain.conversation import Conversation
from reverie.domain.errors import NotFound
from reverie.domain.ids import ConversationId, MessageId, OrganizationId, RunId
from reverie.domain.message import Message, MessageKind, ToolReturnBody, calls_of
from reverie.domain.repair import Fault, FaultKind
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus
from reverie.loop.state import load_view, lost_result, results_message
from reverie.runs import workers
from reverie.runs.workers import Worker
from reverie.storage import conversations, endings, messages, runs, waiting
from reverie.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Mender:
    """Who looks, and how to tell runs that are driven from runs that nobody drives any more."""

    worker: Worker
    clock: Clock
    alone: bool
    """No other process has the database open."""
    mine: Container[RunId] = ()
    """Runs that this process drives."""

    async def look(
        self, database: Database, organization_id: OrganizationId, conversation_id: ConversationId, dry_run: bool
    ) -> list[Fault]:
        """Report what is wrong with a conversation, and mend it in the same transaction unless it is a `dry_run`.

        A conversation in which a run is at work is left alone: what is open there is about to be closed.
        """

        def work(c: Connection) -> list[Fault]:
            try:
                read = conversations.get if dry_run else conversations.hold
                conversation = read(c, organization_id, conversation_id)
            except NotFound:  # deleted meanwhile
                return []
            return self._repair(c, conversation, dry_run)

        return await (database.read(work) if dry_run else database.write(work))

    def _repair(self, c: Connection, conversation: Conversation, dry_run: bool) -> list[Fault]:
        now = self.clock()
        known = runs.active_of(c, conversation.organization_id, conversation_id=conversation.id)
        active = [run for run in known if run.status is not RunStatus.CREATED]  # what waits has not begun
        elsewhere = workers.living_others(c, self.worker, now, alone=self.alone) if active else set()
        if any(
            run.id in self.mine or run.worker_id in elsewhere or (run.worker_id is None and waiting.has(c, run.id))
            for run in active
        ):
            return []
        context = messages.load_context(c, conversation.id)
        faults = [
            *_of_runs(conversation, active),
            *_of_prompts(conversation, context),
            *_of_pairs(conversation, context),
        ]
        if faults and not dry_run:
            _mend(c, self.worker, conversation, active, context, faults, now)
        return faults


def _of_runs(conversation: Conversation, active: list[Run]) -> list[Fault]:
    here = conversation.id
    faults = [
        Fault(
            kind=FaultKind.DEAD_RUN,
            conversation_id=here,
            run_id=run.id,
            remedy="it is ended as failed, and its calls get results that say so",
        )
        for run in active
    ]
    holder = conversation.active_run_id
    if holder is not None and holder not in {run.id for run in active}:
        remedy = "the conversation is released"
        faults.append(Fault(kind=FaultKind.STALE_CLAIM, conversation_id=here, run_id=RunId(holder), remedy=remedy))
    return faults


def _of_prompts(conversation: Conversation, context: list[Message]) -> list[Fault]:
    here = conversation.id
    prompts = [message.id for message in context if message.kind is MessageKind.PROMPT]
    faults = [
        Fault(
            kind=FaultKind.STRAY_PROMPT,
            conversation_id=here,
            message_id=prompt,
            remedy="it is taken out of the context and stays in the history",
        )
        for prompt in prompts
        if prompt != conversation.prompt_id
    ]
    if conversation.prompt_id is None or conversation.prompt_id not in prompts:
        faults.append(
            Fault(kind=FaultKind.MISSING_PROMPT, conversation_id=here, remedy="it is compiled from what is stored")
        )
    return faults


def _of_pairs(conversation: Conversation, context: list[Message]) -> list[Fault]:
    here = conversation.id
    waiting = open_calls(context)
    if waiting is not None and not waiting.undecided:
        waiting = None  # nobody is at work, so what could run never will
    callers = {call.id: message.id for message in context for call in calls_of(message.body)}
    faults = [
        Fault(
            kind=FaultKind.CALL_WITHOUT_RESULT,
            conversation_id=here,
            message_id=callers[call.id],
            tool_call_id=call.id,
            remedy="it gets a result that says it was not finished",
        )
        for call in lost_calls(context, waiting=waiting)
    ]
    faults += [
        Fault(
            kind=FaultKind.RESULT_WITHOUT_CALL,
            conversation_id=here,
            message_id=message.id,
            tool_call_id=item.tool_call_id,
            remedy="it is taken out of the context",
        )
        for message in context
        if isinstance(message.body, ToolReturnBody)
        for item in message.body.returns
        if item.tool_call_id not in callers
    ]
    return faults


def _mend(
    c: Connection,
    worker: Worker,
    conversation: Conversation,
    active: list[Run],
    context: list[Message],
    faults: list[Fault],
    now: datetime,
) -> None:
    for run in active:
        workers.end_dead_run(c, worker, run, now)
    if conversation.active_run_id is not None:
        endings.release(c, conversation.id, RunId(conversation.active_run_id), now)
    messages.drop_from_context(c, _named(faults, FaultKind.STRAY_PROMPT))
    orphans = {fault.tool_call_id for fault in faults if fault.kind is FaultKind.RESULT_WITHOUT_CALL}
    for message in context:
        if isinstance(message.body, ToolReturnBody):
            kept = tuple(item for item in message.body.returns if item.tool_call_id not in orphans)
            if not kept:
                messages.drop_from_context(c, [message.id])
            elif len(kept) < len(message.body.returns):
                messages.replace_body(c, message.id, replace(message.body, returns=kept))
    view = load_view(c, conversation.organization_id, conversation.id, now)
    waiting = open_calls(view.context)
    lost = lost_calls(view.context, waiting=waiting if waiting is not None and waiting.undecided else None)
    if lost:
        messages.append(c, [results_message(view, None, None, [lost_result(call) for call in lost], now)])


def _named(faults: list[Fault], kind: FaultKind) -> list[MessageId]:
    return [fault.message_id for fault in faults if fault.kind is kind and fault.message_id is not None]
