"""What the adapters over pydantic-ai share: its messages and events, and ours.

Each dialect has its own file with a subclass of `PydanticEndpoint`, which says how to connect and
which settings the dialect takes.
"""

import asyncio
import base64
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, assert_never, cast

import httpx
import httpx2
import orjson
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.messages import TextPart as PydanticText
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from reverie.domain.content import ImagePart, Part, TextPart, ToolCall, ToolReturn, join_text
from reverie.domain.errors import ModelAuthFailed, ModelError
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.translate import ToolNames, arguments_text, is_strict, wire_name
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    Chunk,
    FinishChunk,
    ModelOptions,
    Prompt,
    ProviderOptions,
    ReasoningChunk,
    ReasoningPart,
    SystemTurn,
    TextChunk,
    ToolTurn,
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
from reverie.web.transport import guarded_client

REDACTED_IDS: Final = {"anthropic": "redacted_thinking", "bedrock": "redacted_content"}
"""How pydantic-ai marks reasoning that is only there in encrypted form."""
_MARKS_ERRORS: Final = frozenset({"anthropic", "bedrock"})
"""Dialects with a mark for failed calls; elsewhere the result's text must say it."""
_DEFINES_CALLED: Final = frozenset({"anthropic", "bedrock"})
"""Dialects that refuse earlier calls in a request which defines no tool at all."""
_NOTHING: Final = "(nothing)"
"""For what was said or returned blank: Anthropic and Bedrock refuse a text without a letter in it."""
FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]


# Our prompt in pydantic-ai's words


@dataclass(frozen=True, slots=True)
class MessageWriter:
    """Translates turns; `system` is pydantic-ai's name of the provider that gets them."""

    system: str
    origin: str
    system_anywhere: bool

    def messages(self, prompt: Prompt) -> list[ModelMessage]:
        """The whole prompt; neighbours of one side are one message."""
        messages: list[ModelMessage] = []
        request: list[ModelRequestPart] = [SystemPromptPart(prompt.system)] if prompt.system else []
        for turn in prompt.turns:
            if isinstance(turn, AssistantTurn):
                parts = list(self._reply(turn))
                if not parts:
                    continue  # held nothing but another provider's reasoning
                if request:
                    messages.append(ModelRequest(parts=request))
                    request = []
                messages.append(ModelResponse(parts=parts, provider_name=self.system))
            else:
                request += self._request(turn)
        if request:
            messages.append(ModelRequest(parts=request))
        return messages

    def _request(self, turn: SystemTurn | UserTurn | ToolTurn) -> list[ModelRequestPart]:
        match turn:
            case SystemTurn(parts=parts):
                text = join_text(parts)
                if self.system_anywhere:
                    return [SystemPromptPart(text)]
                return [UserPromptPart(f"<system>\n{text}\n</system>")]
            case UserTurn(parts=parts):
                return [UserPromptPart(_content(parts))]
            case ToolTurn(returns=returns):
                return [self._result(result) for result in returns]
            case other:
                assert_never(other)

    def _result(self, result: ToolReturn) -> ToolReturnPart:
        has_image = any(isinstance(part, ImagePart) for part in result.content)
        return ToolReturnPart(
            tool_name=wire_name(result.name),
            content=_content(result.content) if has_image else result.text if result.text.strip() else _NOTHING,
            tool_call_id=wire_name(result.tool_call_id),
            outcome="failed" if result.status == "error" and self.system in _MARKS_ERRORS else "success",
        )

    def _reply(self, turn: AssistantTurn) -> Iterator[ModelResponsePart]:
        for part in turn.parts:
            match part:
                case TextPart(text=text):
                    if text.strip():
                        yield PydanticText(text)
                case ReasoningPart():
                    if part.origin == self.origin:
                        yield self._thinking(part)
                case ToolCall():
                    yield self._call(part)
                case ImagePart():
                    pass  # no provider takes images back from the model
                case other:
                    assert_never(other)

    def _thinking(self, part: ReasoningPart) -> ThinkingPart:
        if part.redacted is not None and self.system in REDACTED_IDS:
            return ThinkingPart("", id=REDACTED_IDS[self.system], signature=part.redacted, provider_name=self.system)
        return ThinkingPart(
            part.text, id=part.item_id, signature=part.signature or part.redacted, provider_name=self.system
        )

    def _call(self, call: ToolCall) -> ToolCallPart:
        # Other providers' ids (`functions.add:0`) would be refused once an agent has changed its model.
        name, call_id = wire_name(call.name), wire_name(call.id)
        part = ToolCallPart(name, arguments_text(call.arguments), call_id, provider_name=self.system)
        if call.signature and self.system.startswith("google"):
            part.provider_details = {"thought_signature": call.signature}
        elif call.signature and self.system == "openai":
            part.id = call.signature
        return part


def _content(parts: tuple[Part, ...]) -> str | list[UserContent]:
    content: list[UserContent] = []
    for part in parts:
        match part:
            case TextPart(text=text):
                if text.strip():
                    content.append(text)
            case ImagePart(data=data):
                content.append(BinaryContent(base64.b64decode(data), media_type=part.true_type))
            case other:
                assert_never(other)
    match content:
        case []:
            return _NOTHING
        case [str() as text]:
            return text
        case _:
            return content


def request_parameters(prompt: Prompt, engine: Model) -> ModelRequestParameters:
    """Tools and the reply's format: models that take no schema are told of it in words."""
    strict = prompt.settings.strict
    tools = [
        ToolDefinition(
            name=wire_name(tool.name),
            description=tool.description,
            parameters_json_schema=tool.parameters,
            strict=True if strict and is_strict(tool) else False if strict is False else None,
        )
        for tool in prompt.tools
    ]
    if not tools and engine.system in _DEFINES_CALLED:
        tools = [ToolDefinition(name=name, description="Not to be had any more.") for name in _called(prompt)]
    wanted = (prompt.settings.response_format or {}).get("json_schema")
    if isinstance(wanted, dict) and isinstance(wanted.get("schema"), dict):
        answer = OutputObjectDefinition(
            json_schema=wanted["schema"], name=wanted.get("name"), description=wanted.get("description")
        )
        takes_schemas = engine.profile.get("supports_json_schema_output", False)
        mode: Literal["native", "prompted"] = "native" if takes_schemas else "prompted"
        return ModelRequestParameters(function_tools=tools, output_mode=mode, output_object=answer)
    return ModelRequestParameters(function_tools=tools)


def _called(prompt: Prompt) -> list[str]:
    """Names of the tools that were called earlier."""
    replies = [turn for turn in prompt.turns if isinstance(turn, AssistantTurn)]
    calls = [part for turn in replies for part in turn.parts if isinstance(part, ToolCall)]
    return list(dict.fromkeys(wire_name(call.name) for call in calls))


def common_settings(prompt: Prompt) -> JsonObject:
    """Settings by the names that all of pydantic-ai's models know."""
    settings = prompt.settings
    known: JsonObject = {
        "max_tokens": settings.max_output_tokens,
        "temperature": settings.temperature,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        "top_p": settings.top_p,
        "stop_sequences": list(settings.stop) or None,
    }
    if prompt.tools:
        choice = prompt.tool_choice
        known["parallel_tool_calls"] = settings.parallel_tool_calls
        if choice.mode == "named" and choice.name:
            known["tool_choice"] = [wire_name(choice.name)]
        elif choice.mode != "auto":
            known["tool_choice"] = "required" if choice.mode == "named" else choice.mode
    if settings.reasoning_effort is not None:
        known["thinking"] = False if settings.reasoning_effort == "none" else settings.reasoning_effort
    return {name: value for name, value in known.items() if value is not None}


# pydantic-ai's events in our words

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "tool_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


@dataclass(slots=True)
class EventReader:
    """Reads the events of one stream."""

    system: str
    names: ToolNames
    _last: str = ""
    """Kind of the part that was written last."""
    _item_id: str | None = None
    _calls: dict[int, int] = field(default_factory=dict)

    @property
    def has_calls(self) -> bool:
        """Whether the reply calls a tool."""
        return bool(self._calls)

    def feed(self, event: ModelResponseStreamEvent) -> Iterator[Chunk]:
        """The chunks of one event; events that only repeat give none."""
        if isinstance(event, PartStartEvent):
            yield from self._start(event.index, event.part)
        elif isinstance(event, PartDeltaEvent):
            yield from self._delta(event)

    def _start(self, index: int, part: ModelResponsePart) -> Iterator[Chunk]:
        match part:
            case PydanticText():
                yield from self._text(part.content, part.provider_details)
            case ThinkingPart():
                yield from self._thinking(part, index)
            case ToolCallPart():
                self._last = "call"
                self._calls[index] = len(self._calls)
                yield CallChunk(
                    index=self._calls[index],
                    id=part.tool_call_id,
                    name=self.names.own_name(part.tool_name),
                    arguments=_arguments(part.args),
                    signature=self._signature(part.provider_details) or (part.id if self.system == "openai" else None),
                )
            case _:
                pass

    def _delta(self, event: PartDeltaEvent) -> Iterator[Chunk]:
        match event.delta:
            case TextPartDelta() as delta:
                yield from self._text(delta.content_delta, delta.provider_details)
            case ThinkingPartDelta() as delta:
                if delta.content_delta or delta.signature_delta:
                    text, signature = delta.content_delta or "", delta.signature_delta
                    yield ReasoningChunk(text=text, signature=signature, item_id=self._item_id)
            case ToolCallPartDelta() as delta:
                signature = self._signature(delta.provider_details)
                if delta.args_delta or signature:
                    at = self._calls[event.index]
                    yield CallChunk(index=at, arguments=_arguments(delta.args_delta), signature=signature)
            case _:
                pass

    def _text(self, text: str, details: Mapping[str, Any] | None) -> Iterator[Chunk]:
        signature = self._signature(details)
        if signature and self._last == "thinking":  # Gemini signs its thoughts on the part that follows them
            yield ReasoningChunk(signature=signature, item_id=self._item_id)
        if text:
            self._last = "text"
            yield TextChunk(text=text)

    def _thinking(self, part: ThinkingPart, index: int) -> Iterator[Chunk]:
        follows_thinking, self._last = self._last == "thinking", "thinking"
        if part.id is not None and part.id == REDACTED_IDS.get(self.system):
            self._item_id = f"part-{index}"
            yield ReasoningChunk(redacted=part.signature, item_id=self._item_id)
            return
        same_item = part.id is not None and part.id == self._item_id
        self._item_id = part.id or (f"part-{index}" if follows_thinking else None)
        text = f"\n\n{part.content}" if same_item and part.content else part.content
        if text or part.signature or part.id:
            yield ReasoningChunk(text=text, signature=part.signature, item_id=self._item_id)

    def _signature(self, details: Mapping[str, Any] | None) -> str | None:
        return details.get("thought_signature") if details else None


def _arguments(args: str | Mapping[str, Any] | None) -> str:
    if isinstance(args, str) or args is None:
        return args or ""
    return orjson.dumps(args).decode()


# The connection

_answers: ContextVar[list[httpx2.Response]] = ContextVar("answers")
"""Where the HTTP answers of the request being made are noted."""


async def _remember(answer: httpx2.Response) -> None:
    if (answers := _answers.get(None)) is not None:
        answers.append(answer)


async def _note(request: httpx2.Request) -> None:
    note(await request.aread())


class PydanticEndpoint(ABC):
    """One provider behind one of pydantic-ai's models."""

    dialect: ClassVar[str]
    system_anywhere: ClassVar[bool] = False
    """The dialect takes system messages between others."""
    sign_in_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """What the vendor's SDK raises when it finds no credentials, or bad ones, before anything is sent."""

    def __init__(self, provider: ProviderOptions, options: ModelOptions, http: httpx.AsyncClient) -> None:
        """`http` is of no use here: these SDKs bring a client of their own."""
        self.provider = provider
        self.options = options
        self._http: httpx2.AsyncClient | None = None
        self._lock = threading.Lock()
        self._models: dict[str, Model] = {}

    @property
    def origin(self) -> str:
        """Who can take reasoning back."""
        return f"{self.provider.name}:{self.dialect}"

    def model(self, info: ModelInfo) -> "PydanticModel":
        """The model of `info` behind this endpoint."""
        return PydanticModel(self, info)

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        self._models.clear()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def made(self, info: ModelInfo) -> Model | None:
        """What `engine` has already made."""
        return self._models.get(info.name)

    def engine(self, info: ModelInfo) -> Model:
        """Pydantic-ai's model, made once. Slow the first time, so not for the event loop."""
        with self._lock:
            if info.name not in self._models:
                if self._http is None:
                    self._http = self._connected()
                    self._http.event_hooks = {"request": [_note], "response": [_remember]}
                self._models[info.name] = self.connect(info, self._http)
            return self._models[info.name]

    def _connected(self) -> httpx2.AsyncClient:
        if self.options.web is None:
            return httpx2.AsyncClient(timeout=self.timeout())
        return guarded_client(self.options.web, timeout=self.timeout())

    def timeout(self) -> httpx2.Timeout:
        """Time-outs of every request."""
        return httpx2.Timeout(self.options.read_timeout_s, connect=self.options.connect_timeout_s)

    @abstractmethod
    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> Model:
        """Make pydantic-ai's model for `info`."""

    @abstractmethod
    def settings(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """All settings for `prompt`, by pydantic-ai's names."""

    def capture(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """The body a request would have, taken from the SDK just before it is sent."""
        taken: list[bytes] = []

        def take(request: httpx2.Request) -> httpx2.Response:
            taken.append(request.content)
            return httpx2.Response(418, json={"error": {"message": "preview"}})

        async def send() -> None:
            async with httpx2.AsyncClient(transport=httpx2.MockTransport(take)) as http:
                try:
                    async with self.open(self.connect(info, http), prompt, info):
                        pass
                except AgentRunError:
                    pass  # the refusal above

        _run_in_thread(send())
        body = orjson.loads(taken[0]) if taken else {}
        return body if isinstance(body, dict) else {}

    def open(self, engine: Model, prompt: Prompt, info: ModelInfo) -> Any:
        """Start one streamed request."""
        writer = MessageWriter(engine.system, self.origin, self.system_anywhere)
        return model_request_stream(
            engine,
            writer.messages(prompt),
            model_settings=cast(ModelSettings, self.settings(prompt, info)),
            model_request_parameters=request_parameters(prompt, engine),
            instrument=False,
        )


def _run_in_thread(work: Any) -> None:
    """Run a coroutine to its end from plain code, whether or not a loop is running here."""
    thread = threading.Thread(target=asyncio.run, args=(work,), name="prompt-preview")
    thread.start()
    thread.join()


@dataclass(frozen=True, slots=True)
class PydanticModel:
    """A chat model over pydantic-ai."""

    endpoint: PydanticEndpoint
    info: ModelInfo

    @property
    def reasoning_origin(self) -> str:
        """The provider and its dialect."""
        return self.endpoint.origin

    def preview(self, prompt: Prompt) -> JsonObject:
        """The body that `stream` would send."""
        return self.endpoint.capture(prompt, self.info)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Send `prompt` once and yield the reply as it comes."""
        source = Source.of(self.endpoint.provider, self.info.name)
        began = False
        answers: list[httpx2.Response] = []
        _answers.set(answers)
        try:
            engine = self.endpoint.made(self.info)
            if engine is None:
                engine = await asyncio.to_thread(self.endpoint.engine, self.info)
            reader = EventReader(engine.system, ToolNames.of(prompt))
            async with self.endpoint.open(engine, prompt, self.info) as response:
                began = True
                try:
                    async with aclosing(_chunks(response, reader, source)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                finally:
                    for answer in answers:  # Google's SDK leaves it open when a stream is given up
                        await answer.aclose()
                reason, usage = response.finish_reason, response.usage
        except self.endpoint.sign_in_errors as error:
            raise ModelAuthFailed(
                f"provider {self.endpoint.provider.name!r} could not be signed in to: {error}; "
                "give it a key, or log in with the provider's own tools"
            ) from error
        except (AgentRunError, UserError, httpx2.HTTPError, httpx.HTTPError, OSError) as error:
            raise failure_of(source, error, began=began) from error
        if reason is None:
            raise cut_stream(source)
        if reason == "error":
            raise bad_reply(source, "a reply that ended with an error")
        yield _usage(usage() if callable(usage) else usage)
        finish = _FINISH.get(reason or "stop", "stop")
        yield FinishChunk(reason="tool_calls" if finish == "stop" and reader.has_calls else finish)


async def _chunks(response: Any, reader: EventReader, source: Source) -> AsyncGenerator[Chunk, None]:
    """What comes, in our words. The libraries trip over what they take for granted and a reply lacks."""
    try:
        async for event in response:
            for chunk in reader.feed(event):
                yield chunk
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise bad_reply(source, f"what could not be read: {error}") from error


def _usage(usage: Any) -> UsageChunk:
    reasoning = usage.details.get("reasoning_tokens", usage.details.get("thoughts_tokens"))
    return UsageChunk(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        cached_input_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=reasoning,
    )


def failure_of(source: Source, error: Exception, *, began: bool) -> ModelError:
    """Read any exception of pydantic-ai or an SDK."""
    if isinstance(error, ModelHTTPError):
        body = error.body if isinstance(error.body, str) else orjson.dumps(error.body, default=str).decode()
        return failure_of_response(source, error.status_code, body, error.headers or {})
    if isinstance(error, ModelAPIError):
        if error.in_stream or error.body:
            return failure_in_stream(source, error.body or error.message)
        return failure_of_transport(source, error, began=began)
    if isinstance(error, AgentRunError | UserError):
        return bad_reply(source, f"what could not be read: {error}")
    return failure_of_transport(source, error, began=began)
