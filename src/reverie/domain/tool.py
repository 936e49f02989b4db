"""Tools: what an agent may call."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from reverie.domain.ids import OrganizationId, ToolId
from reverie.domain.json import JsonObject
from reverie.domain.unset import UNSET, Unset

DEFAULT_RETURN_CHAR_LIMIT: Final = 50_000


class ToolType(StrEnum):
    """Who wrote a tool and where it runs. Source: `ToolType` of the client SDK, read 2026-11."""

    CUSTOM = "custom"
    CORE = "letta_core"
    MEMORY_CORE = "letta_memory_core"
    MULTI_AGENT_CORE = "letta_multi_agent_core"
    SLEEPTIME_CORE = "letta_sleeptime_core"
    VOICE_SLEEPTIME_CORE = "letta_voice_sleeptime_core"
    BUILTIN = "letta_builtin"
    FILES_CORE = "letta_files_core"
    EXTERNAL_LANGCHAIN = "external_langchain"
    EXTERNAL_COMPOSIO = "external_composio"
    EXTERNAL_MCP = "external_mcp"


NOT_BUILTIN: Final = frozenset(
    {ToolType.CUSTOM, ToolType.EXTERNAL_LANGCHAIN, ToolType.EXTERNAL_COMPOSIO, ToolType.EXTERNAL_MCP}
)
"""Types of the tools that were added by somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What a model is told about a tool."""

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the arguments: an object schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipRequirement:
    """A package a custom tool needs; no version means any."""

    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function an agent may call. Source: `Tool` of the client SDK, read 2026-11."""

    id: ToolId
    organization_id: OrganizationId
    name: str
    tool_type: ToolType = ToolType.CUSTOM
    description: str = ""
    json_schema: JsonObject
    """`{"name", "description", "parameters"}`, as OpenAI's function format has it."""
    args_json_schema: JsonObject | None = None
    """The schema the client gave for the arguments, if it gave one."""
    source_code: str | None = None
    source_type: str = "python"
    tags: tuple[str, ...] = ()
    return_char_limit: int = DEFAULT_RETURN_CHAR_LIMIT
    """Longest result the model is shown; what is over is cut with a note."""
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = False
    pip_requirements: tuple[PipRequirement, ...] = ()
    npm_requirements: tuple[PipRequirement, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    project_id: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

    @property
    def is_builtin(self) -> bool:
        """Whether the tool came with the server."""
        return self.tool_type not in NOT_BUILTIN

    @property
    def timeout_s(self) -> float | None:
        """The `timeout_s` of its metadata: how long one call of it may take; None: as long as the server lets all."""
        wish = self.metadata.get("timeout_s")
        if isinstance(wish, bool) or not isinstance(wish, int | float) or wish <= 0:
            return None
        return float(wish)

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        parameters = self.json_schema.get("parameters")
        return ToolSpec(
            name=self.name,
            description=self.description,
            parameters=parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDraft:
    """A custom tool to be made; what is None is derived from the source."""

    source_code: str
    source_type: str = "python"
    json_schema: JsonObject | None = None
    args_json_schema: JsonObject | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    return_char_limit: int = DEFAULT_RETURN_CHAR_LIMIT
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = False
    pip_requirements: tuple[PipRequirement, ...] = ()
    npm_requirements: tuple[PipRequirement, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    unsaid: frozenset[str] = frozenset()
    """Settings that nobody gave: where the draft takes an older tool's place they stay as that one has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChanges:
    """A partial update of a tool. New source without a schema derives the schema anew."""

    name: str | Unset = UNSET
    description: str | Unset = UNSET
    source_code: str | Unset = UNSET
    source_type: str | Unset = UNSET
    json_schema: JsonObject | Unset = UNSET
    args_json_schema: JsonObject | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    return_char_limit: int | Unset = UNSET
    default_requires_approval: bool | Unset | None = UNSET
    enable_parallel_execution: bool | Unset = UNSET
    pip_requirements: tuple[PipRequirement, ...] | Unset = UNSET
    npm_requirements: tuple[PipRequirement, ...] | Unset = UNSET
    metadata: JsonObject | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFilter:
    """Which tools a list holds; every given condition must hold."""

    name: str | None = None
    names: tuple[str, ...] | None = None
    tool_ids: tuple[ToolId, ...] | None = None
    tool_types: tuple[ToolType, ...] | None = None
    exclude_tool_types: tuple[ToolType, ...] = ()
    search: str | None = None
    """Part of the name, without regard to case."""
    tags: tuple[str, ...] = ()
    """At least one of them."""
    only_builtin: bool = False
    exclude_builtin: bool = False
