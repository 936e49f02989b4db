"""Our lean chat adapter against pydantic-ai's: the same prompt, the same body; the same stream, the same deltas.

Where the two differ on purpose, `normal` names the difference.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx
import httpx2
import pytest
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from tests.contract.models.samples import ADD, LOOK, ask, called, picture, read, results, user
from tests.support.provider import Call, Provider, Reply, Usage, call, reply, say, think

from reverie.domain.content import TextPart
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.openai_chat.endpoint import OpenAIChat
from reverie.models.adapters.pydantic_models import PydanticEndpoint, common_settings
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    ChatModel,
    Chunk,
    GenerationSettings,
    ModelOptions,
    Prompt,
    ProviderOptions,
    ReasoningChunk,
    SystemTurn,
    TextChunk,
    ToolChoice,
    UsageChunk,
    UserTurn,
)
from reverie.models.registry import resolve


class Oracle(PydanticEndpoint):
    """Pydantic-ai's chat model, behind our own contract."""

    dialect = "openai-chat"
    system_anywhere = True

    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> OpenAIChatModel:
        client = AsyncOpenAI(base_url=self.provider.base_url, api_key="k", max_retries=0, http_client=http)
        plain = cast(OpenAIModelProfile, {"openai_supports_strict_tool_definition": False})
        return OpenAIChatModel(info.name, provider=OpenAIProvider(openai_client=client), profile=plain)

    def settings(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        return common_settings(prompt)


@dataclass
class Pair:
    provider: Provider
    ours: ChatModel
    theirs: ChatModel


@pytest.fixture
async def pair(provider: Provider) -> AsyncIterator[Pair]:
    options = resolve(ProviderOptions(name="acme", type="openai", base_url=provider.openai_url, api_key="k"))
    info = ModelInfo(
        handle="acme/m", name="m", provider_name="acme", provider_type="openai", endpoint=None, context_window=1000
    )
    async with httpx.AsyncClient() as http:
        oracle = Oracle(options, ModelOptions(), http)
        yield Pair(provider, OpenAIChat(options, ModelOptions(), http).model(info), oracle.model(info))
        await oracle.aclose()


PROMPTS = {
    "one turn": ask(user("Hi")),
    "two texts": ask(UserTurn(parts=(TextPart(text="a"), TextPart(text="b")))),
    "no system prompt": ask(user("Hi"), system=""),
    "image": ask(UserTurn(parts=(TextPart(text="What?"), picture()))),
    "conversation": ask(user("a"), AssistantTurn(parts=(TextPart(text="b"),)), user("c")),
    "system in between": ask(user("a"), SystemTurn(parts=(TextPart(text="noon"),)), user("b")),
    "call and result": ask(
        user("2+3?"), AssistantTurn(parts=(called("c1"),)), results([("c1", "5")]), tools=(ADD, LOOK)
    ),
    "text and two calls": ask(
        user("go"),
        AssistantTurn(parts=(TextPart(text="Both."), called("c1"), called("c2", "look", "{}"))),
        results([("c1", "5"), ("c2", "a tree")]),
        tools=(ADD, LOOK),
    ),
    "forced": replace(ask(tools=(ADD, LOOK)), tool_choice=ToolChoice(mode="required")),
    "settings": replace(
        ask(tools=(ADD,)),
        settings=GenerationSettings(
            max_output_tokens=99,
            temperature=0.5,
            frequency_penalty=0.1,
            presence_penalty=0.2,
            top_p=0.9,
            stop=("END", "."),
            parallel_tool_calls=False,
        ),
    ),
}


def normal(body: JsonObject) -> JsonObject:
    """Take out what differs on purpose."""
    kept: Any = dict(body)
    # A newer name that most servers of this dialect do not know.
    if "max_completion_tokens" in kept:
        kept["max_tokens"] = kept.pop("max_completion_tokens")
    # Schemas of custom tools go out as they were given; pydantic-ai closes their objects.
    for tool in kept.get("tools") or ():
        tool["function"]["parameters"].pop("additionalProperties", None)
    for message in kept["messages"]:
        # A list of one text is the same as the text.
        content = message.get("content")
        if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
            message["content"] = content[0]["text"]
        # An absent content is the same as null.
        message.setdefault("content", None)
        # We send earlier arguments as the model wrote them; pydantic-ai does too, up to spaces.
        for made in message.get("tool_calls") or ():
            made["function"]["arguments"] = made["function"]["arguments"].replace(" ", "")
    return cast(JsonObject, kept)


@pytest.mark.parametrize("name", PROMPTS)
async def test_the_same_prompt_is_the_same_request(pair: Pair, name: str) -> None:
    await read(pair.ours, PROMPTS[name])
    await read(pair.theirs, PROMPTS[name])
    ours, theirs = (normal(request.body) for request in pair.provider.requests)
    assert ours == theirs


REPLIES = {
    "text": reply(say("Good ", "morning."), usage=Usage(prompt=50, completion=7, cached=12, reasoning=3)),
    "reasoning": reply(think("let me see"), say("yes")),
    "call": reply(call("add", a=2, b=3)),
    "text and calls": reply(say("Both."), call("add", a=1, b=2), call("look"), call("add", a=3, b=4)),
    "length": reply(say("Once"), finish="length"),
}


def folded(chunks: list[Chunk]) -> list[Chunk]:
    """The same deltas, however they are cut: the oracle splits the first of a call in two."""
    merged: list[Chunk] = []
    for chunk in chunks:
        last = merged[-1] if merged else None
        if isinstance(chunk, TextChunk) and isinstance(last, TextChunk):
            merged[-1] = TextChunk(text=last.text + chunk.text)
        elif isinstance(chunk, CallChunk) and isinstance(last, CallChunk) and last.index == chunk.index:
            merged[-1] = replace(last, arguments=last.arguments + chunk.arguments)
        elif isinstance(chunk, ReasoningChunk) and isinstance(last, ReasoningChunk):
            merged[-1] = ReasoningChunk(text=last.text + chunk.text)
        elif isinstance(chunk, ReasoningChunk):
            merged.append(ReasoningChunk(text=chunk.text))  # pydantic-ai notes the field's name as an id
        elif isinstance(chunk, UsageChunk):
            merged.append(replace(chunk, cache_write_tokens=None))  # absent or zero
        else:
            merged.append(chunk)
    return merged


@pytest.mark.parametrize("name", REPLIES)
async def test_the_same_stream_is_the_same_deltas(pair: Pair, name: str) -> None:
    answer = REPLIES[name]
    fixed = tuple(
        replace(part, id=f"call_{n}") if isinstance(part, Call) else part for n, part in enumerate(answer.parts)
    )
    given: Reply = replace(answer, parts=fixed, usage=replace(answer.usage, prompt=answer.usage.prompt or 50))
    pair.provider.script(given, given)
    ours = await read(pair.ours, ask(tools=(ADD, LOOK)))
    theirs = await read(pair.theirs, ask(tools=(ADD, LOOK)))
    assert folded(ours.chunks) == folded(theirs.chunks)
