"""Which provider types there are, and which code serves them.

Everything is named by text and loaded on first use: a server that only talks to Ollama never
imports an SDK. A dialect is one row here and one file, or folder, in `adapters/`.
"""

import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import httpx

from reverie.domain.provider import ModelInfo
from reverie.models.base import ChatModel, ModelOptions, ProviderOptions
from reverie.models.listing import Listing
from reverie.models.profiles import is_openai_reasoner

CHAT: Final = "reverie.models.adapters.openai_chat.endpoint:OpenAIChat"
RESPONSES: Final = "reverie.models.adapters.openai_responses:OpenAIResponses"
ANTHROPIC: Final = "reverie.models.adapters.anthropic:Anthropic"
GOOGLE: Final = "reverie.models.adapters.google:Google"
VERTEX: Final = "reverie.models.adapters.google:Vertex"
BEDROCK: Final = "reverie.models.adapters.bedrock:Bedrock"

_LIST: Final = "reverie.models.listing:"
_EMBED_OPENAI: Final = "reverie.models.embedders.openai:OpenAIEmbedder"
_EMBED_GOOGLE: Final = "reverie.models.embedders.google:GoogleEmbedder"


class Endpoint(Protocol):
    """One provider in one dialect; every adapter's class is one."""

    def model(self, info: ModelInfo) -> ChatModel:
        """The chat model of `info`."""
        ...

    async def aclose(self) -> None:
        """Close what the adapter opened itself."""
        ...


Lister = Callable[[ProviderOptions, httpx.AsyncClient, float], Awaitable[Listing]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A provider type."""

    type: str
    """The API's word for it."""
    chat: str = CHAT
    lister: str = _LIST + "list_openai"
    embedder: str | None = _EMBED_OPENAI
    base_url: str | None = None
    """The provider's own; None: the user must say."""
    local: bool = False
    """Usually a server of the user's own: no key needed, and small context windows."""
    path: str = "/v1"
    """Added to a base URL that has no path; empty where the adapter adds it."""


def _local(kind: str, base_url: str) -> Kind:
    return Kind(type=kind, base_url=base_url, local=True)


KINDS: Final[Mapping[str, Kind]] = {
    kind.type: kind
    for kind in (
        Kind(type="openai", base_url="https://api.openai.com/v1"),
        Kind(
            type="anthropic",
            chat=ANTHROPIC,
            lister=_LIST + "list_anthropic",
            embedder=None,
            base_url="https://api.anthropic.com",
            path="",
        ),
        Kind(
            type="google_ai",
            chat=GOOGLE,
            lister=_LIST + "list_google",
            embedder=_EMBED_GOOGLE,
            base_url="https://generativelanguage.googleapis.com",
            path="",
        ),
        Kind(type="google_vertex", chat=VERTEX, lister=_LIST + "list_vertex", embedder=None, path=""),
        Kind(type="azure", lister=_LIST + "list_azure", path=""),
        Kind(type="bedrock", chat=BEDROCK, lister=_LIST + "list_bedrock", embedder=None, path=""),
        Kind(type="ollama", lister=_LIST + "list_ollama", base_url="http://localhost:11434/v1", local=True),
        Kind(type="lmstudio_openai", lister=_LIST + "list_lmstudio", base_url="http://localhost:1234/v1", local=True),
        _local("vllm", "http://localhost:8000/v1"),
        _local("sglang", "http://localhost:30000/v1"),
        Kind(type="llamacpp", lister=_LIST + "list_llamacpp", base_url="http://localhost:8080/v1", local=True),
        Kind(type="openrouter", base_url="https://openrouter.ai/api/v1"),
        Kind(type="groq", base_url="https://api.groq.com/openai/v1"),
        Kind(type="together", base_url="https://api.together.xyz/v1"),
        Kind(type="deepseek", base_url="https://api.deepseek.com/v1"),
        Kind(type="xai", base_url="https://api.x.ai/v1"),
        Kind(type="mistral", base_url="https://api.mistral.ai/v1"),
        Kind(type="zai", base_url="https://api.z.ai/api/paas/v4"),
        Kind(type="zai_coding", base_url="https://api.z.ai/api/coding/paas/v4"),
        Kind(type="minimax", base_url="https://api.minimax.io/v1"),
        Kind(type="moonshot", base_url="https://api.moonshot.ai/v1"),
        Kind(type="moonshot_coding", base_url="https://api.kimi.com/coding/v1"),
        Kind(type="fireworks", base_url="https://api.fireworks.ai/inference/v1"),
        Kind(type="cerebras", base_url="https://api.cerebras.ai/v1"),
        Kind(type="baseten", base_url="https://inference.baseten.co/v1"),
        Kind(type="hugging-face", base_url="https://router.huggingface.co/v1"),
    )
}
ALIASES: Final[Mapping[str, str]] = {
    "huggingface": "hugging-face",
    "lmstudio": "lmstudio_openai",
    "llama.cpp": "llamacpp",
    "gemini": "google_ai",
    "moonshot_ai": "moonshot",
}


def kind_of(provider_type: str) -> Kind:
    """The row of a type; one that is not known is taken for an OpenAI-compatible server."""
    known = KINDS.get(ALIASES.get(provider_type, provider_type))
    return known or Kind(type=provider_type, local=True)


def resolve(provider: ProviderOptions) -> ProviderOptions:
    """`provider` with its type's own name and a whole base URL."""
    kind = kind_of(provider.type)
    base_url = (provider.base_url or kind.base_url or "").rstrip("/") or None
    if base_url and kind.path and not urlsplit(base_url).path.strip("/"):
        base_url += kind.path
    elif base_url and kind.type in ("ollama", "lmstudio_openai"):  # people write the native API's address, too
        for suffix in ("/api/v0", "/api"):
            if base_url.endswith(suffix):
                base_url = base_url.removesuffix(suffix) + kind.path
    return replace(provider, type=kind.type, base_url=base_url)


def adapter_of(provider: ProviderOptions, model: str) -> str:
    """The adapter for `model`.

    OpenAI's reasoning models speak responses at OpenAI itself, where alone their reasoning can be
    kept. Everything else of that type speaks chat, which every gateway understands.
    """
    if provider.type == "openai" and "api.openai.com" in (provider.base_url or "") and is_openai_reasoner(model):
        return RESPONSES
    if provider.type == "minimax" and (provider.base_url or "").endswith("/anthropic"):
        return ANTHROPIC
    return kind_of(provider.type).chat


def load_endpoint(adapter: str, provider: ProviderOptions, options: ModelOptions, http: httpx.AsyncClient) -> Endpoint:
    """Import the adapter and connect it; nothing is sent yet."""
    return cast(Endpoint, pkgutil.resolve_name(adapter)(provider, options, http))


def load_lister(kind: Kind) -> Lister:
    """Import the function that lists a type's models."""
    return cast(Lister, pkgutil.resolve_name(kind.lister))
