"""Models, and the two config objects of old clients. Source: `Model`, `LlmConfig`, client SDK, read 2026-11."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body, Whole
from reverie.domain.json import JsonObject
from reverie.domain.old_configs import settings_of_config
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.domain.provider_words import (
    EmbeddingEndpoint,
    LlmEndpoint,
    ProviderType,
    embedding_endpoint_word,
    llm_endpoint_word,
    provider_type_word,
    settings_word,
)

FALLBACK_CONTEXT_WINDOW: Final = 32_000
"""Told to clients for a model of which nothing is known."""
EMBEDDING_CHUNK_SIZE: Final = 300

ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
Effort: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]
Verbosity: TypeAlias = Literal["low", "medium", "high"]


class TextFormat(TypedDict):
    """Replies are words."""

    type: Literal["text"]


class ObjectFormat(TypedDict):
    """Replies are a JSON object."""

    type: Literal["json_object"]


class SchemaFormat(TypedDict):
    """Replies are JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: JsonObject


ResponseFormat: TypeAlias = TextFormat | ObjectFormat | SchemaFormat


class LlmConfig(TypedDict):
    """How old clients are told about a model and its settings."""

    model: str
    display_name: str | None
    model_endpoint_type: LlmEndpoint
    model_endpoint: str | None
    provider_name: str | None
    provider_category: Literal["base", "byok"]
    model_wrapper: str | None
    context_window: int
    put_inner_thoughts_in_kwargs: bool
    handle: str | None
    temperature: float | None
    max_tokens: int | None
    enable_reasoner: bool
    reasoning_effort: ReasoningEffort | None
    max_reasoning_tokens: int
    effort: Effort | None
    frequency_penalty: float | None
    compatibility_type: Literal["gguf", "mlx"] | None
    verbosity: Verbosity | None
    tier: str | None
    parallel_tool_calls: bool | None
    response_format: ResponseFormat | None
    strict: bool
    return_logprobs: bool
    top_logprobs: int | None
    return_token_ids: bool
    tool_call_parser: str | None


class ModelState(LlmConfig):
    """A chat model that can be used."""

    name: str
    provider_type: ProviderType
    max_context_window: int
    model_type: Literal["llm"]


class EmbeddingConfig(TypedDict):
    """How old clients are told about an embedding model."""

    embedding_endpoint_type: EmbeddingEndpoint
    embedding_endpoint: str | None
    embedding_model: str
    embedding_dim: int
    embedding_chunk_size: int
    handle: str | None
    batch_size: int
    azure_endpoint: str | None
    azure_version: str | None
    azure_deployment: str | None


class EmbeddingModelState(EmbeddingConfig):
    """An embedding model that can be used."""

    name: str
    provider_type: ProviderType
    provider_name: str
    display_name: str
    model_type: Literal["embedding"]


@lru_cache(maxsize=1_000)
def guessed_model(handle: str) -> ModelInfo:
    """What can be said of a handle that the catalog does not list."""
    provider, _, name = handle.partition("/")
    return ModelInfo(
        handle=handle,
        name=name or handle,
        provider_name=provider,
        provider_type=provider_type_word(provider),
        endpoint=None,
        context_window=FALLBACK_CONTEXT_WINDOW,
    )


@lru_cache(maxsize=1_000)
def guessed_embedder(handle: str, dimensions: int = 0) -> EmbedderInfo:
    """What can be said of an embedding handle that the catalog does not list."""
    provider, _, name = handle.partition("/")
    kind = provider_type_word(provider)
    return EmbedderInfo(
        handle=handle, name=name or handle, provider_name=provider, provider_type=kind, endpoint=None,
        dimensions=dimensions,
    )  # fmt: skip


def model_settings_state(settings: Mapping[str, Any], model: ModelInfo) -> JsonObject:
    """`settings` with the discriminator that the SDKs need."""
    return {**settings, "provider_type": settings_word(model.provider_type)}


def settings_in_effect(settings: Mapping[str, Any], model: ModelInfo) -> JsonObject:
    """`settings` of an agent, with what applies where they say nothing, as far as it is known.

    What a provider decides by itself (its temperature, how hard a model thinks) is not made up.
    """
    kind = settings_word(model.provider_type)
    known: JsonObject = {"parallel_tool_calls": True}
    if model.max_output_tokens is not None:
        known["max_output_tokens"] = model.max_output_tokens
    if kind in ("openai", "sglang", "anthropic"):
        known["strict"] = False
    return {**known, **settings, "provider_type": kind}


def response_format(stored: Mapping[str, Any] | None) -> ResponseFormat | None:
    """A stored format as clients read it; None where there is none."""
    if stored is None:
        return None
    match stored.get("type"):
        case "json_schema":
            return {"type": "json_schema", "json_schema": stored.get("json_schema") or {}}
        case "json_object":
            return {"type": "json_object"}
        case _:
            return {"type": "text"}


def llm_config(model: ModelInfo, settings: Mapping[str, Any], context_window: int | None = None) -> LlmConfig:
    """The old view of `model` with an agent's `settings`."""
    thinking: Mapping[str, Any] = settings.get("thinking") or {}
    thinking_config: Mapping[str, Any] = settings.get("thinking_config") or {}
    budget = thinking.get("budget_tokens") or thinking_config.get("thinking_budget") or 0
    effort = (settings.get("reasoning") or {}).get("reasoning_effort")
    return {
        "model": model.name,
        "display_name": model.display_name,
        "model_endpoint_type": llm_endpoint_word(model.provider_type),
        "model_endpoint": model.endpoint,
        "provider_name": model.provider_name,
        "provider_category": model.category,
        "model_wrapper": None,
        "context_window": context_window or model.context_window,
        "put_inner_thoughts_in_kwargs": False,
        "handle": model.handle,
        "temperature": settings.get("temperature"),
        "max_tokens": settings.get("max_output_tokens", model.max_output_tokens),
        "enable_reasoner": bool(model.reasoning and thinking.get("type") != "disabled" and effort != "none"),
        "reasoning_effort": effort,
        "max_reasoning_tokens": budget,
        "effort": settings.get("effort"),
        "frequency_penalty": settings.get("frequency_penalty"),
        "compatibility_type": None,
        "verbosity": settings.get("verbosity"),
        "tier": None,
        "parallel_tool_calls": settings.get("parallel_tool_calls"),
        "response_format": response_format(settings.get("response_format")),
        "strict": bool(settings.get("strict")),
        "return_logprobs": False,
        "top_logprobs": None,
        "return_token_ids": False,
        "tool_call_parser": settings.get("tool_call_parser"),
    }


def model_state(model: ModelInfo) -> ModelState:
    """`model` in the list of models."""
    return {
        **llm_config(model, {}),
        "name": model.name,
        "provider_type": provider_type_word(model.provider_type),
        "max_context_window": model.context_window,
        "model_type": "llm",
    }


def embedding_config(model: EmbedderInfo) -> EmbeddingConfig:
    """The old view of an embedding model."""
    return {
        "embedding_endpoint_type": embedding_endpoint_word(model.provider_type),
        "embedding_endpoint": model.endpoint,
        "embedding_model": model.name,
        "embedding_dim": model.dimensions,
        "embedding_chunk_size": EMBEDDING_CHUNK_SIZE,
        "handle": model.handle,
        "batch_size": 32,
        "azure_endpoint": None,
        "azure_version": None,
        "azure_deployment": None,
    }


def embedding_model_state(model: EmbedderInfo) -> EmbeddingModelState:
    """`model` in the list of embedding models."""
    return {
        **embedding_config(model),
        "name": model.name,
        "provider_type": provider_type_word(model.provider_type),
        "provider_name": model.provider_name,
        "display_name": model.display_name or model.name,
        "model_type": "embedding",
    }


class ReasoningBody(Body):
    """How hard a model is asked to think."""

    reasoning_effort: ReasoningEffort | None = None


class ThinkingBody(Body):
    """Thinking with a budget."""

    type: Literal["enabled", "disabled"] | None = None
    budget_tokens: Whole | None = None
    clear_thinking: bool | None = None


class ThinkingConfigBody(Body):
    """Google's name for the same."""

    include_thoughts: bool | None = None
    thinking_budget: Whole | None = None


class ResponseFormatBody(Body):
    """What form the reply must have."""

    type: Literal["text", "json_schema", "json_object"] = "text"
    json_schema: JsonObject | None = None


class ModelSettingsBody(Body):
    """Generation settings: the fields of every provider's settings type, all optional."""

    provider_type: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=MOST)
    temperature: float | None = Field(default=None, ge=0)
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningBody | None = None
    thinking: ThinkingBody | None = None
    thinking_config: ThinkingConfigBody | None = None
    effort: Effort | None = None
    verbosity: Verbosity | None = None
    response_format: ResponseFormatBody | None = None
    response_schema: ResponseFormatBody | None = None
    strict: bool | None = None
    frequency_penalty: float | None = None
    tool_call_parser: str | None = None

    def to_domain(self) -> JsonObject:
        """The settings as they are stored: what was sent, by the API's names."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"provider_type"})

    def to_changes(self) -> JsonObject:
        """The same as changes of what is stored: a null takes a setting away."""
        return dict.fromkeys(self.model_fields_set - {"provider_type"}) | self.to_domain()


class LlmConfigBody(Body):
    """A model as old clients name it."""

    model: str
    model_endpoint_type: str = "openai"
    context_window: int | None = Field(default=None, ge=1, le=MOST)
    handle: str | None = None
    provider_name: str | None = None
    model_endpoint: str | None = None
    display_name: str | None = None
    model_wrapper: str | None = None
    provider_category: Literal["base", "byok"] | None = None
    put_inner_thoughts_in_kwargs: bool | None = None
    temperature: float | None = None
    max_tokens: Whole | None = None
    enable_reasoner: bool | None = None
    reasoning_effort: ReasoningEffort | None = None
    max_reasoning_tokens: Whole | None = None
    effort: Effort | None = None
    frequency_penalty: float | None = None
    verbosity: Verbosity | None = None
    compatibility_type: str | None = None
    tier: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatBody | None = None
    strict: bool | None = None
    return_logprobs: bool | None = None
    top_logprobs: Whole | None = None
    return_token_ids: bool | None = None
    tool_call_parser: str | None = None

    def model_handle(self) -> str:
        """`provider/model`, from whatever the client named."""
        return self.handle or f"{self.provider_name or self.model_endpoint_type}/{self.model}"

    def settings(self) -> JsonObject:
        """The settings that the config carries, by the API's present names."""
        return settings_of_config(self.model_dump(mode="json", exclude_none=True))


class EmbeddingConfigBody(Body):
    """An embedding model as old clients name it."""

    embedding_model: str
    embedding_dim: Whole | None = None
    embedding_endpoint_type: str = "openai"
    embedding_endpoint: str | None = None
    embedding_chunk_size: Whole | None = None
    handle: str | None = None
    batch_size: Whole | None = None
    azure_endpoint: str | None = None
    azure_version: str | None = None
    azure_deployment: str | None = None

    def model_handle(self) -> str:
        """`provider/model`, from whatever the client named."""
        return self.handle or f"{self.embedding_endpoint_type}/{self.embedding_model}"
