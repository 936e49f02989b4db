"""Sends a prompt again where that can help."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from reverie.domain.errors import ModelError
from reverie.models.base import ChatModel, Chunk, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how long to wait."""

    attempts: int = 4
    """All in all, the first included."""
    most_wait_s: float = 60.0
    """All waits together; a provider that asks for more is given up on at once."""
    first_wait_s: float = 1.0
    """Bound of the first random wait; it doubles each time."""
    longest_wait_s: float = 20.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def stream_with_retries(
    model: ChatModel, prompt: Prompt, policy: RetryPolicy = RetryPolicy()
) -> AsyncGenerator[Chunk, None]:
    """Stream a reply, trying again as long as nothing of it has been yielded.

    What a reader has seen is never taken back: a failure after the first chunk is raised.

    Raises:
        ModelError: the last attempt's, or one that no retry can mend.
    """
    first: Chunk | None = None
    stream: AsyncGenerator[Chunk, None] | None = None
    async for attempt in _attempts(policy):
        with attempt:
            stream = model.stream(prompt)
            try:
                first = await anext(stream, None)
            except BaseException:
                await stream.aclose()
                raise
    if stream is None or first is None:
        return
    async with aclosing(stream):
        yield first
        async for chunk in stream:
            yield chunk


def _attempts(policy: RetryPolicy) -> AsyncRetrying:
    backoff = wait_random_exponential(multiplier=policy.first_wait_s, max=policy.longest_wait_s)

    def wait(state: RetryCallState) -> float:
        asked = _asked_wait(state)
        return asked if asked is not None else float(backoff(state))

    def enough(state: RetryCallState) -> bool:
        if state.attempt_number >= policy.attempts:
            return True
        return state.idle_for + (_asked_wait(state) or 0.0) > policy.most_wait_s

    return AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, ModelError) and error.retryable),
        stop=enough,
        wait=wait,
        sleep=policy.sleep,
        reraise=True,
    )


def _asked_wait(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, ModelError) else None
