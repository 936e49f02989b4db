"""What is known about model providers and the models they serve."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A chat model that can be used now."""

    handle: str
    """`provider/model`."""
    name: str
    """As the provider names it."""
    provider_name: str
    """As configured here; the first part of the handle."""
    provider_type: str
    """The API's word for the kind of provider: `openai`, `anthropic`, `google_ai`, `ollama`, …"""
    endpoint: str | None
    context_window: int
    max_output_tokens: int | None = None
    display_name: str | None = None
    reasoning: bool = False
    """The model can reason before it answers."""
    vision: bool = False
    category: Literal["base", "byok"] = "base"
    """`base`: from the server's configuration; `byok`: added over the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderInfo:
    """An embedding model that can be used now."""

    handle: str
    name: str
    provider_name: str
    provider_type: str
    endpoint: str | None
    dimensions: int
    """0 while unknown: the first answer tells."""
    display_name: str | None = None
    category: Literal["base", "byok"] = "base"
