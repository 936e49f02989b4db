"""Agents: instructions, a model, memory and tools that outlive every conversation."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, get_args

from reverie.domain.block import Block, BlockDraft
from reverie.domain.folder import AttachedFolder
from reverie.domain.group import Group
from reverie.domain.identity import Identity
from reverie.domain.ids import AgentId, BlockId, FolderId, IdentityId, MessageId, OrganizationId, ToolId
from reverie.domain.inputs import BusyPolicy, MessageInput
from reverie.domain.json import JsonObject
from reverie.domain.message import Message
from reverie.domain.stop_reason import StopReason
from reverie.domain.tool import Tool
from reverie.domain.tool_rule import ToolRule
from reverie.domain.unset import UNSET, Unset


class AgentType(StrEnum):
    """Which instructions and tools an agent starts with. Source: `AgentType`, client SDK, read 2026-11."""

    MEMGPT = "memgpt_agent"
    MEMGPT_V2 = "memgpt_v2_agent"
    LETTA_V1 = "letta_v1_agent"
    REACT = "react_agent"
    WORKFLOW = "workflow_agent"
    SPLIT_THREAD = "split_thread_agent"
    SLEEPTIME = "sleeptime_agent"
    VOICE_CONVO = "voice_convo_agent"
    VOICE_SLEEPTIME = "voice_sleeptime_agent"

    @property
    def speaks_through_tool(self) -> bool:
        """Older types say everything through a `send_message` tool."""
        return self in (AgentType.MEMGPT, AgentType.MEMGPT_V2, AgentType.SPLIT_THREAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSettings:
    """How old messages make room. Source: `CompactionSettings` of the client SDK, read 2026-11."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] = "sliding_window"
    sliding_window_percentage: float = 0.3
    """Share of the context window to keep after compaction."""
    model: str | None = None
    """Handle of the summarising model; None means the agent's own."""
    model_settings: JsonObject | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool = False
    clip_chars: int | None = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionChanges:
    """Settings that differ from others."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] | Unset = UNSET
    sliding_window_percentage: float | Unset = UNSET
    model: str | Unset | None = UNSET
    model_settings: JsonObject | Unset | None = UNSET
    prompt: str | Unset | None = UNSET
    prompt_acknowledgement: bool | Unset = UNSET
    clip_chars: int | Unset | None = UNSET

    def applied_to(self, settings: CompactionSettings) -> CompactionSettings:
        """`settings` with the changes made. A prompt was written for its mode: another mode begins with its own."""
        given = {item.name: value for item in fields(self) if (value := getattr(self, item.name)) is not UNSET}
        if given.get("mode", settings.mode) != settings.mode:
            given = {"prompt": None, **given}
        return replace(settings, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One stateful agent. What it is attached to (blocks, tools, …) is stored beside it."""

    id: AgentId
    organization_id: OrganizationId
    name: str
    agent_type: AgentType = AgentType.LETTA_V1
    system: str
    """Instructions; the compiled prompt adds memory and more to them."""
    model: str
    """Handle, `provider/model`."""
    embedding: str | None = None
    """Handle of the embedding model."""
    model_settings: JsonObject = field(default_factory=dict)
    """Generation settings by the API's names: `max_output_tokens`, `temperature`, `reasoning`, …"""
    context_window_limit: int | None = None
    """Smaller window than the model's own; None means the model's."""
    compaction_settings: CompactionSettings | None = None
    response_format: JsonObject | None = None
    tool_rules: tuple[ToolRule, ...] = ()
    approvals: dict[str, bool] = field(default_factory=dict)
    """Tool name to whether it needs approval here; overrides the tool's own default."""
    description: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    sealed_secrets: dict[str, str] = field(default_factory=dict)
    """Environment of the agent's tools: name to encrypted value. `auth.Cipher` opens one, bound to the agent's id."""
    timezone: str = "UTC"
    """IANA name."""
    message_buffer_autoclear: bool = False
    """Forget earlier messages (not memory) at each request."""
    enable_sleeptime: bool | None = None
    max_files_open: int | None = None
    """Beyond it the file unused for longest is closed; None: `folder.DEFAULT_FILES_OPEN`."""
    per_file_view_window_char_limit: int | None = None
    """Characters of an open file that the prompt shows; None: `folder.DEFAULT_VIEW_CHARS`."""
    hidden: bool | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    message_ids: tuple[MessageId, ...] | None = None
    """Ids in the context of the agent's own thread, in order; None where a reader did not ask for them."""
    last_run_completion: datetime | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: StopReason | None = None
    finds_by_meaning: bool = False
    """Somebody has looked for a meaning among its messages, so they get vectors from then on."""
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

    @property
    def when_busy(self) -> BusyPolicy | None:
        """What becomes of a message while a run is active; None: as the server has it."""
        wish = self.metadata.get("busy_policy")
        return wish if wish in get_args(BusyPolicy) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDetails:
    """An agent with what it is attached to."""

    agent: Agent
    blocks: tuple[Block, ...]
    """In the order of attachment, which is their order in the prompt."""
    tools: tuple[Tool, ...]
    """In the order of attachment."""
    identities: tuple[Identity, ...] = ()
    """By age."""
    folders: tuple[AttachedFolder, ...] = ()
    """In the order of attachment; with their files where one agent alone is read."""
    managed_group: Group | None = None
    """The group that the agent manages; of several, the one that looks after its memory."""
    pending_approval: Message | None = None
    """The unanswered approval request of the agent's own thread."""
    passage_count: int = 0
    """Passages in all archives of the agent."""
    sandbox_configured: bool = True
    """Whether the organisation has settings for the sandbox of its tools; taken for granted where nobody looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDraft:
    """An agent to be made, with all it shall be attached to; stored whole or not at all."""

    name: str | None = None
    """None: a made-up name."""
    agent_type: AgentType = AgentType.LETTA_V1
    system: str | None = None
    """None: the instructions of the agent type."""
    model: str | None = None
    """None: the server's default model."""
    embedding: str | None = None
    model_settings: JsonObject = field(default_factory=dict)
    context_window_limit: int | None = None
    compaction_settings: CompactionSettings | None = None
    response_format: JsonObject | None = None
    blocks: tuple[BlockDraft, ...] = ()
    block_ids: tuple[BlockId, ...] = ()
    tool_names: tuple[str, ...] = ()
    tool_ids: tuple[ToolId, ...] = ()
    tool_rules: tuple[ToolRule, ...] = ()
    include_base_tools: bool = True
    include_multi_agent_tools: bool = False
    include_base_tool_rules: bool | None = None
    tags: tuple[str, ...] = ()
    identity_ids: tuple[IdentityId, ...] = ()
    folder_ids: tuple[FolderId, ...] = ()
    include_default_source: bool = False
    """Make a folder for it."""
    embedding_chunk_size: int | None = None
    """Tokens of a passage in that folder."""
    secrets: dict[str, str] = field(default_factory=dict)
    initial_messages: tuple[MessageInput, ...] | None = None
    """None: the start of the agent type."""
    description: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    timezone: str = "UTC"
    message_buffer_autoclear: bool = False
    enable_sleeptime: bool | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    hidden: bool | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None


def overlaid(base: AgentDraft, given: AgentDraft, names: Collection[str]) -> AgentDraft:
    """`base` with the fields of `given` that `names` says: lists and mappings add to what is there."""
    values: dict[str, Any] = {}
    for name in names:
        there, more = getattr(base, name), getattr(given, name)
        if isinstance(there, tuple) and isinstance(more, tuple) and name != "initial_messages":
            values[name] = (*there, *(item for item in more if item not in there))
        elif isinstance(there, dict) and isinstance(more, dict):
            values[name] = there | more
        else:
            values[name] = more
    return replace(base, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChanges:
    """A partial update of an agent. Lists of ids replace what is attached."""

    name: str | Unset = UNSET
    system: str | Unset = UNSET
    model: str | Unset = UNSET
    embedding: str | Unset | None = UNSET
    model_settings: JsonObject | Unset = UNSET
    """Settings to set; None takes one away. With another model they are all there are."""
    context_window_limit: int | Unset | None = UNSET
    compaction_settings: CompactionChanges | Unset | None = UNSET
    response_format: JsonObject | Unset | None = UNSET
    block_ids: tuple[BlockId, ...] | Unset = UNSET
    tool_ids: tuple[ToolId, ...] | Unset = UNSET
    folder_ids: tuple[FolderId, ...] | Unset = UNSET
    tool_rules: tuple[ToolRule, ...] | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    identity_ids: tuple[IdentityId, ...] | Unset = UNSET
    secrets: dict[str, str] | Unset = UNSET
    message_ids: tuple[MessageId, ...] | Unset = UNSET
    description: str | Unset | None = UNSET
    metadata: JsonObject | Unset = UNSET
    timezone: str | Unset = UNSET
    message_buffer_autoclear: bool | Unset = UNSET
    enable_sleeptime: bool | Unset = UNSET
    max_files_open: int | Unset | None = UNSET
    per_file_view_window_char_limit: int | Unset | None = UNSET
    hidden: bool | Unset | None = UNSET
    project_id: str | Unset | None = UNSET
    template_id: str | Unset | None = UNSET
    base_template_id: str | Unset | None = UNSET
    last_run_completion: datetime | Unset | None = UNSET
    last_run_duration_ms: int | Unset | None = UNSET
    last_stop_reason: StopReason | Unset | None = UNSET

    def settings_over(self, before: Agent) -> JsonObject:
        """The model's settings after the change."""
        if self.model_settings is UNSET:
            return before.model_settings
        kept = before.model_settings if self.model in (UNSET, before.model) else {}
        return {name: value for name, value in (kept | self.model_settings).items() if value is not None}

    def compaction_over(self, before: Agent) -> CompactionSettings | None:
        """How old messages make room after the change."""
        changes = self.compaction_settings
        if changes is UNSET:
            return before.compaction_settings
        return None if changes is None else changes.applied_to(before.compaction_settings or CompactionSettings())


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFilter:
    """Which agents a list holds; every given condition must hold."""

    name: str | None = None
    tags: tuple[str, ...] = ()
    match_all_tags: bool = False
    query_text: str | None = None
    """Part of the name, without regard to case."""
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    identity_id: str | None = None
    identifier_keys: tuple[str, ...] = ()
    agent_id: str | None = None
    block_id: str | None = None
    """Attached to it."""
    archive_id: str | None = None
    """Attached to it."""
    created_by_id: str | None = None
    last_stop_reason: StopReason | None = None
    include_hidden: bool = False
    template_name: str | None = None
    """Of the template it was made of, whatever the version."""
    template_version: str | None = None
    """`name:3`, `name:latest`, `name:current`, a version of any template (`3`), or a version's id."""
    also: tuple["AgentFilter", ...] = ()
    """Further conditions, all of which must hold as well."""
