"""Agents on the wire. Source: `AgentState`, `AgentCreateParams`, `AgentUpdateParams`, client SDK, read 2026-11."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from reverie.api.encode.messages import LIST_VIEW, ApprovalRequestMessage, wire_messages
from reverie.api.wire.base import MOST, Body, Metadata, Moment, Whole, changes_of
from reverie.api.wire.blocks import BlockCreate, BlockState, block_state
from reverie.api.wire.folders import FileBlock, Source, file_block, source_state
from reverie.api.wire.groups import GroupState, group_state
from reverie.api.wire.identities import IdentityState, owner_state
from reverie.api.wire.messages import MessageCreate
from reverie.api.wire.models import (
    EmbeddingConfig,
    EmbeddingConfigBody,
    LlmConfig,
    LlmConfigBody,
    ModelSettingsBody,
    ResponseFormat,
    ResponseFormatBody,
    embedding_config,
    guessed_embedder,
    guessed_model,
    llm_config,
    model_settings_state,
    response_format,
)
from reverie.api.wire.tools import RuleBody, ToolState, rule_state, rules_to_domain, tool_state
from reverie.domain.agent import (
    Agent,
    AgentChanges,
    AgentDetails,
    AgentDraft,
    AgentType,
    CompactionSettings,
    overlaid,
)
from reverie.domain.folder import AttachedFolder
from reverie.domain.ids import BlockId, FolderId, IdentityId, ToolId
from reverie.domain.json import JsonObject
from reverie.domain.old_configs import thinking_of
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.domain.stop_reason import StopReason
from reverie.domain.tool import Tool
from reverie.operations.deployments import DeploymentDraft

Relationship: TypeAlias = Literal[
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
]
ALL_RELATIONSHIPS: Final[frozenset[str]] = frozenset(
    {"blocks", "identities", "managed_group", "pending_approval", "secrets", "sources", "tags", "tools"}
)
_OLD_NAMES: Final = {
    "memory": "blocks",
    "multi_agent_group": "managed_group",
    "tool_exec_environment_variables": "secrets",
    "identity_ids": "identities",
}


def wanted_relationships(
    include: Sequence[str] | None, include_relationships: Sequence[str] | None, is_sdk: bool
) -> frozenset[str]:
    """Which relationships an answer is filled with.

    The present SDKs name what they want and get nothing else; callers before them get all,
    unless they narrow it. `is_sdk`: the caller is a present SDK, at an operation where it can name them.
    """
    if include:
        return frozenset(name.removeprefix("agent.") for name in include)
    if include_relationships is not None:
        return frozenset(_OLD_NAMES.get(name, name) for name in include_relationships)
    return frozenset() if is_sdk else ALL_RELATIONSHIPS


class AgentEnvironmentVariable(TypedDict):
    """A secret of the agent's tools."""

    id: str | None
    agent_id: str
    key: str
    value: str
    value_enc: str | None
    description: str | None
    created_at: datetime | None
    updated_at: datetime | None
    created_by_id: str | None
    last_updated_by_id: str | None


class SecretName(TypedDict):
    """That there is a secret of this name."""

    key: str


class MemoryState(TypedDict):
    """The old view of an agent's blocks."""

    agent_type: AgentType
    git_enabled: bool
    blocks: list[BlockState]
    file_blocks: list[FileBlock]
    prompt_template: str


class CompactionSettingsState(TypedDict):
    """How old messages make room."""

    model: str | None
    model_settings: JsonObject | None
    prompt: str | None
    prompt_acknowledgement: bool
    clip_chars: int | None
    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"]
    sliding_window_percentage: float


class AgentState(TypedDict):
    """An agent."""

    id: str
    name: str
    agent_type: AgentType
    system: str
    model: str
    embedding: str | None
    model_settings: JsonObject
    compaction_settings: CompactionSettingsState | None
    llm_config: LlmConfig
    embedding_config: EmbeddingConfig | None
    response_format: ResponseFormat | None
    description: str | None
    metadata: Metadata
    memory: MemoryState
    blocks: list[BlockState]
    tools: list[ToolState]
    sources: list[Source]
    tags: list[str]
    tool_rules: list[JsonObject]
    tool_exec_environment_variables: list[AgentEnvironmentVariable]
    secrets: list[AgentEnvironmentVariable]
    identities: list[IdentityState]
    identity_ids: list[str]
    message_ids: list[str] | None
    pending_approval: ApprovalRequestMessage | None
    managed_group: GroupState | None
    multi_agent_group: GroupState | None
    message_buffer_autoclear: bool
    enable_sleeptime: bool | None
    timezone: str
    max_files_open: int | None
    per_file_view_window_char_limit: int | None
    hidden: bool | None
    project_id: str | None
    template_id: str | None
    base_template_id: str | None
    deployment_id: str | None
    entity_id: str | None
    last_run_completion: datetime | None
    last_run_duration_ms: int | None
    last_stop_reason: StopReason | None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What an agent's answer needs beyond its record."""

    models: Mapping[str, ModelInfo] = field(default_factory=dict)
    """By handle."""
    embedders: Mapping[str, EmbedderInfo] = field(default_factory=dict)
    open_secret: Callable[[str, str], str] | None = None
    """From a sealed value and its agent's id to the value; None: the caller sees names only."""
    _tools: dict[str, ToolState] = field(default_factory=dict, init=False)

    def tool(self, tool: Tool) -> ToolState:
        """`tool` as clients read it, made once: the agents of a list mostly have the same ones."""
        return self._tools.get(tool.id) or self._tools.setdefault(tool.id, tool_state(tool))


def agent_state(details: AgentDetails, facts: AgentFacts, wanted: frozenset[str] = ALL_RELATIONSHIPS) -> AgentState:
    """The agent as clients read it, with the relationships they `wanted`."""
    agent = details.agent
    model = facts.models.get(agent.model) or guessed_model(agent.model)
    blocks = [block_state(block) for block in details.blocks] if "blocks" in wanted else []
    secrets = _secrets(agent, facts) if "secrets" in wanted else []
    owners = details.identities if "identities" in wanted else ()
    attached = details.folders if "sources" in wanted else ()
    group = details.managed_group if "managed_group" in wanted else None
    managed = None if group is None else group_state(group)
    pending = details.pending_approval if "pending_approval" in wanted else None
    return {
        "id": agent.id,
        "name": agent.name,
        "agent_type": agent.agent_type,
        "system": agent.system,
        "model": agent.model,
        "embedding": agent.embedding,
        "model_settings": model_settings_state(agent.model_settings, model),
        "compaction_settings": _compaction_state(agent.compaction_settings, facts),
        "llm_config": llm_config(model, agent.model_settings, agent.context_window_limit),
        "embedding_config": _embedding(agent, facts),
        "response_format": response_format(agent.response_format),
        "description": agent.description,
        "metadata": agent.metadata,
        "memory": _memory(agent, blocks, attached),
        "blocks": blocks,
        "tools": [facts.tool(tool) for tool in details.tools] if "tools" in wanted else [],
        "sources": [source_state(item.folder, facts.embedders) for item in attached],
        "tags": list(agent.tags) if "tags" in wanted else [],
        "tool_rules": [rule_state(rule) for rule in agent.tool_rules],
        "tool_exec_environment_variables": secrets,
        "secrets": secrets,
        "identities": [owner_state(identity) for identity in owners],
        "identity_ids": [identity.id for identity in owners],
        "message_ids": None if agent.message_ids is None else list(agent.message_ids),
        "pending_approval": None if pending is None else _approval(pending),
        "managed_group": managed,
        "multi_agent_group": managed,
        "message_buffer_autoclear": agent.message_buffer_autoclear,
        "enable_sleeptime": agent.enable_sleeptime,
        "timezone": agent.timezone,
        "max_files_open": agent.max_files_open,
        "per_file_view_window_char_limit": agent.per_file_view_window_char_limit,
        "hidden": agent.hidden,
        "project_id": agent.project_id,
        "template_id": agent.template_id,
        "base_template_id": agent.base_template_id,
        "deployment_id": agent.deployment_id,
        "entity_id": agent.entity_id,
        "last_run_completion": agent.last_run_completion,
        "last_run_duration_ms": agent.last_run_duration_ms,
        "last_stop_reason": agent.last_stop_reason,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
        "created_by_id": agent.created_by_id,
        "last_updated_by_id": agent.last_updated_by_id,
    }


def memory_state(details: AgentDetails) -> MemoryState:
    """The old view of the agent's blocks."""
    return _memory(details.agent, [block_state(block) for block in details.blocks], details.folders)


def _memory(agent: Agent, blocks: list[BlockState], attached: Sequence[AttachedFolder]) -> MemoryState:
    return {
        "agent_type": agent.agent_type,
        "git_enabled": False,
        "blocks": blocks,
        "file_blocks": [file_block(view, agent) for item in attached for view in item.files],
        "prompt_template": "",
    }


def _secrets(agent: Agent, facts: AgentFacts) -> list[AgentEnvironmentVariable]:
    """Values are for callers who may also set them: programs read all, change one and write all back."""
    return [
        {
            "id": None,
            "agent_id": agent.id,
            "key": key,
            "value": "" if facts.open_secret is None else facts.open_secret(sealed, agent.id),
            "value_enc": None,
            "description": None,
            "created_at": None,
            "updated_at": None,
            "created_by_id": None,
            "last_updated_by_id": None,
        }
        for key, sealed in agent.sealed_secrets.items()
    ]


def _embedding(agent: Agent, facts: AgentFacts) -> EmbeddingConfig | None:
    if agent.embedding is None:
        return None
    return embedding_config(facts.embedders.get(agent.embedding) or guessed_embedder(agent.embedding))


def _compaction_state(settings: CompactionSettings | None, facts: AgentFacts) -> CompactionSettingsState | None:
    if settings is None:
        return None
    own = settings.model_settings
    model = None if settings.model is None else facts.models.get(settings.model) or guessed_model(settings.model)
    return {
        "model": settings.model,
        "model_settings": own if own is None or model is None else model_settings_state(own, model),
        "prompt": settings.prompt,
        "prompt_acknowledgement": settings.prompt_acknowledgement,
        "clip_chars": settings.clip_chars,
        "mode": settings.mode,
        "sliding_window_percentage": settings.sliding_window_percentage,
    }


def _approval(message: Any) -> ApprovalRequestMessage | None:
    for wire in wire_messages(message, LIST_VIEW):
        if wire["message_type"] == "approval_request_message":
            return wire
    return None


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone such as 'Europe/Berlin'") from error
    return name


Timezone: TypeAlias = Annotated[str, AfterValidator(_known_timezone)]


class CompactionSettingsBody(Body):
    """How old messages make room."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] | None = None
    sliding_window_percentage: float | None = Field(default=None, ge=0, le=1)
    model: str | None = None
    model_settings: ModelSettingsBody | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool | None = None
    clip_chars: int | None = Field(default=None, ge=0, le=MOST)

    def to_domain(self) -> CompactionSettings:
        """The settings with the defaults filled in; `clip_chars: null` means no limit."""
        default = CompactionSettings()
        sent = self.model_fields_set
        share = self.sliding_window_percentage
        return CompactionSettings(
            mode=self.mode or default.mode,
            sliding_window_percentage=default.sliding_window_percentage if share is None else share,
            model=self.model,
            model_settings=None if self.model_settings is None else self.model_settings.to_domain(),
            prompt=self.prompt,
            prompt_acknowledgement=bool(self.prompt_acknowledgement),
            clip_chars=self.clip_chars if "clip_chars" in sent else default.clip_chars,
        )


class _AgentFields(Body):
    """What create and update share."""

    system: str | None = None
    model: str | None = None
    embedding: str | None = None
    model_settings: ModelSettingsBody | None = None
    context_window_limit: int | None = Field(default=None, ge=1, le=MOST)
    compaction_settings: CompactionSettingsBody | None = None
    response_format: ResponseFormatBody | None = None
    block_ids: list[str] | None = None
    tool_ids: list[str] | None = None
    folder_ids: list[str] | None = None
    source_ids: list[str] | None = None
    identity_ids: list[str] | None = None
    tool_rules: list[RuleBody] | None = None
    tags: list[str] | None = None
    secrets: dict[str, str] | None = None
    tool_exec_environment_variables: dict[str, str] | None = None
    description: str | None = None
    metadata: Metadata | None = None
    timezone: Timezone | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    max_files_open: int | None = Field(default=None, ge=0, le=MOST)
    per_file_view_window_char_limit: int | None = Field(default=None, ge=0, le=MOST)
    hidden: bool | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    llm_config: LlmConfigBody | None = None
    embedding_config: EmbeddingConfigBody | None = None
    max_tokens: Whole | None = None
    max_reasoning_tokens: Whole | None = None
    enable_reasoner: bool | None = None
    reasoning: bool | None = None
    parallel_tool_calls: bool | None = None

    def _handle(self) -> str | None:
        return self.model or (None if self.llm_config is None else self.llm_config.model_handle())

    def _embedding_handle(self) -> str | None:
        return self.embedding or (None if self.embedding_config is None else self.embedding_config.model_handle())

    def _settings(self) -> JsonObject | None:
        """The settings from all places they can stand in, the present form winning; None where nothing is said."""
        old: JsonObject = {} if self.llm_config is None else self.llm_config.settings()
        enabled = self.reasoning if self.reasoning is not None else self.enable_reasoner
        named = {
            "max_output_tokens": self.max_tokens,
            "parallel_tool_calls": self.parallel_tool_calls,
            "thinking": thinking_of(enabled, self.max_reasoning_tokens),
        }
        present = {} if self.model_settings is None else self.model_settings.to_domain()
        merged = old | {name: value for name, value in named.items() if value is not None} | present
        return merged if merged or self.model_settings is not None else None

    def _format(self) -> JsonObject | None:
        return None if self.response_format is None else self.response_format.model_dump(exclude_none=True)

    def _window(self) -> int | None:
        return self.context_window_limit or (None if self.llm_config is None else self.llm_config.context_window)

    def _secrets(self) -> dict[str, str]:
        return (self.tool_exec_environment_variables or {}) | (self.secrets or {})

    def _folders(self) -> tuple[FolderId, ...]:
        return tuple(FolderId(item) for item in dict.fromkeys((self.folder_ids or []) + (self.source_ids or [])))


_DRAFTED: Final[Mapping[str, str]] = {
    "llm_config": "model",
    "embedding_config": "embedding",
    "memory_blocks": "blocks",
    "tools": "tool_names",
    "source_ids": "folder_ids",
    "tool_exec_environment_variables": "secrets",
    "initial_message_sequence": "initial_messages",
    **dict.fromkeys(
        ("max_tokens", "max_reasoning_tokens", "enable_reasoner", "reasoning", "parallel_tool_calls"), "model_settings"
    ),
}
"""Fields that have another name in a draft."""


class AgentCreate(_AgentFields):
    """An agent to be made."""

    name: str | None = Field(default=None, min_length=1)
    agent_type: AgentType | None = None
    memory_blocks: list[BlockCreate] | None = None
    tools: list[str] | None = None
    include_base_tools: bool | None = None
    include_multi_agent_tools: bool | None = None
    include_base_tool_rules: bool | None = None
    include_default_source: bool | None = None
    initial_message_sequence: list[MessageCreate] | None = None
    embedding_chunk_size: int | None = Field(default=None, ge=20, le=8000)
    from_template: str | None = None
    template: bool | None = None
    project: str | None = None
    memory_variables: dict[str, str] | None = None

    def to_domain(self, project_id: str | None = None) -> AgentDraft:
        """The draft, which is stored whole or not at all; `project_id` where the body names no other."""
        start = self.initial_message_sequence
        compaction = self.compaction_settings
        return AgentDraft(
            name=self.name,
            agent_type=self.agent_type or AgentType.LETTA_V1,
            system=self.system,
            model=self._handle(),
            embedding=self._embedding_handle(),
            model_settings=self._settings() or {},
            context_window_limit=self._window(),
            compaction_settings=None if compaction is None else compaction.to_domain(),
            response_format=self._format(),
            blocks=tuple(block.to_domain() for block in self.memory_blocks or ()),
            block_ids=tuple(BlockId(item) for item in self.block_ids or ()),
            tool_names=tuple(self.tools or ()),
            tool_ids=tuple(ToolId(item) for item in self.tool_ids or ()),
            tool_rules=rules_to_domain(self.tool_rules or ()),
            include_base_tools=self.include_base_tools is not False,
            include_multi_agent_tools=bool(self.include_multi_agent_tools),
            include_base_tool_rules=self.include_base_tool_rules,
            tags=tuple(dict.fromkeys(self.tags or ())),
            identity_ids=tuple(IdentityId(item) for item in self.identity_ids or ()),
            folder_ids=self._folders(),
            include_default_source=bool(self.include_default_source),
            embedding_chunk_size=self.embedding_chunk_size,
            secrets=self._secrets(),
            initial_messages=None if start is None else tuple(item.to_domain() for item in start),
            description=self.description,
            metadata=self.metadata or {},
            timezone=self.timezone or "UTC",
            message_buffer_autoclear=bool(self.message_buffer_autoclear),
            enable_sleeptime=self.enable_sleeptime,
            max_files_open=self.max_files_open,
            per_file_view_window_char_limit=self.per_file_view_window_char_limit,
            hidden=self.hidden,
            project_id=self.project_id or project_id,
            template_id=self.template_id,
            base_template_id=self.base_template_id,
        )

    def to_deployment(self, draft: AgentDraft) -> DeploymentDraft:
        """How an agent made of a template is to differ from it: by all of this body's `draft` that was sent."""
        sent = {name for name in self.model_fields_set if getattr(self, name) is not None}
        names = {_DRAFTED.get(name, name) for name in sent} & set(AgentDraft.__slots__)
        return DeploymentDraft(
            agent_name=self.name,
            memory_variables=self.memory_variables,
            adapt=partial(overlaid, given=draft, names=frozenset(names - {"name"})),
            project_id=draft.project_id,
        )


_NULLABLE: Final = frozenset(
    {"embedding", "context_window_limit", "compaction_settings", "response_format", "description", "enable_sleeptime",
     "max_files_open", "per_file_view_window_char_limit", "hidden", "project_id", "template_id", "base_template_id",
     "last_run_completion", "last_run_duration_ms", "last_stop_reason"}
)  # fmt: skip


class AgentUpdate(_AgentFields):
    """A partial update of an agent; lists replace what is attached."""

    name: str | None = Field(default=None, min_length=1)
    message_ids: list[str] | None = None
    last_run_completion: Moment | None = None
    last_run_duration_ms: Whole | None = None
    last_stop_reason: StopReason | None = None

    def to_domain(self) -> AgentChanges:
        """The changes that operations apply."""
        given = self.given()
        sent = self.model_fields_set
        for name, value in (
            ("model", self._handle()),
            ("embedding", self._embedding_handle()),
            ("model_settings", self._settings()),
            ("context_window_limit", self._window()),
        ):
            if value is not None:
                given[name] = value
        if self.compaction_settings is not None:
            given["compaction_settings"] = self.compaction_settings.to_domain()
        if "response_format" in sent:
            given["response_format"] = self._format()
        if self.tool_rules is not None:
            given["tool_rules"] = rules_to_domain(self.tool_rules)
        if self.secrets is not None or self.tool_exec_environment_variables is not None:
            given["secrets"] = self._secrets()
        if self.folder_ids is not None or self.source_ids is not None:
            given["folder_ids"] = self._folders()
        return changes_of(AgentChanges, given, _NULLABLE)
