"""Drives one turn, until the model stops, a person must answer, or a limit is met."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from sqlalchemy import Connection

from reverie.context.pairing import OpenCalls, lost_calls
from reverie.domain.errors import (
    Draining,
    ModelError,
    ModelRefused,
    ModelReplyWithheld,
    ReverieError,
)
from reverie.domain.events import Event, MessageSaved, RunEnded, RunFailure
from reverie.domain.message import ApprovalRequestBody, Body, Message, SystemBody, ToolCallBody, calls_of, text_parts
from reverie.domain.run import Step
from reverie.domain.stop_reason import StopReason
from reverie.loop.asking import Asker
from reverie.loop.decide import CallModel, End, Move, Nudge, RunTools, decide
from reverie.loop.deps import LoopDeps
from reverie.loop.draft import Draft
from reverie.loop.state import TurnState, View, lost_result, new_message, reload_view, results_message
from reverie.loop.steps import step_of, usage_of
from reverie.loop.toolbox import Toolbox
from reverie.models.base import ChatModel
from reverie.storage import endings, messages, runs, sleeptime, token_ratios

_WHOLE_TURN: Final = frozenset({StopReason.END_TURN, StopReason.TOOL_RULE, StopReason.MAX_STEPS})
"""How a turn ends that sleeptime agents count: it was neither cut short nor is it to go on after an approval."""


class Turn:
    """One turn. `drive` it; when its task was cancelled, `abandon` it."""

    def __init__(self, state: TurnState, deps: LoopDeps) -> None:
        self.state = state
        self._deps = deps
        self._toolbox = Toolbox(
            request=state.request,
            builtin=deps.builtin,
            executor=deps.executor,
            catalogs=deps.catalogs,
            meaning=deps.meaning,
            cipher=deps.cipher,
            database=deps.database,
        )
        self._asker = Asker(state, deps, self._toolbox)
        self._refused = False
        """What the turn was begun with was refused by the provider, and would be again with each later message."""

    async def drive(self) -> AsyncGenerator[Event, None]:
        """Yield deltas while the model writes, and every other event once it is committed.

        Raises:
            RunLost: somebody else ended the run; nothing more was written.
            ReverieError: the turn failed; `abandon` it with what `failure_of` makes of the error.
        """
        move: Move = self._next(self.state.view)
        while True:
            match move:
                case CallModel():
                    async with aclosing(self._reply()) as events:
                        async for event in events:
                            yield event
                case RunTools(calls):
                    for event in await self._run_tools(calls):
                        yield event
                case Nudge(text):
                    await self._nudge(text)
                case End(reason):
                    yield await self._end(reason)
                    return
                case _ as impossible:
                    assert_never(impossible)
            if self.state.run.completed_at is not None:
                return
            if self._deps.draining():
                raise Draining("the server is shutting down; send the message again when it is back")
            move = self._next(self.state.view)

    async def abandon(self, reason: StopReason, note: str, failure: RunFailure | None = None) -> list[Event]:
        """End the run early: keep the text written so far, and give every open call a result that says why.

        Raises:
            RunLost: the run has ended already.
        """
        state, draft = self.state, self._asker.draft
        now = self._deps.clock()
        words = (
            []
            if draft is None or reason is not StopReason.CANCELLED
            else self._messages_of(draft, now, with_calls=False)
        )

        def save(c: Connection) -> list[Message]:
            # A cancel may strike while a commit is under way, so what was saved is read back, not remembered.
            self._close(c, reason, now, failure=failure)
            context = messages.load_context(c, state.run.conversation_id)
            if self._refused:
                begun_with = [
                    item for item in context if item.run_id == state.run.id and item.kind in ("user", "system")
                ]
                messages.drop_from_context(c, [message.id for message in begun_with])
            known = {message.id for message in context}
            fresh = [message for message in words if message.id not in known]
            lost = lost_calls(context, waiting=None)
            results: list[Message] = []
            if lost:
                step_id = next((message.step_id for message in reversed(context) if calls_of(message.body)), None)
                returns = [lost_result(call, note) for call in lost]
                results.append(results_message(state.view, state.run, step_id, returns, now))
            messages.append(c, [*fresh, *results])
            if draft is not None and not runs.has_step(c, draft.step_id):
                limit = state.view.window_limit
                step = step_of(state, draft, now, model=None, window=limit, ends=reason, failure=failure)
                runs.insert_step(c, step)
            runs.stop_last_step(c, state.run.id, reason, "cancelled" if failure is None else "failed")
            return results

        results = await self._deps.database.write(save)
        self._asker.settle(failure)
        saved: list[Event] = [MessageSaved(message=message, streamed=True) for message in words]
        return [*saved, *(MessageSaved(message=message) for message in results), self._ended(reason, failure)]

    def _next(self, view: View, *, silent: bool = False) -> Move:
        return decide(
            view.context,
            agent=view.agent,
            tool_names=self._toolbox.names(view),
            run_id=self.state.run.id,
            steps=self.state.steps,
            max_steps=self.state.request.options.max_steps,
            silent=silent,
        )

    async def _reply(self) -> AsyncGenerator[Event, None]:
        """Ask the model once, and save its reply."""
        state = self.state
        catalog = await self._deps.catalogs.of(state.run.organization_id)
        model = await catalog.chat_model(state.request.options.override_model or state.view.model_handle)
        async with aclosing(self._asked(model)) as events:
            async for event in events:
                yield event
        draft = self._asker.draft
        assert draft is not None
        now = self._deps.clock()
        added = self._messages_of(draft, now)
        view = replace(state.view, context=(*state.view.context, *added))
        state.steps += 1
        state.usage = state.usage + usage_of(draft)
        move: Move = End(StopReason.MAX_TOKENS_EXCEEDED) if draft.is_cut_short else self._next(view, silent=not added)
        if isinstance(move, End) and draft.has_calls and move.reason is StopReason.MAX_TOKENS_EXCEEDED:
            note = "The reply was cut off at the token limit, so this call was not run."
            step_id = draft.step_id
            lost = [lost_result(call, note) for item in added for call in calls_of(item.body)]
            added.append(results_message(view, state.run, step_id, lost, now))
        if isinstance(move, Nudge):
            added.append(self._nudge_message(move.text, now))
        ends = move.reason if isinstance(move, End) else None
        learnt = self._asker.learn(model, draft)
        step = step_of(state, draft, now, model=model.info, window=self._asker.window(model), ends=ends)

        def save(c: Connection) -> View:
            if ends is None:
                runs.hold_fence(c, state.run, {"usage": state.usage})
                runs.insert_step(c, step)
                messages.append(c, added)
            else:
                self._close(c, ends, now, step=step, added=added)
            if learnt is not None:
                token_ratios.put(c, state.run.organization_id, model.info.handle, learnt, now)
            if isinstance(move, Nudge):  # the model is asked at once, and memory may have changed by any hand
                return reload_view(c, state.view, added, now)
            return replace(state.view, context=(*state.view.context, *added))

        state.view = await self._deps.database.write(save)
        self._asker.settle()
        self._deps.fault("reply_saved")
        for item in added:
            yield MessageSaved(message=item, streamed=item.step_id == draft.step_id and item.kind != "tool_return")
        if ends is not None:
            self._deps.fault("run_ended")
            yield self._ended(ends, None)

    async def _asked(self, model: ChatModel) -> AsyncGenerator[Event, None]:
        """The reply as it is written; where the turn's first request is refused, that is noted."""
        try:
            async with aclosing(self._asker.ask(model)) as events:
                async for event in events:
                    yield event
        except ModelRefused as error:
            self._refused = self.state.steps == 0 and not isinstance(error, ModelReplyWithheld)
            raise

    async def _run_tools(self, calls: OpenCalls) -> list[Event]:
        """Run all open calls of the last reply, and save all results at once."""
        state = self.state
        began = time.monotonic_ns()
        prepared = await self._toolbox.prepare(state.view, state.run, calls)
        self._deps.fault("tools_done")
        now = self._deps.clock()
        ids = {call.id for call in calls.calls}
        caller = next(m for m in reversed(state.view.context) if ids & {call.id for call in calls_of(m.body)})

        used = tuple(dict.fromkeys((*state.run.tools_used, *(call.name for call in calls.calls))))

        def save(c: Connection) -> tuple[View, Message]:
            runs.hold_fence(c, state.run, {"tools_used": list(used)})
            asked_at = None if caller.run_id == state.run.id else _asked_at(c, caller)
            returns = self._toolbox.apply(c, state.view, state.run, prepared, now, asked_at=asked_at)
            message = results_message(state.view, state.run, caller.step_id, returns, now)
            messages.append(c, [message])
            if caller.step_id is not None:
                took = time.monotonic_ns() - began
                times = self._toolbox.times(returns)
                runs.update_step(c, caller.step_id, {"status": "success", "tools_ns": took, "tool_times": times})
            return reload_view(c, state.view, [message], now), message

        state.view, message = await self._deps.database.write(save)
        state.run = replace(state.run, tools_used=used)
        self._deps.fault("results_saved")
        return [MessageSaved(message=message)]

    async def _nudge(self, text: str) -> None:
        now = self._deps.clock()
        message = self._nudge_message(text, now)

        def save(c: Connection) -> View:
            runs.hold_fence(c, self.state.run)
            messages.append(c, [message])
            return reload_view(c, self.state.view, [message], now)

        self.state.view = await self._deps.database.write(save)

    def _nudge_message(self, text: str, now: datetime) -> Message:
        return new_message(self.state.view, SystemBody(parts=text_parts(text)), now, run=self.state.run)

    async def _end(self, reason: StopReason) -> RunEnded:
        now = self._deps.clock()

        def save(c: Connection) -> None:
            self._close(c, reason, now)
            runs.stop_last_step(c, self.state.run.id, reason, "success")

        await self._deps.database.write(save)
        self._deps.fault("run_ended")
        return self._ended(reason, None)

    def _messages_of(self, draft: Draft, now: datetime, *, with_calls: bool = True) -> list[Message]:
        view = self.state.view
        # In a group whoever reads must be told who speaks.
        speaker = None if self.state.run.group_id is None else view.agent
        return [
            new_message(
                view,
                self._settled(item.body),
                now,
                run=self.state.run,
                step_id=draft.step_id,
                message_id=item.message_id,
                otid=item.otid,
                name=None if speaker is None else speaker.name,
                sender_id=None if speaker is None else speaker.id,
                model=view.model_handle,
            )
            for item in draft.written(with_calls=with_calls)
        ]

    def _settled(self, body: Body) -> Body:
        if not isinstance(body, ApprovalRequestBody | ToolCallBody):
            return body
        names = [call.name for call in body.calls]
        return replace(
            body,
            calls=tuple(
                self._toolbox.as_rules_have_it(self.state.view, self.state.run, call, names[:place])
                for place, call in enumerate(body.calls)
            ),
        )

    def _close(
        self,
        c: Connection,
        reason: StopReason,
        now: datetime,
        *,
        step: Step | None = None,
        added: Sequence[Message] = (),
        failure: RunFailure | None = None,
    ) -> None:
        """End the run; `step` and `added` are its last ones where they are to be stored as well."""
        state = self.state
        elapsed = time.monotonic_ns() - state.started_ns
        runs.end_run(
            c,
            state.run,
            stop_reason=reason,
            usage=state.usage,
            now=now,
            ttft_ns=None if state.first_delta_ns is None else state.first_delta_ns - state.started_ns,
            total_duration_ns=elapsed,
            failure=failure,
        )
        messages.append(c, added)
        if step is not None:
            runs.insert_step(c, step)
        state.others_wait = endings.leave(c, state.run, now=now, duration_ms=elapsed // 1_000_000, stop_reason=reason)
        if state.view.agent.enable_sleeptime and reason in _WHOLE_TURN:
            sleeptime.count_turn(c, state.run.agent_id, state.run.conversation_id)

    def _ended(self, reason: StopReason, failure: RunFailure | None) -> RunEnded:
        state = self.state
        state.run = replace(
            state.run,
            status=reason.run_status,
            stop_reason=reason,
            usage=state.usage,
            completed_at=self._deps.clock(),
        )
        return RunEnded(run_id=state.run.id, stop_reason=reason, usage=state.usage, failure=failure)


def failure_of(error: ReverieError, http_status: int) -> tuple[StopReason, RunFailure]:
    """What a run that died of `error` is said to have died of.

    Client programs read in `detail` whether to send the request again: by `Error code: 4…` they do not.
    """
    if isinstance(error, ModelError):
        status = error.provider_status
        detail = None if status is None else f"Error code: {status} - {error}"
        return error.stop_reason, RunFailure(
            error_type=error.error_type, message=str(error), detail=detail, http_status=http_status
        )
    return StopReason.ERROR, RunFailure(
        error_type="internal_error",
        message=str(error),
        detail=f"{type(error).__name__}: {error}",
        http_status=http_status,
    )


def _asked_at(c: Connection, caller: Message) -> datetime:
    """When the request was sent that `caller` answers: what changed since then its model has not read."""
    if caller.step_id is None or not runs.has_step(c, caller.step_id):
        return caller.created_at
    return runs.get_step(c, caller.organization_id, caller.step_id).created_at
