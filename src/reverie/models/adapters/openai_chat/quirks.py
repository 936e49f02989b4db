"""Where servers of OpenAI's chat format differ: one row for each provider type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from reverie.models.base import ProviderOptions


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
    """`max_completion_tokens` and `developer` are known (OpenAI, Azure)."""
    verbosity: bool = False
    """`verbosity` is known."""
    strict: bool = False
    """`strict` on tools is known."""
    parallel_tool_calls: bool = True
    reads_calls: bool = True
    """What a model writes as a call comes as one; servers of one's own leave some among the words."""
    required_word: str = "required"
    """The tool choice that forces some tool."""


_LOCAL: Final = ChatQuirks(system_anywhere=False, reads_calls=False)
_OPENAI: Final = ChatQuirks(
    openai_fields=True,
    verbosity=True,
    strict=True,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
)
# Whoever calls it OpenAI has what is asked for in OpenAI's words sent on in them.
_GATEWAY: Final = ChatQuirks(verbosity=True, strict=True, efforts=_OPENAI.efforts, reads_calls=False)
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
_UNKNOWN: Final = ChatQuirks(reads_calls=False)


def quirks_of(provider: ProviderOptions) -> ChatQuirks:
    """The quirks of a provider; type `openai` with a base URL of another house is only compatible."""
    if provider.type == "openai" and provider.base_url and "api.openai.com" not in provider.base_url:
        return _GATEWAY
    return QUIRKS.get(provider.type, _UNKNOWN)
