"""When a prompt is sent again, and when not."""

import httpx
import pytest
from tests.contract.models.samples import ask
from tests.support.provider import Failure, Provider, Reply, Say, cut, fail, say

from reverie.domain.errors import ModelAuthFailed, ModelOverloaded, ModelRateLimited, ModelStreamCut
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.openai_chat.endpoint import OpenAIChat
from reverie.models.base import ChatModel, Chunk, ModelOptions, ProviderOptions, TextChunk
from reverie.models.registry import resolve
from reverie.models.retry import RetryPolicy, stream_with_retries


class Waits:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def attempt(provider: Provider, *script: Say | Failure | Reply, **policy: float) -> tuple[list[Chunk], Waits]:
    provider.script(*script)
    waits = Waits()
    async with httpx.AsyncClient() as http:
        options = resolve(ProviderOptions(name="p", type="vllm", base_url=provider.openai_url))
        info = ModelInfo(
            handle="p/m", name="m", provider_name="p", provider_type="vllm", endpoint=None, context_window=1000
        )
        model: ChatModel = OpenAIChat(options, ModelOptions(), http).model(info)
        chosen = RetryPolicy(sleep=waits, **policy)  # type: ignore[arg-type]
        return [chunk async for chunk in stream_with_retries(model, ask(), chosen)], waits


def texts(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))


async def test_overload_is_tried_again_until_it_works(provider: Provider) -> None:
    chunks, waits = await attempt(provider, fail(529, "Overloaded"), fail(503, "no"), say("here"))
    assert texts(chunks) == "here"
    assert len(waits.seconds) == 2
    assert all(0 <= wait <= 20 for wait in waits.seconds)


async def test_the_provider_s_own_wait_is_kept(provider: Provider) -> None:
    _, waits = await attempt(provider, fail(429, "slow", retry_after=7), say("here"))
    assert waits.seconds == [7]


async def test_a_wait_beyond_the_bound_is_not_begun(provider: Provider) -> None:
    with pytest.raises(ModelRateLimited) as caught:
        await attempt(provider, fail(429, "slow", retry_after=3600), say("never"))
    assert caught.value.retry_after_s == 3600
    assert len(provider.requests) == 1


async def test_attempts_end(provider: Provider) -> None:
    with pytest.raises(ModelOverloaded):
        await attempt(provider, *[fail(500, "no")] * 9)
    assert len(provider.requests) == 4


async def test_what_no_retry_can_mend_is_raised_at_once(provider: Provider) -> None:
    with pytest.raises(ModelAuthFailed):
        await attempt(provider, fail(401, "bad key"), say("never"))
    assert len(provider.requests) == 1


async def test_a_cut_before_the_first_piece_is_tried_again(provider: Provider) -> None:
    chunks, _ = await attempt(provider, cut(after_chunks=0), say("here"))
    assert texts(chunks) == "here"


async def test_a_cut_after_the_first_piece_is_raised(provider: Provider) -> None:
    with pytest.raises(ModelStreamCut):
        await attempt(provider, cut(say("one two three"), after_chunks=2), say("never"))
    assert len(provider.requests) == 1
