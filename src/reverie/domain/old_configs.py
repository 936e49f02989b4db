"""What old clients and agent files say in an `llm_config`, by the API's present names."""

from collections.abc import Mapping
from typing import Any

from reverie.domain.json import JsonObject


def settings_of_config(config: Mapping[str, Any]) -> JsonObject:
    """The generation settings that a config carries."""
    effort = config.get("reasoning_effort")
    found: JsonObject = {
        "temperature": config.get("temperature"),
        "max_output_tokens": config.get("max_tokens"),
        "parallel_tool_calls": config.get("parallel_tool_calls"),
        "frequency_penalty": config.get("frequency_penalty"),
        "verbosity": config.get("verbosity"),
        "effort": config.get("effort"),
        "strict": config.get("strict") or None,
        "response_format": config.get("response_format"),
        "reasoning": {"reasoning_effort": effort} if effort else None,
        "thinking": thinking_of(config.get("enable_reasoner"), config.get("max_reasoning_tokens")),
    }
    return {name: value for name, value in found.items() if value is not None}


def thinking_of(enabled: bool | None, budget: int | None) -> JsonObject | None:
    """The present form of `enable_reasoner` and `max_reasoning_tokens`; None where they say nothing."""
    if not budget:
        return {"type": "disabled"} if enabled is False else None
    return {"type": "disabled" if enabled is False else "enabled", "budget_tokens": budget}
