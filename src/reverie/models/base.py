"""The contracts for chat models, embedders and the catalog that finds them.

A prompt goes in, chunks come out. Nothing here knows a vendor, HTTP or the database.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from reverie.domain.content import Part, ToolCall, ToolReturn
from reverie.domain.ids import OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.domain.tool import ToolSpec
from reverie.web.addresses import WebOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningPart:
    """Reasoning of an earlier reply, to be returned verbatim to where it came from."""

    text: str
    signature: str | None
    redacted: str | None
    item_id: str | None
    origin: str
    """`ChatModel.reasoning_origin` of its author; an adapter of another origin leaves the part out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemTurn:
    """A system message inside the conversation."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTurn:
    """What the user said."""

    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantTurn:
    """One earlier reply: reasoning, text and calls, in the order they were written."""

    parts: tuple[Part | ReasoningPart | ToolCall, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTurn:
    """The results of all calls of the reply before it."""

    returns: tuple[ToolReturn, ...]


Turn: TypeAlias = SystemTurn | UserTurn | AssistantTurn | ToolTurn


Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """How to generate. None leaves it to the provider's default."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    thinking_budget_tokens: int | None = None
    """Anthropic's and Google's budget; 0 or None with no effort: no thinking asked for."""
    verbosity: Literal["low", "medium", "high"] | None = None
    response_format: JsonObject | None = None
    """`{"type": "text"|"json_object"|"json_schema", "json_schema": {…}}`."""
    strict: bool | None = None
    """Ask the provider to hold tool arguments to their schema."""
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    """Texts at which to stop writing."""
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Which tools the model may call now."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None
    """The one tool of mode `named`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Everything a model is sent in one request."""

    system: str
    turns: tuple[Turn, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    settings: GenerationSettings = GenerationSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChunk:
    """A piece of the reply's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningChunk:
    """A piece of reasoning. A new `item_id`, `redacted` or a chunk after other kinds begins a new part."""

    text: str = ""
    signature: str | None = None
    """Replaces what was given before for the same part."""
    redacted: str | None = None
    item_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChunk:
    """A piece of a tool call. Pieces with the same `index` belong together."""

    index: int
    id: str | None = None
    """The provider's id; comes once at most. Where none ever comes, the reader makes one."""
    name: str | None = None
    """Whole, with the first piece."""
    arguments: str = ""
    """A piece of JSON text."""
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageChunk:
    """Tokens of this request as the provider counts them; the last one of a stream stands."""

    prompt_tokens: int
    completion_tokens: int
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishChunk:
    """The last chunk of every complete stream."""

    reason: Literal["stop", "tool_calls", "length", "content_filter"]


Chunk: TypeAlias = TextChunk | ReasoningChunk | CallChunk | UsageChunk | FinishChunk


class ChatModel(Protocol):
    """A model that can be prompted. Safe to use from many tasks at once."""

    @property
    def info(self) -> ModelInfo:
        """What is known about the model."""
        ...

    @property
    def reasoning_origin(self) -> str:
        """Names who can take this model's reasoning back; differs between providers and dialects."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Send `prompt` once, without retries, and yield the reply as it comes, `FinishChunk` last.

        Closing the generator closes the connection to the provider.

        Raises:
            ModelError: a subclass that tells what went wrong. An interrupted stream is
                `ModelStreamCut`, never a silent end.
        """
        ...

    def preview(self, prompt: Prompt) -> JsonObject:
        """The body that `stream` would send, for people who debug prompts."""
        ...


class Embedder(Protocol):
    """A model that turns texts into vectors."""

    @property
    def info(self) -> EmbedderInfo:
        """What is known about the model."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit-length vector for each text, in order.

        Raises:
            ModelError: the provider failed.
        """
        ...


class ModelCatalog(Protocol):
    """Finds models by handle among the configured providers."""

    async def list_models(self) -> list[ModelInfo]:
        """All chat models that can be used now; a provider that does not answer contributes none."""
        ...

    async def list_embedders(self) -> list[EmbedderInfo]:
        """All embedding models that can be used now, the built-in one included."""
        ...

    async def chat_model(self, handle: str) -> ChatModel:
        """Return the model of `handle`.

        A known provider with a model it does not list is tried all the same: lists are
        often incomplete. Its context window is then a cautious guess.

        Raises:
            NotFound: no provider of that name is configured; the text names those that are.
        """
        ...

    async def embedder(self, handle: str) -> Embedder:
        """Return the embedder of `handle`; `NotFound` as for chat models."""
        ...

    async def default_embedder(self) -> Embedder | None:
        """The embedder for agents that name none; None: search by text alone."""
        ...


class ModelCatalogs(Protocol):
    """The catalogs of all organisations: what is configured serves all, what one added serves that one."""

    async def of(self, organization_id: OrganizationId) -> ModelCatalog:
        """The models that `organization_id` can use now; as good as free after the first time."""
        ...


class ProviderCatalogs(ModelCatalogs, Protocol):
    """`ModelCatalogs`, for those who change what an organisation added."""

    @property
    def configured_providers(self) -> tuple["ProviderOptions", ...]:
        """The providers of the server's settings."""
        ...

    def forget(self, organization_id: OrganizationId) -> None:
        """What the organisation added has changed; it is read anew when it is next asked for."""
        ...

    async def check_address(self, provider: "ProviderOptions") -> None:
        """Pass when the server may talk to the provider's address on a user's word.

        Raises:
            InvalidInput: it may not.
        """
        ...

    async def try_out(self, provider: "ProviderOptions") -> int:
        """Ask `provider`, wherever it comes from, for its models; how many chat models it lists.

        Raises:
            InvalidInput: it has no address, or one that the server may not talk to.
            ModelError: it did not answer as it should.
        """
        ...

    async def refresh(self, organization_id: OrganizationId, name: str) -> int:
        """The same for a provider that the organisation added; its list is remembered.

        Raises:
            NotFound: the organisation has none of that name.
            ModelError: it did not answer as it should; the list known so far stays.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """One provider, configured or added over the API."""

    name: str
    """First part of its handles, such as `openai`."""
    type: str
    """The API's provider type: `openai`, `anthropic`, `google_ai`, `azure`, `bedrock`, `ollama`, …"""
    base_url: str | None = None
    """None: the provider's own."""
    api_key: str | None = field(default=None, repr=False)
    api_version: str | None = None
    region: str | None = None
    project: str | None = None
    """Google Cloud project."""
    access_key: str | None = field(default=None, repr=False)
    """AWS access key id; its secret is `api_key`."""
    category: Literal["base", "byok"] = "base"
    default_context_window: int | None = None
    """Overrides what is known about every model of the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What the models room is told."""

    providers: tuple[ProviderOptions, ...] = ()
    default_embedding: str | None = None
    """Handle; None: the built-in embedder where it is installed."""
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 600.0
    """Longest silence within a stream."""
    context_windows: dict[str, int] = field(default_factory=dict)
    """Handle to tokens; overrides every other source."""
    web: WebOptions | None = None
    """Which addresses may be reached; None: every one, for providers of the settings."""
    list_ttl_s: float = 300.0
    """How long a provider's model list is believed."""
