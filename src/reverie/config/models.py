"""Settings of models that agents think and search with."""

from typing import Final

from pydantic_settings import BaseSettings

from reverie.config.fields import POSITIVE, HandleNumbers, setting

_MODELS: Final = "Models"


class ModelSettings(BaseSettings):
    """Models that agents think and search with."""

    default_model: str | None = setting(
        None,
        "REVERIE_DEFAULT_MODEL",
        "LETTA_DEFAULT_LLM_HANDLE",
        section=_MODELS,
        expects="a handle, such as openai/gpt-5-mini",
        note="Model of agents that name none.",
    )
    message_vectors: bool | None = setting(
        None,
        "REVERIE_MESSAGE_VECTORS",
        section=_MODELS,
        expects="true or false",
        note="Embed what users and agents say, so that it is found by meaning too, not by its words alone. Unset: "
        "of agents among whose messages somebody looked for a meaning once; the newest before that search, the "
        "others while no turn runs (some 7 ms of CPU for a short message, and 150 MB of memory while there is work, "
        "with the built-in embedder). `true`: of all agents, `false`: of none.",
    )
    default_embedding: str | None = setting(
        None,
        "REVERIE_DEFAULT_EMBEDDING",
        "LETTA_DEFAULT_EMBEDDING_HANDLE",
        section=_MODELS,
        expects="a handle, such as openai/text-embedding-3-small",
        note="Embedding model of agents that name none. Default: the built-in one.",
    )
    context_windows: HandleNumbers = setting(
        {},
        "REVERIE_CONTEXT_WINDOWS",
        section=_MODELS,
        expects="handles and tokens, such as ollama/qwen3=32768,openai/mine=128000",
        note="Context windows in tokens that override what the provider says: `handle=tokens`, separated by commas.",
    )
    model_connect_timeout_s: float = setting(
        10.0,
        "REVERIE_MODEL_CONNECT_TIMEOUT_S",
        section=_MODELS,
        expects=POSITIVE,
        note="Longest wait for a connection to a provider, in seconds.",
        gt=0,
    )
    model_read_timeout_s: float = setting(
        600.0,
        "REVERIE_MODEL_READ_TIMEOUT_S",
        "LETTA_LLM_STREAM_TIMEOUT_SECONDS",
        section=_MODELS,
        expects=POSITIVE,
        note="Longest silence of a provider within a reply, in seconds.",
        gt=0,
    )
