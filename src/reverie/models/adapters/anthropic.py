"""Anthropic's messages dialect."""

from typing import ClassVar, Final

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.profiles.anthropic import ANTHROPIC_THINKING_BUDGET_MAP
from pydantic_ai.providers.anthropic import AnthropicProvider

from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.pydantic_models import PydanticEndpoint, common_settings
from reverie.models.base import Prompt

ROOM_FOR_ANSWER: Final = 4096
"""Tokens left to the answer when a budget of thinking would take the whole limit."""


class Anthropic(PydanticEndpoint):
    """One provider of Anthropic's dialect. Tools, system prompt and the last turn are marked for caching."""

    dialect: ClassVar[str] = "anthropic"

    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> Model:
        """Make the model."""
        client = AsyncAnthropic(
            base_url=self.provider.base_url,
            api_key=self.provider.api_key or "none",
            max_retries=0,
            timeout=self.timeout(),
            http_client=http,
        )
        return AnthropicModel(info.name, provider=AnthropicProvider(anthropic_client=client))

    def settings(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """A budget of thinking counts against the limit, so the limit leaves room for both."""
        settings = common_settings(prompt)
        for unknown in ("frequency_penalty", "presence_penalty"):
            settings.pop(unknown, None)
        wanted = prompt.settings
        limit = wanted.max_output_tokens or info.max_output_tokens
        if wanted.thinking_budget_tokens and wanted.reasoning_effort != "none":
            budget = max(1024, wanted.thinking_budget_tokens)
            settings.pop("thinking", None)
            settings["anthropic_thinking"] = {"type": "enabled", "budget_tokens": budget}
            limit = _with_room(limit or 0, budget)
        elif settings.get("thinking") and limit is not None:
            limit = _with_room(limit, ANTHROPIC_THINKING_BUDGET_MAP[settings["thinking"]])
        if settings.get("thinking") or "anthropic_thinking" in settings:
            settings.pop("temperature", None)
            if isinstance(settings.get("tool_choice"), list) or settings.get("tool_choice") == "required":
                # A forced tool and thinking exclude each other; the caller's rules rest on the force.
                settings = {key: value for key, value in settings.items() if "thinking" not in key}
        if limit is not None:  # without one, the library sends the model's own maximum
            settings["max_tokens"] = limit
        return settings | {
            "anthropic_cache_tool_definitions": True,
            "anthropic_cache_instructions": True,
            "anthropic_cache_messages": True,
        }


def _with_room(limit: int, budget: int) -> int:
    """`limit`, where an answer has room in it besides the thinking; Anthropic refuses another."""
    return limit if limit > budget else budget + ROOM_FOR_ANSWER
