"""Agents as clients want them. Source: `AgentCreateParams`, `AgentUpdateParams`, client SDK, read 2026-11."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from reverie.api.wire.base import MOST, Body, Metadata, Moment, Whole, changes_of
from reverie.api.wire.blocks import BlockCreate
from reverie.api.wire.compaction import CompactionSettingsBody
from reverie.api.wire.inputs import MessageCreate
from reverie.api.wire.models import (
    EmbeddingConfigBody,
    LlmConfigBody,
    ModelSettingsBody,
    ResponseFormatBody,
)
from reverie.api.wire.tools import RuleBody, rules_to_domain
from reverie.domain.agent import AgentChanges, AgentDraft, AgentType, overlaid
from reverie.domain.ids import BlockId, FolderId, IdentityId, ToolId
from reverie.domain.json import JsonObject
from reverie.domain.old_configs import thinking_of
from reverie.domain.stop_reason import StopReason
from reverie.operations.deployments import DeploymentDraft


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone such as 'Europe/Berlin'") from error
    return name


Timezone: TypeAlias = Annotated[str, AfterValidator(_known_timezone)]


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
        """The settings from all places they can stand in, the present form winning; None where nothing is said.

        As changes of what is stored: a null takes a setting away.
        """
        old: JsonObject = {} if self.llm_config is None else self.llm_config.settings()
        enabled = self.reasoning if self.reasoning is not None else self.enable_reasoner
        named = {
            "max_output_tokens": self.max_tokens,
            "parallel_tool_calls": self.parallel_tool_calls,
            "thinking": thinking_of(enabled, self.max_reasoning_tokens),
        }
        present = {} if self.model_settings is None else self.model_settings.to_changes()
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
            model_settings={name: value for name, value in (self._settings() or {}).items() if value is not None},
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
            given["compaction_settings"] = self.compaction_settings.to_changes()
        if "response_format" in sent:
            given["response_format"] = self._format()
        if self.tool_rules is not None:
            given["tool_rules"] = rules_to_domain(self.tool_rules)
        if self.secrets is not None or self.tool_exec_environment_variables is not None:
            given["secrets"] = self._secrets()
        if self.folder_ids is not None or self.source_ids is not None:
            given["folder_ids"] = self._folders()
        return changes_of(AgentChanges, given)
