"""The OpenAI chat completions dialect, over httpx and orjson.

Spoken by OpenAI, Azure and nearly every local or hosted server. What they disagree on stands in
`ChatQuirks`, one row for each provider type; reading is lenient, since each server streams a
little differently.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Literal, assert_never

import httpx
import orjson

from reverie.domain.content import ImagePart, Part, TextPart, ToolCall, ToolReturn, join_text
from reverie.domain.json import JsonObject, JsonValue
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.translate import ToolNames, arguments_text, is_strict, strict_schema, wire_name
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    Chunk,
    FinishChunk,
    GenerationSettings,
    ModelOptions,
    Prompt,
    ProviderOptions,
    ReasoningChunk,
    ReasoningPart,
    SystemTurn,
    TextChunk,
    ToolChoice,
    ToolTurn,
    Turn,
    UsageChunk,
    UserTurn,
)
from reverie.models.exchange import note
from reverie.models.failures import (
    Source,
    bad_reply,
    cut_stream,
    failure_in_stream,
    failure_of_response,
    failure_of_transport,
)
from reverie.models.profiles import is_openai_reasoner

DIALECT: Final = "openai-chat"
_END: Final = b"[DONE]"
_DRAIN_S: Final = 1.0
_OPEN_TAG: Final = "<think>"
_CLOSE_TAG: Final = "</think>"
FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQuirks:
    """Where servers of this dialect differ."""

    reasoning_request: Literal["effort", "openrouter", "thinking", "none"] = "effort"
    """How effort is asked for: `reasoning_effort`, OpenRouter's `reasoning` object, `thinking: {type}`, not at all."""
    reasoning_return: Literal["none", "reasoning_content", "reasoning_details"] = "none"
    """Where earlier reasoning goes back."""
    efforts: tuple[str, ...] = ("low", "medium", "high")
    """What the server knows, weakest first."""
    system_anywhere: bool = True
    """System messages may follow others; local chat templates often refuse that."""
    stream_usage: bool = True
    """`stream_options` is known; without it the server reports usage unasked."""
    call_id_chars: int = 40
    """Longest id of a call."""
    call_id_exact: bool = False
    """Ids are exactly that long, letters and digits only (Mistral)."""
    openai_fields: bool = False
    """`max_completion_tokens`, `developer` and `verbosity` are known (OpenAI, Azure)."""
    strict: bool = False
    """`strict` on tools is known."""
    parallel_tool_calls: bool = True
    required_word: str = "required"
    """The tool choice that forces some tool."""


_LOCAL: Final = ChatQuirks(system_anywhere=False)
_OPENAI: Final = ChatQuirks(
    openai_fields=True, strict=True, efforts=("none", "minimal", "low", "medium", "high", "xhigh")
)
_ZAI: Final = ChatQuirks(reasoning_request="thinking", reasoning_return="reasoning_content", parallel_tool_calls=False)
_MOONSHOT: Final = ChatQuirks(reasoning_request="thinking", reasoning_return="reasoning_content")
QUIRKS: Final[Mapping[str, ChatQuirks]] = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "openrouter": ChatQuirks(
        reasoning_request="openrouter",
        reasoning_return="reasoning_details",
        efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
    ),
    "deepseek": ChatQuirks(reasoning_request="thinking", reasoning_return="reasoning_content"),
    "zai": _ZAI,
    "zai_coding": _ZAI,
    "moonshot": _MOONSHOT,
    "moonshot_coding": _MOONSHOT,
    "minimax": ChatQuirks(reasoning_request="none", reasoning_return="reasoning_content"),
    "mistral": ChatQuirks(
        system_anywhere=False, stream_usage=False, call_id_chars=9, call_id_exact=True, required_word="any"
    ),
    "groq": ChatQuirks(),
    "cerebras": ChatQuirks(),
    "ollama": _LOCAL,
    "lmstudio_openai": _LOCAL,
    "vllm": _LOCAL,
    "sglang": _LOCAL,
    "llamacpp": _LOCAL,
    "hugging-face": _LOCAL,
}
_UNKNOWN: Final = ChatQuirks()


def quirks_of(provider: ProviderOptions) -> ChatQuirks:
    """The quirks of a provider; type `openai` with a base URL of another house is only compatible."""
    if provider.type == "openai" and provider.base_url and "api.openai.com" not in provider.base_url:
        return _UNKNOWN
    return QUIRKS.get(provider.type, _UNKNOWN)


# The prompt in the dialect's words


@dataclass(frozen=True, slots=True)
class _Writer:
    """Builds one request body."""

    info: ModelInfo
    quirks: ChatQuirks
    origin: str

    @property
    def _reasons(self) -> bool:
        return self.quirks.openai_fields and is_openai_reasoner(self.info.name)

    def body(self, prompt: Prompt) -> JsonObject:
        messages = [self._system(prompt.system)] if prompt.system else []
        for turn in prompt.turns:
            messages += self._turn(turn)
        body: JsonObject = {"model": self.info.name, "messages": messages, "stream": True}
        if self.quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
        if prompt.tools:
            body["tools"] = [self._tool(prompt, at) for at in range(len(prompt.tools))]
            body["tool_choice"] = self._choice(prompt.tool_choice)
            if prompt.settings.parallel_tool_calls is not None and self.quirks.parallel_tool_calls:
                body["parallel_tool_calls"] = prompt.settings.parallel_tool_calls
        body.update(self._settings(prompt))
        return body

    def _system(self, text: str) -> JsonObject:
        return {"role": "developer" if self._reasons else "system", "content": text}

    def _turn(self, turn: Turn) -> list[JsonObject]:
        match turn:
            case SystemTurn(parts=parts):
                text = join_text(parts)
                if self.quirks.system_anywhere:
                    return [self._system(text)]
                return [{"role": "user", "content": f"<system>\n{text}\n</system>"}]
            case UserTurn(parts=parts, name=name):
                message: JsonObject = {"role": "user", "content": _content(parts)}
                if name:
                    message["name"] = wire_name(name)
                return [message]
            case AssistantTurn():
                return [self._reply(turn)]
            case ToolTurn(returns=returns):
                return self._results(returns)
            case other:
                assert_never(other)

    def _reply(self, turn: AssistantTurn) -> JsonObject:
        if len(turn.parts) == 1 and isinstance(first := turn.parts[0], TextPart):  # most of a long context
            return {"role": "assistant", "content": first.text}
        text = "".join(part.text for part in turn.parts if isinstance(part, TextPart))
        calls = [part for part in turn.parts if isinstance(part, ToolCall)]
        reasoning = [part for part in turn.parts if isinstance(part, ReasoningPart) and part.origin == self.origin]
        message: JsonObject = {"role": "assistant", "content": text if text or not calls else None}
        if reasoning and self.quirks.reasoning_return == "reasoning_content":
            message["reasoning_content"] = "".join(part.text for part in reasoning)
        elif reasoning and self.quirks.reasoning_return == "reasoning_details":
            message["reasoning_details"] = [_detail(part) for part in reasoning]
        if calls:
            message["tool_calls"] = [
                {
                    "id": self._call_id(call.id),
                    "type": "function",
                    "function": {"name": wire_name(call.name), "arguments": arguments_text(call.arguments)},
                }
                for call in calls
            ]
        return message

    def _results(self, returns: Sequence[ToolReturn]) -> list[JsonObject]:
        """Tool messages hold text only: images follow in one message of the user."""
        messages: list[JsonObject] = []
        images: list[Part] = []
        for result in returns:
            pictures = [part for part in result.content if isinstance(part, ImagePart)]
            text = result.text or ("See the attached image." if pictures else "")
            call_id = self._call_id(result.tool_call_id)
            messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            if pictures:
                images += [TextPart(text=f"Image returned by {result.name} ({call_id}):"), *pictures]
        if images:
            messages.append({"role": "user", "content": _content(tuple(images))})
        return messages

    def _call_id(self, given: str) -> str:
        limit = self.quirks.call_id_chars
        if self.quirks.call_id_exact:
            fits = len(given) == limit and given.isalnum()
        else:
            fits = len(given) <= limit
        return given if fits else hashlib.sha256(given.encode()).hexdigest()[: min(limit, 32)]

    def _tool(self, prompt: Prompt, at: int) -> JsonObject:
        tool = prompt.tools[at]
        function: JsonObject = {
            "name": wire_name(tool.name),
            "description": tool.description,
            "parameters": tool.parameters,
        }
        if prompt.settings.strict and self.quirks.strict and is_strict(tool):
            function |= {"parameters": strict_schema(tool.parameters), "strict": True}
        return {"type": "function", "function": function}

    def _choice(self, choice: ToolChoice) -> JsonValue:
        if choice.mode == "named" and choice.name:
            return {"type": "function", "function": {"name": wire_name(choice.name)}}
        return self.quirks.required_word if choice.mode in ("required", "named") else choice.mode

    def _settings(self, prompt: Prompt) -> JsonObject:
        settings = prompt.settings
        body: JsonObject = {}
        if settings.max_output_tokens is not None:
            name = "max_completion_tokens" if self.quirks.openai_fields else "max_tokens"
            body[name] = settings.max_output_tokens
        if not self._reasons:  # reasoning models of OpenAI refuse all of these
            body |= _sampling(settings)
        if settings.response_format is not None:
            body["response_format"] = settings.response_format
        if settings.verbosity is not None and self.quirks.openai_fields:
            body["verbosity"] = settings.verbosity
        return body | self._reasoning(settings.reasoning_effort, settings.thinking_budget_tokens)

    def _reasoning(self, effort: str | None, budget: int | None) -> JsonObject:
        kind = self.quirks.reasoning_request
        if effort is None or kind == "none" or (self.quirks.openai_fields and not self._reasons):
            return {}
        if kind == "thinking":
            return {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
        known = nearest_effort(effort, self.quirks.efforts)
        if known is None:
            return {}
        if kind == "openrouter":
            return {"reasoning": {"max_tokens": budget} if budget else {"effort": known}}
        return {"reasoning_effort": known}


_SCALE: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def nearest_effort(effort: str, known: Sequence[str]) -> str | None:
    """The known effort nearest to what is asked; None: nothing asked and nothing like it known."""
    if effort in known:
        return effort
    if effort == "none":
        return None
    wanted = _SCALE.index(effort)
    return min(
        (word for word in known if word != "none"), key=lambda word: abs(_SCALE.index(word) - wanted), default=None
    )


def _content(parts: Sequence[Part]) -> JsonValue:
    if len(parts) == 1 and isinstance(first := parts[0], TextPart):
        return first.text
    if all(isinstance(part, TextPart) for part in parts):
        if len(parts) == 1 or not parts:
            return join_text(tuple(parts))
        return [{"type": "text", "text": part.text} for part in parts if isinstance(part, TextPart)]
    items: list[JsonObject] = []
    for part in parts:
        match part:
            case TextPart(text=text):
                items.append({"type": "text", "text": text})
            case ImagePart(media_type=media_type, data=data, detail=detail):
                image: JsonObject = {"url": f"data:{media_type};base64,{data}"}
                if detail:
                    image["detail"] = detail
                items.append({"type": "image_url", "image_url": image})
            case other:
                assert_never(other)
    return items


def _detail(part: ReasoningPart) -> JsonObject:
    """One of OpenRouter's reasoning details; all but the text travelled in our signature."""
    kept = orjson.loads(part.redacted or part.signature or "{}")
    detail: JsonObject = {"type": "reasoning.text", **(kept if isinstance(kept, dict) else {})}
    if part.text:
        detail["summary" if detail["type"] == "reasoning.summary" else "text"] = part.text
    return detail


def to_chat(prompt: Prompt, info: ModelInfo, quirks: ChatQuirks, origin: str) -> JsonObject:
    """The request body for `prompt`."""
    return _Writer(info, quirks, origin).body(prompt)


# The reply in our words


_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
}


@dataclass(slots=True)
class ChatReader:
    """Reads the events of one stream; `feed` each, then `end`."""

    source: Source
    names: ToolNames = field(default_factory=lambda: ToolNames({}))
    finish: FinishReason | None = None
    done: bool = False
    """The end mark came."""
    _calls: int = 0
    _index_of: dict[JsonValue, int] = field(default_factory=dict)
    _ids: dict[int, str | None] = field(default_factory=dict)
    _named: set[int] = field(default_factory=set)
    _think: Literal["maybe", "inside", "no"] = "maybe"
    _held: str = ""

    def feed(self, event: JsonValue) -> list[Chunk]:
        """The chunks of one event.

        Raises:
            ModelError: the event reports a failure.
        """
        if not isinstance(event, dict):
            raise bad_reply(self.source, "a stream event that is no JSON object")
        if event.get("error"):
            raise failure_in_stream(self.source, event["error"])
        chunks: list[Chunk] = []
        choices = event.get("choices")
        if choices:
            choice = choices[0]
            delta = choice.get("delta") or choice.get("message")
            if delta:
                self._delta(delta, chunks)
            reason = choice.get("finish_reason")
            if reason:
                self._finished(reason, choice)
        elif "choices" not in event and event.get("object") == "error":  # vLLM before 0.10
            raise failure_in_stream(self.source, event)
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage")
        if usage:
            chunks.append(usage_of(usage))
        return chunks

    def end(self) -> list[Chunk]:
        """The last chunks.

        Raises:
            ModelStreamCut: neither an end mark nor a finish reason came.
        """
        if self.finish is None and not self.done:
            raise cut_stream(self.source)
        chunks: list[Chunk] = []
        if self._held:
            chunks.append(TextChunk(text=self._held) if self._think == "maybe" else ReasoningChunk(text=self._held))
            self._held = ""
        reason: FinishReason = self.finish or "stop"
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        chunks.append(FinishChunk(reason=reason))
        return chunks

    def _finished(self, reason: str, choice: JsonObject) -> None:
        if reason == "error":
            raise failure_in_stream(self.source, choice.get("error") or "the model failed while it wrote")
        self.finish = _FINISH.get(reason, "stop")

    def _delta(self, delta: JsonObject, chunks: list[Chunk]) -> None:
        details = delta.get("reasoning_details")
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if details:
            chunks += _details(details)
        elif isinstance(reasoning, str) and reasoning:
            chunks.append(ReasoningChunk(text=reasoning))
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                self._text(content, chunks)
            else:
                self._blocks(content, chunks)
        calls = delta.get("tool_calls")
        if calls:
            for at, piece in enumerate(calls):
                self._call(piece, at, chunks)

    def _blocks(self, blocks: Sequence[JsonObject], chunks: list[Chunk]) -> None:
        """Content in blocks, as Mistral's reasoning models write it."""
        for block in blocks:
            if block.get("type") == "thinking":
                text = "".join(item.get("text") or "" for item in block.get("thinking") or ())
                chunks.append(ReasoningChunk(text=text))
            elif block.get("text"):
                chunks.append(TextChunk(text=block["text"]))

    def _text(self, text: str, chunks: list[Chunk]) -> None:
        """Text; a reply that begins with `<think>` holds reasoning up to the closing tag."""
        if self._think == "no":
            chunks.append(TextChunk(text=text))
            return
        held = self._held + text
        if self._think == "maybe":
            start = held.lstrip()
            if not start.startswith(_OPEN_TAG):
                if _OPEN_TAG.startswith(start):
                    self._held = held
                    return
                self._think, self._held = "no", ""
                chunks.append(TextChunk(text=held))
                return
            self._think, held = "inside", start[len(_OPEN_TAG) :].lstrip("\n")
        thought, tag, rest = held.partition(_CLOSE_TAG)
        if tag:
            self._think, self._held = "no", ""
            rest = rest.lstrip("\n")
        else:  # the end may be the first part of the closing tag
            keep = next((n for n in range(len(_CLOSE_TAG) - 1, 0, -1) if thought.endswith(_CLOSE_TAG[:n])), 0)
            thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
        if thought:
            chunks.append(ReasoningChunk(text=thought))
        if rest:
            chunks.append(TextChunk(text=rest))

    def _call(self, piece: JsonObject, at: int, chunks: list[Chunk]) -> None:
        function = piece.get("function") or {}
        given_id = piece.get("id") or None
        key = piece.get("index")
        if key is None:  # some servers send whole calls without an index
            key = ("no index", given_id or (at if function.get("name") else self._calls))
        index = self._index_of.get(key)
        if index is not None and given_id and self._ids.get(index) not in (None, given_id):
            index = None  # another call under an old index
        if index is None:
            index = self._calls
            self._calls += 1
            self._ids[index] = None
        self._index_of[key] = index
        fresh_id = given_id if given_id and self._ids[index] is None else None
        if fresh_id:
            self._ids[index] = fresh_id
        name = function.get("name") or None
        fresh_name = self.names.own_name(name) if name and index not in self._named else None
        if fresh_name:
            self._named.add(index)
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        if fresh_id or fresh_name or arguments:
            chunks.append(CallChunk(index=index, id=fresh_id, name=fresh_name, arguments=arguments or ""))


def _details(details: Sequence[JsonObject]) -> list[Chunk]:
    """OpenRouter's reasoning details. What is no text is kept whole, to go back as it came."""
    chunks: list[Chunk] = []
    for detail in details:
        text = detail.get("text") or detail.get("summary") or ""
        kept = {key: value for key, value in detail.items() if key not in ("text", "summary") and value is not None}
        packed = orjson.dumps(kept).decode()
        if detail.get("type") == "reasoning.encrypted":
            chunks.append(ReasoningChunk(redacted=packed, item_id=detail.get("id")))
        else:
            chunks.append(ReasoningChunk(text=text, signature=packed))
    return chunks


def usage_of(usage: JsonObject) -> UsageChunk:
    """Token counts, from wherever the server puts them."""
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    cached = prompt_details.get("cached_tokens")
    return UsageChunk(
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        cached_input_tokens=cached if cached is not None else usage.get("prompt_cache_hit_tokens"),
        cache_write_tokens=prompt_details.get("cache_write_tokens"),
        reasoning_tokens=completion_details.get("reasoning_tokens"),
    )


# The connection


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """One provider's chat completions endpoint."""

    provider: ProviderOptions
    options: ModelOptions
    http: httpx.AsyncClient
    """Shared; the catalog closes it."""

    def model(self, info: ModelInfo) -> "OpenAIChatModel":
        """The model of `info` behind this endpoint."""
        return OpenAIChatModel(self, info)

    async def aclose(self) -> None:
        """Nothing of its own to close."""

    def url(self, model: str) -> str:
        """Where requests for `model` go."""
        base = (self.provider.base_url or "").rstrip("/")
        if self.provider.type != "azure":
            return f"{base}/chat/completions"
        if base.endswith("/v1"):  # Azure's own new form needs neither deployment path nor version
            return f"{base}/chat/completions"
        version = self.provider.api_version or "2024-10-21"
        return f"{base}/openai/deployments/{model}/chat/completions?api-version={version}"

    def headers(self) -> dict[str, str]:
        """Authorization, in the form the provider wants."""
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        key = self.provider.api_key
        if key:
            headers |= {"api-key": key} if self.provider.type == "azure" else {"authorization": f"Bearer {key}"}
        if self.provider.type == "openrouter":
            headers |= {"x-title": "Reverie"}
        return headers


@dataclass(frozen=True, slots=True)
class OpenAIChatModel:
    """A chat model of this dialect."""

    endpoint: OpenAIChat
    info: ModelInfo

    @property
    def reasoning_origin(self) -> str:
        """The provider and this dialect."""
        return f"{self.endpoint.provider.name}:{DIALECT}"

    def preview(self, prompt: Prompt) -> JsonObject:
        """The body that `stream` would send."""
        return to_chat(prompt, self.info, quirks_of(self.endpoint.provider), self.reasoning_origin)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Send `prompt` once and yield the reply as it comes."""
        endpoint = self.endpoint
        source = Source.of(endpoint.provider, self.info.name)
        reader = ChatReader(source, ToolNames.of(prompt))
        began = False
        sent = orjson.dumps(self.preview(prompt))
        note(sent)
        try:
            request = endpoint.http.build_request(
                "POST",
                endpoint.url(self.info.name),
                content=sent,
                headers=endpoint.headers(),
                timeout=httpx.Timeout(endpoint.options.read_timeout_s, connect=endpoint.options.connect_timeout_s),
            )
            response = await endpoint.http.send(request, stream=True)
            try:
                if response.status_code >= 400:
                    body = (await response.aread()).decode(errors="replace")
                    raise failure_of_response(source, response.status_code, body, response.headers)
                async with aclosing(_events(response)) as events:
                    async for data in events:
                        began = True
                        if data == _END:
                            reader.done = True
                            for chunk in reader.end():
                                yield chunk
                        elif not reader.done:
                            for chunk in reader.feed(_json(source, data)):
                                yield chunk
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise failure_of_transport(source, error, began=began) from error
        if not reader.done:
            for chunk in reader.end():
                yield chunk


def _json(source: Source, data: bytes) -> JsonValue:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise bad_reply(source, f"a stream event that is not JSON: {data[:200].decode(errors='replace')!r}") from error


async def _events(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The data of each event. A server that answers without streaming gives one, and an end mark."""
    if "json" in response.headers.get("content-type", "") and "event-stream" not in response.headers["content-type"]:
        yield await response.aread()
        yield _END
        return
    pending = b""
    data: list[bytes] = []
    pieces = response.aiter_bytes()
    async for piece in pieces:
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r")
            if text.startswith(b"data:"):
                data.append(text[5:].strip())
            elif not text and data:
                event, data = b"\n".join(data), []
                if event:
                    yield event
                if event == _END:
                    await _drain(pieces)
                    return
    if pending.startswith(b"data:"):
        data.append(pending[5:].strip())
    event = b"\n".join(data)
    if event == _END or event.endswith(b"}"):  # else the connection ended inside an event
        yield event


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read to the end of the answer, so that its connection can serve the next request."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass


def _sampling(settings: GenerationSettings) -> JsonObject:
    """How the next word is chosen."""
    wanted: JsonObject = {
        "temperature": settings.temperature,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        "top_p": settings.top_p,
        "stop": list(settings.stop) or None,
        "logprobs": None if settings.top_logprobs is None else True,
        "top_logprobs": settings.top_logprobs,
    }
    return {name: value for name, value in wanted.items() if value is not None}
