"""Facts about model families: kinds, context windows, what they can do.

Rules on names here; figures from the offline snapshot of genai-prices, which is large and so is
loaded when a figure is first asked for.
"""

import importlib
import re
from functools import lru_cache
from typing import Any, Final

_OPENAI_REASONER: Final = re.compile(r"^(?:ft:)?(?:o[134](?:-|$)|gpt-(?:[5-9]|\d\d)(?!.*-chat)|codex)", re.IGNORECASE)
_REASONER: Final = re.compile(
    r"(?:^|[/:._-])(?:o[134](?:$|-)|gpt-[5-9]|gpt-oss|codex|claude-(?:opus|sonnet|haiku|fable)-[4-9]|claude-3-7|gemini-(?:2\.5|[3-9])"
    r"|deepseek-(?:r1|reasoner|v3\.[1-9]|v[4-9])|r1|qwq|qwen3|grok-(?:3-mini|[4-9])|glm-[4-9]\.[5-9]|glm-[5-9]|magistral"
    r"|kimi-k2|minimax-m[1-9]|nemotron)|reason|think",
    re.IGNORECASE,
)
_VISION: Final = re.compile(
    r"gpt-(?:4o|4\.1|[5-9])|gpt-4-turbo|^o[134](?:$|-(?!mini))|o4-mini|claude-(?:3|opus|sonnet|haiku|fable)|gemini|gemma-?3|pixtral|llava"
    r"|vision|-vl\b|[-_.]vl[-_:]|llama-?4|mistral-(?:small-3|medium-3)|grok-(?:2-vision|[4-9])|moondream|minicpm-v",
    re.IGNORECASE,
)
_EMBEDDING: Final = re.compile(
    r"embed|minilm|(?:^|[/_-])(?:bge|gte|e5|voyage|nomic-embed|mxbai|snowflake-arctic)(?:[-_]|$)", re.IGNORECASE
)
_OTHER_KIND: Final = re.compile(
    r"whisper|tts|dall-e|moderation|transcri|realtime|(?:^|[/_-])audio|-audio|speech|image|imagen|veo-|sora|video|lyria|rerank"
    r"|guard|(?:^|[/_-])ocr|stable-diffusion|flux|davinci|babbage|computer-use|-search-preview|deep-research|aqa|orpheus|musicgen",
    re.IGNORECASE,
)
_INSTRUCT_ONLY: Final = re.compile(r"^gpt-3\.5-turbo-instruct", re.IGNORECASE)

EMBEDDING_DIMENSIONS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "gemini-embedding-001": 3072,
    "text-embedding-004": 768,
    "nomic-embed-text": 768,
    "mxbai-embed-large": 1024,
    "all-minilm": 384,
    "bge-m3": 1024,
}

UNKNOWN_LOCAL_WINDOW: Final = 8192
UNKNOWN_HOSTED_WINDOW: Final = 128_000
_PRICE_IDS: Final = {
    "google_ai": "google",
    "google_vertex": "google",
    "bedrock": "aws",
    "xai": "x-ai",
    "moonshot": "moonshotai",
}
_WINDOWS: Final = (  # where the snapshot gives none
    (re.compile(r"gemini-(?:1\.5-pro)"), 2_097_152),
    (re.compile(r"gemini-(?:1\.5|2|3)"), 1_048_576),
    (re.compile(r"claude"), 200_000),
    (re.compile(r"gpt-4\.1"), 1_047_576),
    (re.compile(r"gpt-oss|llama-?3\.[123]"), 131_072),
    (re.compile(r"gpt-[5-9]"), 400_000),
    (re.compile(r"^o[134]"), 200_000),
)


def is_openai_reasoner(name: str) -> bool:
    """Whether OpenAI's model takes the parameters of reasoning models."""
    return bool(_OPENAI_REASONER.search(name))


def can_reason(name: str) -> bool:
    """Whether the family is known to reason before it answers."""
    return bool(_REASONER.search(name))


def can_see(name: str) -> bool:
    """Whether the family is known to read images."""
    return bool(_VISION.search(name))


def is_embedder(name: str) -> bool:
    """Whether the name is that of an embedding model."""
    return bool(_EMBEDDING.search(name))


def is_chat(name: str) -> bool:
    """Whether the name may be that of a chat model: no embedding, audio, image or moderation model."""
    return not (_EMBEDDING.search(name) or _OTHER_KIND.search(name) or _INSTRUCT_ONLY.search(name))


def embedding_dimensions(name: str) -> int:
    """The length of its vectors; 0: not known."""
    plain = name.rpartition("/")[2].partition(":")[0]
    return EMBEDDING_DIMENSIONS.get(plain, 0)


@lru_cache(maxsize=4096)
def known_context_window(provider_type: str, name: str) -> int | None:
    """Tokens a hosted model takes; None: nothing known. The first call loads some 30 MB."""
    window = _priced_window(provider_type, name)
    if window is not None:
        return window
    return next((tokens for pattern, tokens in _WINDOWS if pattern.search(name.lower())), None)


def _priced_window(provider_type: str, name: str) -> int | None:
    snapshot: Any = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    try:
        _, model = snapshot.find_provider_model(name, None, _PRICE_IDS.get(provider_type, provider_type), None)
    except LookupError:
        return None
    window = model.context_window
    return int(window) if window else None
