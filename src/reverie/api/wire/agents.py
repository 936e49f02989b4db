"""Agents as clients read them. Source: `AgentState`, client SDK, read 2026-11."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from reverie.api.encode.json import dumps, written
from reverie.api.encode.message_types import ApprovalRequestMessage
from reverie.api.encode.messages import wire_messages
from reverie.api.encode.views import LIST_VIEW
from reverie.api.wire.base import Metadata
from reverie.api.wire.blocks import BlockState, block_state
from reverie.api.wire.compaction import CompactionSettingsState, compaction_state
from reverie.api.wire.folders import FileBlock, Source, file_block, source_state
from reverie.api.wire.groups import GroupState, group_state
from reverie.api.wire.identities import IdentityState, owner_state
from reverie.api.wire.models import (
    EmbeddingConfig,
    LlmConfig,
    ResponseFormat,
    embedding_config,
    guessed_embedder,
    guessed_model,
    llm_config,
    response_format,
    settings_in_effect,
)
from reverie.api.wire.relationships import ALL_RELATIONSHIPS
from reverie.api.wire.tools import ToolState, rule_state, tool_state
from reverie.domain.agent import Agent, AgentDetails, AgentType
from reverie.domain.folder import AttachedFolder
from reverie.domain.json import JsonObject
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.domain.stop_reason import StopReason
from reverie.domain.tool import Tool


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
    _configs: dict[tuple[str, int | None, bytes], LlmConfig] = field(default_factory=dict, init=False)

    # The agents of a list mostly have the same tools and one model, so each is made, and written, once.

    def tool(self, tool: Tool) -> ToolState:
        """`tool` as clients read it."""
        return self._tools.get(tool.id) or self._tools.setdefault(tool.id, written(tool_state(tool)))

    def config(self, agent: Agent, model: ModelInfo) -> LlmConfig:
        """The old view of the agent's `model`."""
        key = (agent.model, agent.context_window_limit, dumps(agent.model_settings))
        return self._configs.get(key) or self._configs.setdefault(
            key, written(llm_config(model, agent.model_settings, agent.context_window_limit))
        )


def agent_state(details: AgentDetails, facts: AgentFacts, wanted: frozenset[str] = ALL_RELATIONSHIPS) -> AgentState:
    """The agent as clients read it, with the relationships they `wanted`."""
    agent = details.agent
    model = facts.models.get(agent.model) or guessed_model(agent.model)
    blocks = [block_state(block) for block in details.blocks] if "blocks" in wanted else []
    secrets = _secrets(agent, facts) if "secrets" in wanted else []
    owners = details.identities if "identities" in wanted else ()
    attached = details.folders if "sources" in wanted else ()
    shown = details.folders if wanted & {"blocks", "sources"} else ()
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
        "model_settings": settings_in_effect(agent.model_settings, model),
        "compaction_settings": compaction_state(agent.compaction_settings, facts.models),
        "llm_config": facts.config(agent, model),
        "embedding_config": _embedding(agent, facts),
        "response_format": response_format(agent.response_format),
        "description": agent.description,
        "metadata": agent.metadata,
        "memory": _memory(agent, blocks, shown),
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


def _approval(message: Any) -> ApprovalRequestMessage | None:
    for wire in wire_messages(message, LIST_VIEW):
        if wire["message_type"] == "approval_request_message":
            return wire
    return None
