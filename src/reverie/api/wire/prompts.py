"""Measured contexts and one-off generations. Source: `ContextWindowOverview`, `GenerateRequest`, API, read 2026-11."""

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.encode.raw import RawMessage, raw_message
from reverie.api.encode.sse import UsageEvent, usage_event
from reverie.api.wire.base import Body
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec
from reverie.operations.prompts import ContextOverview, Generation


class FunctionState(TypedDict):
    """What a tool is to a model."""

    name: str
    description: str | None
    parameters: JsonObject | None
    strict: bool | None


class FunctionTool(TypedDict):
    """A tool as models are told of it."""

    type: Literal["function"]
    function: FunctionState


class ContextState(TypedDict):
    """What the next request to an agent's model holds, in estimated tokens, and what lies outside of it."""

    context_window_size_max: int
    context_window_size_current: int
    num_messages: int
    num_archival_memory: int
    num_recall_memory: int
    num_tokens_external_memory_summary: int
    external_memory_summary: str
    num_tokens_system: int
    system_prompt: str
    num_tokens_core_memory: int
    core_memory: str
    num_tokens_memory_filesystem: int
    memory_filesystem: str | None
    num_tokens_tool_usage_rules: int
    tool_usage_rules: str | None
    num_tokens_directories: int
    directories: str | None
    num_tokens_summary_memory: int
    summary_memory: str | None
    num_tokens_functions_definitions: int
    functions_definitions: list[FunctionTool] | None
    num_tokens_messages: int
    messages: list[RawMessage]


class GenerationState(TypedDict):
    """What a model answered."""

    content: str
    model: str
    usage: UsageEvent


def context_state(found: ContextOverview) -> ContextState:
    """A measured context as clients read it."""
    return {
        "context_window_size_max": found.window,
        "context_window_size_current": found.total,
        "num_messages": len(found.context),
        "num_archival_memory": found.passage_count,
        "num_recall_memory": found.message_count,
        "num_tokens_external_memory_summary": found.outside_tokens,
        "external_memory_summary": found.sections.outside,
        "num_tokens_system": found.instructions_tokens,
        "system_prompt": found.sections.instructions,
        "num_tokens_core_memory": found.memory_tokens,
        "core_memory": found.sections.memory,
        "num_tokens_memory_filesystem": 0,
        "memory_filesystem": None,
        "num_tokens_tool_usage_rules": found.rules_tokens,
        "tool_usage_rules": found.sections.rules or None,
        "num_tokens_directories": found.folders_tokens,
        "directories": found.sections.folders or None,
        "num_tokens_summary_memory": found.summary_tokens,
        "summary_memory": found.summary,
        "num_tokens_functions_definitions": found.tools_tokens,
        "functions_definitions": [_function(spec) for spec in found.tools] or None,
        "num_tokens_messages": found.messages_tokens,
        "messages": [raw_message(message) for message in found.context],
    }


def generation_state(done: Generation) -> GenerationState:
    """A one-off generation as clients read it."""
    return {"content": done.text, "model": done.model, "usage": usage_event(done.usage, None)}


def _function(spec: ToolSpec) -> FunctionTool:
    function: FunctionState = {
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
        "strict": None,
    }
    return {"type": "function", "function": function}


class Generate(Body):
    """A request of its own to an agent's model."""

    prompt: str = Field(min_length=1)
    system_prompt: str | None = None
    override_model: str | None = None
    response_schema: JsonObject | None = None
