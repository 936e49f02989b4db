"""Drives one turn, until the model stops, a person must answer, or a limit is met."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, Literal, assert_never

from sqlalchemy import Connection

from reverie.auth.cipher import Cipher
from reverie.context.fitting import fit_turns
from reverie.context.pairing import OpenCalls, lost_calls
from reverie.context.tokens import estimate_prompt, shows_images
from reverie.domain.clock import Clock
from reverie.domain.errors import (
    Draining,
    ModelContextOverflow,
    ModelEmptyReply,
    ModelError,
    ModelReplyWithheld,
    ReverieError,
)
from reverie.domain.events import Event, MessageSaved, RunEnded, RunFailure
from reverie.domain.ids import StepId, make_id
from reverie.domain.message import ApprovalRequestBody, Body, EventBody, Message, SystemBody, calls_of, text_parts
from reverie.domain.provider import ModelInfo
from reverie.domain.run import Step, Usage
from reverie.domain.stop_reason import StopReason
from reverie.domain.token_ratio import TokenRatio
from reverie.domain.trace import Exchange
from reverie.loop.calibration import TokenRatios
from reverie.loop.compact import Compactor, announcement, compact, plan_compaction
from reverie.loop.decide import CallModel, End, Move, Nudge, RunTools, decide
from reverie.loop.draft import Draft
from reverie.loop.meaning import Meaning
from reverie.loop.measure import Measured
from reverie.loop.offer import compile_request
from reverie.loop.state import TurnState, View, lost_result, new_message, refresh_prompt, reload_view, results_message
from reverie.loop.toolbox import Toolbox
from reverie.loop.tracing import exchange_of
from reverie.models.base import (
    CallChunk,
    ChatModel,
    FinishChunk,
    ModelCatalogs,
    Prompt,
    ReasoningChunk,
    TextChunk,
    UsageChunk,
)
from reverie.models.exchange import listen
from reverie.models.retry import RetryPolicy, stream_with_retries
from reverie.storage import endings, messages, runs, sleeptime, token_ratios
from reverie.storage.database import Database
from reverie.tools.base import BuiltinTool, ToolExecutor

MAX_COMPACTIONS: Final = 4
"""Tries to make one request fit before giving up on it."""
LEAST_ANSWER: Final = 256
"""Tokens an answer may have in any case."""
EMPTY_REPLIES: Final = 2
"""Empty replies to a turn's first request that are asked again."""
_WHOLE_TURN: Final = frozenset({StopReason.END_TURN, StopReason.TOOL_RULE, StopReason.MAX_STEPS})
"""How a turn ends that sleeptime agents count: it was neither cut short nor is it to go on after an approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopDeps:
    """What the loop works with."""

    database: Database
    catalogs: ModelCatalogs
    meaning: Meaning
    """Lets messages be found by meaning."""
    builtin: Mapping[str, BuiltinTool]
    executor: ToolExecutor
    cipher: Cipher
    ratios: TokenRatios
    clock: Clock
    retries: RetryPolicy
    fault: Callable[[str], None]
    """Called at each crash point; does nothing outside of fault tests."""
    draining: Callable[[], bool]
    """Whether the server is shutting down."""
    keep_exchange: Callable[[Exchange], None] | None = None
    """Takes what was said to the provider, at no cost to the turn; None: nobody wants it."""


@dataclass(slots=True)
class _Asked:
    """A request on its way, for those who keep what was said."""

    info: ModelInfo
    sent: list[bytes]
    began_ns: int = field(default_factory=time.monotonic_ns)
    ended_ns: int | None = None


class Turn:
    """One turn. `drive` it; when its task was cancelled, `abandon` it."""

    def __init__(self, state: TurnState, deps: LoopDeps) -> None:
        self.state = state
        self._deps = deps
        self._draft: Draft | None = None
        self._asked: _Asked | None = None
        self._sent: tuple[Prompt, int] | None = None
        """The request that the draft answers, and its estimated tokens."""
        self._toolbox = Toolbox(
            request=state.request,
            builtin=deps.builtin,
            executor=deps.executor,
            catalogs=deps.catalogs,
            meaning=deps.meaning,
            cipher=deps.cipher,
            database=deps.database,
        )

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
        state, draft = self.state, self._draft
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
                runs.insert_step(c, self._step(draft, None, now, reason, failure))
            runs.stop_last_step(c, state.run.id, reason, "cancelled" if failure is None else "failed")
            return results

        results = await self._deps.database.write(save)
        if draft is not None:
            self._keep_exchange(draft, failure)
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
        async with aclosing(self._draft_reply(model)) as events:
            async for event in events:
                yield event
        draft = self._draft
        assert draft is not None
        now = self._deps.clock()
        added = self._messages_of(draft, now)
        view = replace(state.view, context=(*state.view.context, *added))
        state.steps += 1
        state.usage = state.usage + self._usage(draft, view)
        move: Move = End(StopReason.MAX_TOKENS_EXCEEDED) if _cut_short(draft) else self._next(view, silent=not added)
        if isinstance(move, End) and draft.has_calls and move.reason is StopReason.MAX_TOKENS_EXCEEDED:
            note = "The reply was cut off at the token limit, so this call was not run."
            step_id = draft.step_id
            lost = [lost_result(call, note) for item in added for call in calls_of(item.body)]
            added.append(results_message(view, state.run, step_id, lost, now))
        if isinstance(move, Nudge):
            added.append(self._nudge_message(move.text, now))
        ends = move.reason if isinstance(move, End) else None
        learnt = self._learn(model, draft)

        def save(c: Connection) -> View:
            step = self._step(draft, model, now, ends)
            if ends is None:
                runs.hold_fence(c, state.run, {"usage": state.usage})
                runs.insert_step(c, step)
            else:
                self._close(c, ends, now, step=step)
            messages.append(c, added)
            if learnt is not None:
                token_ratios.put(c, state.run.organization_id, model.info.handle, learnt, now)
            if isinstance(move, Nudge):  # the model is asked at once, and memory may have changed by any hand
                return reload_view(c, state.view, added, now)
            return replace(state.view, context=(*state.view.context, *added))

        state.view = await self._deps.database.write(save)
        self._keep_exchange(draft)
        self._draft = None
        self._deps.fault("reply_saved")
        for item in added:
            yield MessageSaved(message=item, streamed=item.step_id == draft.step_id and item.kind != "tool_return")
        if ends is not None:
            self._deps.fault("run_ended")
            yield self._ended(ends, None)

    async def _draft_reply(self, model: ChatModel) -> AsyncGenerator[Event, None]:
        """Write a reply into the draft, making room first where the request would not fit."""
        ratio = await self._deps.ratios.of(self.state.run.organization_id, model.info.handle)
        measured = self._measured(model, ratio)
        if not measured.fits and measured.tokens > measured.budget.total:
            async for event in self._compact(model, ratio, measured, 0):
                yield event
            measured = self._measured(model, ratio)
        overflows = empty = 0
        while True:
            try:
                async with aclosing(self._request(model, self._fitting(model, ratio, measured, overflows))) as events:
                    async for event in events:
                        yield event
            except ModelContextOverflow as error:
                overflows += 1
                measured.refuse_hopeless(ratio, error)
                if overflows > MAX_COMPACTIONS:
                    raise
                async for event in self._compact(model, ratio, measured, overflows):
                    yield event
                measured = self._measured(model, ratio)
                continue
            if self._answered(model):
                return
            empty += 1
            if empty > EMPTY_REPLIES:
                raise ModelEmptyReply(
                    f"{model.info.handle} answered {empty} times with empty content in its reply: "
                    "neither text nor a tool call"
                )

    def _fitting(self, model: ChatModel, ratio: TokenRatio, measured: Measured, overflows: int) -> Prompt:
        """The request as it is sent: shortened where it is too long, its answer no longer than there is room for."""
        prompt, tokens = measured.prompt, measured.tokens
        if not measured.fits or overflows:
            most = measured.budget.smaller(overflows).total
            if tokens > most:
                prompt = replace(prompt, turns=fit_turns(prompt, most))
                tokens = estimate_prompt(prompt)
            wanted = prompt.settings.max_output_tokens or 0
            left = max(model.info.context_window - ratio.counted(tokens), LEAST_ANSWER)
            if wanted > left and not prompt.settings.thinking_budget_tokens:
                prompt = replace(prompt, settings=replace(prompt.settings, max_output_tokens=left))
        self._sent = (prompt, tokens)
        return prompt

    def _learn(self, model: ChatModel, draft: Draft) -> TokenRatio | None:
        """Take in what the provider counted; the ratio where it is to be stored."""
        if draft.usage is None or self._sent is None or not draft.usage.prompt_tokens:
            return None
        prompt, tokens = self._sent
        if shows_images(prompt.turns):
            return None
        return self._deps.ratios.learn(
            self.state.run.organization_id, model.info.handle, estimated=tokens, reported=draft.usage.prompt_tokens
        )

    async def _request(self, model: ChatModel, prompt: Prompt) -> AsyncGenerator[Event, None]:
        """Send one request and stream what comes into a fresh draft."""
        draft = self._draft = self._fresh_draft(model)
        if self._deps.keep_exchange is not None:
            self._asked = _Asked(model.info, listen())
        self._deps.fault("model_called")
        async with aclosing(stream_with_retries(model, prompt, self._deps.retries)) as chunks:
            async for chunk in chunks:
                event = _take(draft, chunk)
                if event is None:
                    continue
                if self.state.first_delta_ns is None:
                    self.state.first_delta_ns = time.monotonic_ns()
                yield event
                self._deps.fault("reply_streaming")
        if self._asked is not None:
            self._asked.ended_ns = time.monotonic_ns()
        view, run = self.state.view, self.state.run
        draft.ask_only(partial(self._toolbox.is_hopeless, view, run))
        for delta in draft.held_back(partial(self._toolbox.as_rules_have_it, view, run)):
            yield delta

    def _answered(self, model: ChatModel) -> bool:
        """Whether the draft is a reply, if only one cut off at its token limit.

        Nothing at all is one only after tools: the model has no more to say.

        Raises:
            ModelReplyWithheld: the provider's content rules kept the reply back.
        """
        draft = self._draft
        if draft is None or not draft.is_empty:
            return draft is not None
        if draft.finish is not None and draft.finish.reason == "content_filter":
            raise ModelReplyWithheld(f"{model.info.handle} refused to answer because of its content rules")
        return self.state.steps > 0 or _cut_short(draft)

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

    async def _compact(
        self, model: ChatModel, ratio: TokenRatio, measured: Measured, overflows: int
    ) -> AsyncGenerator[Event, None]:
        """Let old messages leave, with room for half as much after each request that the provider refused."""
        state = self.state
        plan = plan_compaction(state.view, measured.window >> overflows, measured.budget.smaller(overflows))
        if plan is None:
            return
        compactor = Compactor(
            catalog=await self._deps.catalogs.of(state.run.organization_id),
            ratios=self._deps.ratios,
            retries=self._deps.retries,
            model=model,
            window=measured.window,
            ratio=ratio,
        )
        yield await self._note(announcement(plan, state.view, compactor))
        done = await compact(state.view, plan, compactor)
        if done.failure is not None:
            yield await self._note(done.failure)
        now = self._deps.clock()
        summary = new_message(state.view, done.summary, now, run=state.run)

        def save(c: Connection) -> View:
            runs.hold_fence(c, state.run)
            messages.drop_from_context(c, [message.id for message in done.cut.leaving])
            messages.append(c, [summary])
            view = replace(state.view, context=(state.view.context[0], summary, *done.cut.staying))
            # Writing a summary takes a while, and memory may have changed by any hand since.
            return refresh_prompt(c, reload_view(c, view, (), now), now, force=True)

        state.view = await self._deps.database.write(save)
        yield MessageSaved(message=summary)

    async def _note(self, body: EventBody) -> MessageSaved:
        """Store what clients are told and the model is not."""
        state = self.state
        note = replace(new_message(state.view, body, self._deps.clock(), run=state.run), in_context=False)

        def save(c: Connection) -> None:
            runs.hold_fence(c, state.run)
            messages.append(c, [note])

        await self._deps.database.write(save)
        return MessageSaved(message=note)

    def _measured(self, model: ChatModel, ratio: TokenRatio) -> Measured:
        """The next request with its size; going through a long context takes a while, so once is enough."""
        prompt = self._prompt(model)
        return Measured(prompt, estimate_prompt(prompt), ratio.estimated(self._window(model)))

    def _prompt(self, model: ChatModel) -> Prompt:
        state = self.state
        return compile_request(state.view, state.request.options, model.info, state.run.id)

    def _window(self, model: ChatModel) -> int:
        limit = self.state.view.window_limit
        return min(limit, model.info.context_window) if limit else model.info.context_window

    def _keep_exchange(self, draft: Draft, failure: RunFailure | None = None) -> None:
        asked = self._asked
        if asked is None or self._deps.keep_exchange is None:
            return
        self._asked = None
        took = time.monotonic_ns() - asked.began_ns if asked.ended_ns is None else asked.ended_ns - asked.began_ns
        exchange = exchange_of(self.state, draft, asked.sent, asked.info, latency_ns=took, failure=failure)
        self._deps.keep_exchange(exchange)

    def _fresh_draft(self, model: ChatModel) -> Draft:
        view = self.state.view
        return Draft(
            run_id=self.state.run.id,
            step_id=StepId(make_id("step")),
            reasoning_origin=model.reasoning_origin,
            gate=lambda name, before: self._toolbox.gate(view, self.state.run, name, before),
            taken_call_ids=frozenset(call.id for message in view.context for call in calls_of(message.body)),
            started_at=self._deps.clock(),
        )

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
        if not isinstance(body, ApprovalRequestBody):
            return body
        calls = (self._toolbox.as_rules_have_it(self.state.view, self.state.run, call) for call in body.calls)
        return replace(body, calls=tuple(calls))

    def _usage(self, draft: Draft, view: View) -> Usage:
        told = draft.usage
        if told is None:
            return Usage(step_count=1)
        return Usage(
            prompt_tokens=told.prompt_tokens,
            completion_tokens=told.completion_tokens,
            total_tokens=told.prompt_tokens + told.completion_tokens,
            step_count=1,
            cached_input_tokens=told.cached_input_tokens,
            cache_write_tokens=told.cache_write_tokens,
            reasoning_tokens=told.reasoning_tokens,
            context_tokens=told.prompt_tokens + told.completion_tokens,
        )

    def _step(
        self,
        draft: Draft,
        model: ChatModel | None,
        now: datetime,
        ends: StopReason | None,
        failure: RunFailure | None = None,
    ) -> Step:
        run, view = self.state.run, self.state.view
        info = None if model is None else model.info
        return Step(
            id=draft.step_id,
            organization_id=run.organization_id,
            run_id=run.id,
            agent_id=run.agent_id,
            conversation_id=run.conversation_id,
            status=_step_status(draft, ends, failure),
            stop_reason=ends,
            model=info.name if info else view.model_handle.partition("/")[2],
            model_handle=info.handle if info else view.model_handle,
            model_endpoint=info.endpoint if info else None,
            provider_name=info.provider_name if info else None,
            provider_category=info.category if info else None,
            context_window_limit=self._window(model) if model else view.window_limit,
            usage=self._usage(draft, view),
            error_type=None if failure is None else failure.error_type,
            error_data=None if failure is None else {"message": failure.message, "detail": failure.detail},
            project_id=view.agent.project_id,
            model_ns=int((now - draft.started_at).total_seconds() * 1e9),
            created_at=draft.started_at,
        )

    def _close(
        self,
        c: Connection,
        reason: StopReason,
        now: datetime,
        *,
        step: Step | None = None,
        failure: RunFailure | None = None,
    ) -> None:
        """End the run; `step` is its last one where that is to be stored as well."""
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
        state.others_wait = endings.leave(
            c, state.run, now=now, duration_ms=elapsed // 1_000_000, stop_reason=reason, step=step
        )
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


def _take(draft: Draft, chunk: TextChunk | ReasoningChunk | CallChunk | UsageChunk | FinishChunk) -> Event | None:
    match chunk:
        case TextChunk():
            return draft.add_text(chunk) if chunk.text else None
        case ReasoningChunk():
            return draft.add_reasoning(chunk)
        case CallChunk():
            return draft.add_call(chunk)
        case UsageChunk():
            draft.usage = chunk
            return None
        case FinishChunk():
            draft.finish = chunk
            return None


def _step_status(
    draft: Draft, ends: StopReason | None, failure: RunFailure | None
) -> Literal["pending", "success", "failed", "cancelled"]:
    if failure is not None:
        return "failed"
    if ends is StopReason.CANCELLED:
        return "cancelled"
    return "pending" if ends is None and draft.has_calls else "success"


def _asked_at(c: Connection, caller: Message) -> datetime:
    """When the request was sent that `caller` answers: what changed since then its model has not read."""
    if caller.step_id is None or not runs.has_step(c, caller.step_id):
        return caller.created_at
    return runs.get_step(c, caller.organization_id, caller.step_id).created_at


def _cut_short(draft: Draft) -> bool:
    return draft.finish is not None and draft.finish.reason == "length"


__all__ = ["LoopDeps", "Turn", "failure_of"]
