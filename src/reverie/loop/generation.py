"""How one request wants to be generated: the agent's settings by the API's names, for the models room."""

from dataclasses import replace

from reverie.domain.inputs import TurnOptions
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.loop.state import View
from reverie.models.base import Effort, GenerationSettings


def generation_settings(view: View, options: TurnOptions, info: ModelInfo) -> GenerationSettings:
    """Return the settings of a request; the conversation's own override the agent's one by one, the request's both."""
    given: JsonObject = {**view.agent.model_settings, **(view.conversation.model_settings or {}), **options.settings}
    settings = settings_of(given, info, thinking=options.enable_thinking)
    return replace(
        settings,
        response_format=settings.response_format or view.agent.response_format,
        top_logprobs=options.top_logprobs,
    )


def settings_of(given: JsonObject, info: ModelInfo, *, thinking: bool = True) -> GenerationSettings:
    """Settings by the API's names, in the words of the models room."""
    effort, budget = _reasoning(given, info) if thinking else (None, None)
    return GenerationSettings(
        max_output_tokens=given.get("max_output_tokens") or given.get("max_tokens"),
        temperature=given.get("temperature"),
        parallel_tool_calls=given.get("parallel_tool_calls"),
        reasoning_effort=effort,
        thinking_budget_tokens=budget,
        verbosity=given.get("verbosity"),
        response_format=given.get("response_format") or given.get("response_schema"),
        strict=given.get("strict"),
        frequency_penalty=given.get("frequency_penalty"),
        presence_penalty=given.get("presence_penalty"),
        top_p=given.get("top_p"),
        stop=tuple(given.get("stop") or ()),
    )


def _reasoning(given: JsonObject, info: ModelInfo) -> tuple[Effort | None, int | None]:
    """Effort and budget, from whichever of the providers' shapes the settings hold."""
    if not info.reasoning or given.get("enable_reasoner") is False:
        return None, None
    nested = given.get("reasoning")
    effort = given.get("effort") or given.get("reasoning_effort")
    if isinstance(nested, dict):
        effort = nested.get("reasoning_effort") or effort
    budget = given.get("max_reasoning_tokens")
    thinking = given.get("thinking")
    if isinstance(thinking, dict):
        if thinking.get("type") == "disabled":
            return effort, None
        budget = thinking.get("budget_tokens") or budget
    config = given.get("thinking_config")
    if isinstance(config, dict):
        budget = config.get("thinking_budget") or budget
    return effort, budget or None
