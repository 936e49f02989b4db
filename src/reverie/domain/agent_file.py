"""Agent files (`.af`): agents with all they need, in a form that other servers read too.

These records say what stands in a kept file. They are apart from the records of the running
server and from the wire: a file that was written once is read for ever, so a field here is
never renamed and never gets another meaning. Templates are kept in the same form.

Ids in a file are its own, such as `agent-0` or `block-3`. What is called "ours" below is an
addition that other servers pass over.

Source: `AgentFileSchema` of the API description, read 2026-11.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from reverie.domain.agent import AgentType, CompactionSettings
from reverie.domain.block import DEFAULT_LIMIT
from reverie.domain.errors import InvalidInput
from reverie.domain.json import JsonObject
from reverie.domain.old_configs import settings_of_config
from reverie.domain.tool import DEFAULT_RETURN_CHAR_LIMIT, PipRequirement, ToolType
from reverie.domain.tool_rule import ToolRule

FileRole: TypeAlias = Literal["system", "user", "assistant", "tool", "function", "approval", "summary"]
FileContent: TypeAlias = str | list[JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlockChange:
    """One change of a block's value. Ours."""

    version: int
    before: str
    after: str
    actor: JsonObject
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlock:
    """A memory block."""

    id: str
    label: str
    value: str = ""
    limit: int = DEFAULT_LIMIT
    description: str | None = None
    read_only: bool = False
    hidden: bool | None = None
    metadata: JsonObject = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    is_template: bool = False
    template_name: str | None = None
    preserve_on_migration: bool | None = None
    history: tuple[FileBlockChange, ...] = ()
    """Oldest first. Ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTool:
    """A tool: whole where it is custom, else by its name."""

    id: str
    name: str
    tool_type: ToolType = ToolType.CUSTOM
    description: str | None = None
    source_code: str | None = None
    source_type: str = "python"
    json_schema: JsonObject | None = None
    args_json_schema: JsonObject | None = None
    tags: tuple[str, ...] = ()
    return_char_limit: int = DEFAULT_RETURN_CHAR_LIMIT
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = False
    pip_requirements: tuple[PipRequirement, ...] = ()
    npm_requirements: tuple[PipRequirement, ...] = ()
    metadata_: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMessage:
    """One turn of a conversation: reasoning, words and calls of one reply are one message here."""

    id: str
    role: FileRole
    content: FileContent = ""
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    model: str | None = None
    agent_id: str | None = None
    tool_calls: tuple[JsonObject, ...] = ()
    """As OpenAI has them: `{"id", "type": "function", "function": {"name", "arguments"}}`."""
    tool_call_id: str | None = None
    tool_returns: tuple[JsonObject, ...] = ()
    """`{"tool_call_id", "status", "func_response", "stdout", "stderr"}`."""
    approve: bool | None = None
    approval_request_id: str | None = None
    denial_reason: str | None = None
    approvals: tuple[JsonObject, ...] = ()
    """Decisions, and results of calls that the client ran."""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMemory:
    """A passage of archival memory; its vector is made anew where the file is read. Ours."""

    text: str
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAgent:
    """An agent. Fields that are not in every file have the defaults of a request to make an agent."""

    id: str
    name: str | None = None
    agent_type: AgentType = AgentType.MEMGPT_V2
    system: str | None = None
    model: str | None = None
    """Handle; where it is missing `llm_config` tells."""
    embedding: str | None = None
    llm_config: JsonObject | None = None
    embedding_config: JsonObject | None = None
    model_settings: JsonObject | None = None
    context_window_limit: int | None = None
    compaction_settings: CompactionSettings | None = None
    response_format: JsonObject | None = None
    block_ids: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Names of tools that the server is to have already."""
    tool_ids: tuple[str, ...] = ()
    tool_rules: tuple[ToolRule, ...] = ()
    include_base_tools: bool = True
    include_multi_agent_tools: bool = False
    include_base_tool_rules: bool | None = None
    source_ids: tuple[str, ...] = ()
    folder_ids: tuple[str, ...] = ()
    identity_ids: tuple[str, ...] = ()
    """Of the server that wrote the file: heeded in its own templates only."""
    tags: tuple[str, ...] = ()
    description: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    tool_exec_environment_variables: dict[str, str] = field(default_factory=dict)
    """Names of secrets; values stand in no file of ours."""
    secrets: dict[str, str] = field(default_factory=dict)
    timezone: str = "UTC"
    message_buffer_autoclear: bool = False
    enable_sleeptime: bool | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    hidden: bool | None = None
    approvals: dict[str, bool] = field(default_factory=dict)
    """Tool name to whether calls of it need approval here. Ours."""
    messages: tuple[FileMessage, ...] = ()
    in_context_message_ids: tuple[str, ...] = ()
    files_agents: tuple[JsonObject, ...] = ()
    group_ids: tuple[str, ...] = ()
    passages: tuple[FileMemory, ...] = ()
    """What the archive that was made for the agent holds, in order. Ours."""

    @property
    def model_handle(self) -> str | None:
        """`provider/model`, from whichever field names it."""
        return self.model or _handle(self.llm_config, "model", "model_endpoint_type")

    @property
    def typed_model_handle(self) -> str | None:
        """The same model by its provider's type: a provider's name may be one that the other server gave it."""
        config = self.llm_config or {}
        kind, model = config.get("model_endpoint_type"), config.get("model")
        return f"{kind}/{model}" if kind and model else None

    @property
    def embedding_handle(self) -> str | None:
        """The same of the embedding model."""
        return self.embedding or _handle(self.embedding_config, "embedding_model", "embedding_endpoint_type")

    @property
    def window_limit(self) -> int | None:
        """Tokens of context to use at most."""
        window = (self.llm_config or {}).get("context_window")
        return self.context_window_limit or (window if isinstance(window, int) and window > 0 else None)

    @property
    def settings(self) -> JsonObject:
        """Generation settings, from whichever field has them."""
        if self.model_settings is None:
            return settings_of_config(self.llm_config or {})
        return {name: value for name, value in self.model_settings.items() if name != "provider_type"}

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Names of all secrets, from both fields."""
        return tuple({**self.tool_exec_environment_variables, **self.secrets})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroup:
    """Agents that work together."""

    id: str
    agent_ids: tuple[str, ...]
    description: str = ""
    manager_config: JsonObject = field(default_factory=lambda: {"manager_type": "round_robin"})
    shared_block_ids: tuple[str, ...] = ()
    hidden: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A folder, under its old name."""

    id: str
    name: str
    description: str | None = None
    instructions: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    embedding: str | None = None
    embedding_config: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFile:
    """A file of a folder, as text."""

    id: str
    source_id: str
    file_name: str | None = None
    original_file_name: str | None = None
    file_path: str | None = None
    file_type: str | None = None
    file_size: int | None = None
    file_creation_date: str | None = None
    file_last_modified_date: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMcpServer:
    """An MCP server that tools come from, without what opens it."""

    id: str
    server_type: str
    server_name: str
    server_url: str | None = None
    stdio_config: JsonObject | None = None
    metadata_: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSkill:
    """Instructions that a client program loads for the agent; the server only hands them on."""

    name: str
    files: dict[str, str] | None = None
    """Path to text; `SKILL.md` is among them."""
    source_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """Agents with all they need."""

    agents: tuple[FileAgent, ...]
    groups: tuple[FileGroup, ...] = ()
    blocks: tuple[FileBlock, ...] = ()
    files: tuple[FileFile, ...] = ()
    sources: tuple[FileSource, ...] = ()
    tools: tuple[FileTool, ...] = ()
    mcp_servers: tuple[FileMcpServer, ...] = ()
    skills: tuple[FileSkill, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    created_at: datetime | None = None


def check_references(file: AgentFile) -> None:
    """Refuse a file whose parts do not fit together.

    Raises:
        InvalidInput: an id that stands for two things, or for nothing.
    """
    if not file.agents:
        raise InvalidInput("agent file: 'agents' is empty; a file holds at least one agent")
    known = {
        "agents": _ids("agents", file.agents),
        "blocks": _ids("blocks", file.blocks),
        "tools": _ids("tools", file.tools),
        "sources": _ids("sources", file.sources),
        "groups": _ids("groups", file.groups),
    }
    _ids("files", file.files)
    for agent in file.agents:
        place = f"agent {agent.id!r}"
        messages = _ids(f"messages of {place}", agent.messages)
        _check(place, "block_ids", agent.block_ids, known["blocks"])
        _check(place, "tool_ids", agent.tool_ids, known["tools"])
        _check(place, "source_ids", (*agent.source_ids, *agent.folder_ids), known["sources"])
        _check(place, "in_context_message_ids", agent.in_context_message_ids, messages)
    for group in file.groups:
        _check(f"group {group.id!r}", "agent_ids", group.agent_ids, known["agents"])
        _check(f"group {group.id!r}", "shared_block_ids", group.shared_block_ids, known["blocks"])
    for item in file.files:
        _check(f"file {item.id!r}", "source_id", (item.source_id,), known["sources"])


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


def _ids(place: str, items: Sequence[_Identified]) -> frozenset[str]:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InvalidInput(f"agent file: {place} has the id {item.id!r} twice; ids are unique within a file")
        seen.add(item.id)
    return frozenset(seen)


def _check(place: str, field_name: str, wanted: Sequence[str], known: frozenset[str]) -> None:
    for item in wanted:
        if item not in known:
            raise InvalidInput(f"agent file: {field_name} of {place} names {item!r}, which is not in the file")


def _handle(config: JsonObject | None, model: str, provider: str) -> str | None:
    if not config:
        return None
    named = config.get("handle")
    if isinstance(named, str) and named:
        return named
    return f"{config.get('provider_name') or config.get(provider) or 'openai'}/{config.get(model)}"
