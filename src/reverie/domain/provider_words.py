"""The words that clients and agent files have for kinds of providers. Source: client SDK, read 2026-11."""

from functools import cache
from typing import Final, Literal, TypeAlias, TypeVar, get_args

LlmEndpoint: TypeAlias = Literal[
    "openai",
    "anthropic",
    "google_ai",
    "google_vertex",
    "azure",
    "groq",
    "ollama",
    "lmstudio",
    "llamacpp",
    "koboldcpp",
    "vllm",
    "hugging-face",
    "minimax",
    "moonshot",
    "moonshot_coding",
    "mistral",
    "together",
    "bedrock",
    "deepseek",
    "xai",
    "zai",
    "zai_coding",
    "baseten",
    "openrouter",
    "chatgpt_oauth",
]
EmbeddingEndpoint: TypeAlias = Literal[
    "openai",
    "anthropic",
    "bedrock",
    "google_ai",
    "google_vertex",
    "azure",
    "groq",
    "ollama",
    "lmstudio",
    "llamacpp",
    "koboldcpp",
    "vllm",
    "hugging-face",
    "mistral",
    "together",
    "pinecone",
]
ProviderType: TypeAlias = Literal[
    "anthropic",
    "azure",
    "baseten",
    "bedrock",
    "cerebras",
    "chatgpt_oauth",
    "deepseek",
    "fireworks",
    "google_ai",
    "google_vertex",
    "groq",
    "hugging-face",
    "letta",
    "lmstudio_openai",
    "minimax",
    "moonshot",
    "moonshot_coding",
    "mistral",
    "ollama",
    "openai",
    "together",
    "vllm",
    "sglang",
    "openrouter",
    "xai",
    "zai",
    "zai_coding",
]
SettingsType: TypeAlias = Literal[
    "openai",
    "sglang",
    "anthropic",
    "google_ai",
    "google_vertex",
    "azure",
    "xai",
    "moonshot",
    "zai",
    "moonshot_coding",
    "groq",
    "deepseek",
    "together",
    "bedrock",
    "baseten",
    "openrouter",
    "chatgpt_oauth",
]
_LLM_ENDPOINTS: Final[tuple[LlmEndpoint, ...]] = get_args(LlmEndpoint)
_EMBEDDING_ENDPOINTS: Final[tuple[EmbeddingEndpoint, ...]] = get_args(EmbeddingEndpoint)
_PROVIDER_TYPES: Final[tuple[ProviderType, ...]] = get_args(ProviderType)
_SETTINGS_TYPES: Final[tuple[SettingsType, ...]] = get_args(SettingsType)
_SPEAKS_LIKE: Final = {"minimax": "anthropic", "zai_coding": "zai", "lmstudio_openai": "lmstudio"}

W = TypeVar("W", bound=str)


def _among(allowed: tuple[W, ...], word: str) -> W:
    """`word` where the SDK's closed list has it; otherwise the nearest word that it has."""
    known: dict[str, W] = {item: item for item in allowed}
    return known.get(word) or known.get(_SPEAKS_LIKE.get(word, "openai")) or known["openai"]


@cache
def llm_endpoint_word(provider_type: str) -> LlmEndpoint:
    """`model_endpoint_type` of a chat model."""
    return _among(_LLM_ENDPOINTS, provider_type)


@cache
def embedding_endpoint_word(provider_type: str) -> EmbeddingEndpoint:
    """`embedding_endpoint_type` of an embedding model."""
    return _among(_EMBEDDING_ENDPOINTS, provider_type)


@cache
def provider_type_word(provider_type: str) -> ProviderType:
    """The API's word for a kind of provider; the nearest one for kinds it does not know."""
    return _among(_PROVIDER_TYPES, provider_type)


@cache
def settings_word(provider_type: str) -> SettingsType:
    """`provider_type` of generation settings."""
    return _among(_SETTINGS_TYPES, provider_type)
