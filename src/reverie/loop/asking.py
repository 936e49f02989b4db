"""Asks the model for one reply: makes room for the request, sends it, and gathers what comes."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from reverie.context.fitting import fit_turns
from reverie.context.tokens import estimate_prompt, shows_images
from reverie.domain.errors import ModelContextOverflow, ModelEmptyReply, ModelReplyWithheld
from reverie.domain.events import Event, MessageSaved, RunFailure
from reverie.domain.ids import StepId, make_id
from reverie.domain.message import EventBody, calls_of
from reverie.domain.provider import ModelInfo
from reverie.domain.token_ratio import TokenRatio
from reverie.loop.compact import Compactor, announcement, compact, plan_compaction
from reverie.loop.deps import LoopDeps
from reverie.loop.draft import Draft
from reverie.loop.measure import Measured
from reverie.loop.offer import compile_request
from reverie.loop.state import TurnState, View, new_message, refresh_prompt, reload_view
from reverie.loop.toolbox import Toolbox
from reverie.loop.tracing import exchange_of
from reverie.models.base import ChatModel, Prompt
from reverie.models.exchange import listen
from reverie.models.retry import stream_with_retries
from reverie.storage import messages, runs

MAX_COMPACTIONS: Final = 4
"""Tries to make one request fit before giving up on it."""
LEAST_ANSWER: Final = 256
"""Tokens an answer may have in any case."""
EMPTY_REPLIES: Final = 2
"""Empty replies to a turn's first request that are asked again."""


@dataclass(slots=True)
class _Asked:
    """A request on its way, for those who keep what was said."""

    info: ModelInfo
    sent: list[bytes]
    began_ns: int = field(default_factory=time.monotonic_ns)
    ended_ns: int | None = None


class Asker:
    """Of one turn. Stores nothing of a reply: `draft` holds it until whoever asked has, and says so by `settle`."""

    def __init__(self, state: TurnState, deps: LoopDeps, toolbox: Toolbox) -> None:
        self.draft: Draft | None = None
        """What the model writes, or has written."""
        self._state = state
        self._deps = deps
        self._toolbox = toolbox
        self._asked: _Asked | None = None
        self._sent: tuple[Prompt, int] | None = None
        """The request that the draft answers, and its estimated tokens."""

    async def ask(self, model: ChatModel) -> AsyncGenerator[Event, None]:
        """Write a reply into the draft, making room first where the request would not fit."""
        ratio = await self._deps.ratios.of(self._state.run.organization_id, model.info.handle)
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

    def learn(self, model: ChatModel, draft: Draft) -> TokenRatio | None:
        """Take in what the provider counted; the ratio where it is to be stored."""
        if draft.usage is None or self._sent is None or not draft.usage.prompt_tokens:
            return None
        prompt, tokens = self._sent
        if shows_images(prompt.turns):
            return None
        return self._deps.ratios.learn(
            self._state.run.organization_id, model.info.handle, estimated=tokens, reported=draft.usage.prompt_tokens
        )

    async def _request(self, model: ChatModel, prompt: Prompt) -> AsyncGenerator[Event, None]:
        """Send one request and stream what comes into a fresh draft."""
        draft = self.draft = self._fresh_draft(model)
        if self._deps.keep_exchange is not None:
            self._asked = _Asked(model.info, listen())
        self._deps.fault("model_called")
        async with aclosing(stream_with_retries(model, prompt, self._deps.retries)) as chunks:
            async for chunk in chunks:
                event = draft.take(chunk)
                if event is None:
                    continue
                if self._state.first_delta_ns is None:
                    self._state.first_delta_ns = time.monotonic_ns()
                yield event
                self._deps.fault("reply_streaming")
        if self._asked is not None:
            self._asked.ended_ns = time.monotonic_ns()
        view, run = self._state.view, self._state.run
        draft.ask_only(partial(self._toolbox.is_hopeless, view, run))
        for delta in draft.held_back(partial(self._toolbox.as_rules_have_it, view, run)):
            yield delta

    def _answered(self, model: ChatModel) -> bool:
        """Whether the draft is a reply, if only one cut off at its token limit.

        Nothing at all is one only after tools: the model has no more to say.

        Raises:
            ModelReplyWithheld: the provider's content rules kept the reply back.
        """
        draft = self.draft
        if draft is None or not draft.is_empty:
            return draft is not None
        if draft.finish is not None and draft.finish.reason == "content_filter":
            raise ModelReplyWithheld(f"{model.info.handle} refused to answer because of its content rules")
        return self._state.steps > 0 or draft.is_cut_short

    async def _compact(
        self, model: ChatModel, ratio: TokenRatio, measured: Measured, overflows: int
    ) -> AsyncGenerator[Event, None]:
        """Let old messages leave, with room for half as much after each request that the provider refused."""
        state = self._state
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
        state = self._state
        note = replace(new_message(state.view, body, self._deps.clock(), run=state.run), in_context=False)

        def save(c: Connection) -> None:
            runs.hold_fence(c, state.run)
            messages.append(c, [note])

        await self._deps.database.write(save)
        return MessageSaved(message=note)

    def _measured(self, model: ChatModel, ratio: TokenRatio) -> Measured:
        """The next request with its size; going through a long context takes a while, so once is enough."""
        prompt = self._prompt(model)
        return Measured(prompt, estimate_prompt(prompt), ratio.estimated(self.window(model)))

    def _prompt(self, model: ChatModel) -> Prompt:
        state = self._state
        return compile_request(state.view, state.request.options, model.info, state.run.id)

    def window(self, model: ChatModel) -> int:
        """Tokens of a request and its answer: the agent's limit or the model's, whichever is smaller."""
        limit = self._state.view.window_limit
        return min(limit, model.info.context_window) if limit else model.info.context_window

    def settle(self, failure: RunFailure | None = None) -> None:
        """The draft was stored: hand on what was said to the provider, and forget both."""
        draft, asked = self.draft, self._asked
        self.draft = self._asked = None
        if draft is None or asked is None or self._deps.keep_exchange is None:
            return
        took = time.monotonic_ns() - asked.began_ns if asked.ended_ns is None else asked.ended_ns - asked.began_ns
        exchange = exchange_of(self._state, draft, asked.sent, asked.info, latency_ns=took, failure=failure)
        self._deps.keep_exchange(exchange)

    def _fresh_draft(self, model: ChatModel) -> Draft:
        view = self._state.view
        return Draft(
            run_id=self._state.run.id,
            step_id=StepId(make_id("step")),
            reasoning_origin=model.reasoning_origin,
            gate=lambda name, before: self._toolbox.gate(view, self._state.run, name, before),
            taken_call_ids=frozenset(call.id for message in view.context for call in calls_of(message.body)),
            clock=self._deps.clock,
        )
