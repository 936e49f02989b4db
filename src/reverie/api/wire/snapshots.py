"""Versions of templates as they stand. Source: API description, read 2026-11."""

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body
from reverie.api.wire.tools import RuleBody, rule_state, rules_to_domain
from reverie.domain.agent import AgentType
from reverie.domain.agent_file import AgentFile, FileAgent, FileBlock
from reverie.domain.block import DEFAULT_LIMIT
from reverie.domain.json import JsonObject
from reverie.domain.old_configs import settings_of_config
from reverie.domain.template import SnapshotAgent, SnapshotDraft, variables_of
from reverie.operations.templates import Snapshot


class VariableState(TypedDict):
    """A variable of a template."""

    key: str
    defaultValue: str | None
    type: str


class VariablesState(TypedDict):
    """The variables of a template."""

    version: str
    data: list[VariableState]


class SnapshotAgentState(TypedDict):
    """An agent of a version."""

    entityId: str
    name: str
    agentType: str
    model: str
    systemPrompt: str
    toolIds: list[str] | None
    sourceIds: list[str] | None
    identityIds: list[str] | None
    toolRules: list[JsonObject] | None
    tags: list[str] | None
    memoryVariables: VariablesState | None
    toolVariables: VariablesState | None
    properties: JsonObject | None


class SnapshotBlockState(TypedDict):
    """A block of a version."""

    entityId: str
    label: str
    value: str
    limit: int
    description: str
    preserveOnMigration: bool | None
    readOnly: bool


class RelationshipState(TypedDict):
    """Which agent has which block."""

    agentEntityId: str
    blockEntityId: str


class SnapshotState(TypedDict):
    """A version as it stands."""

    agents: list[SnapshotAgentState]
    blocks: list[SnapshotBlockState]
    relationships: list[RelationshipState]
    configuration: JsonObject
    type: str
    version: str


def snapshot_state(snapshot: Snapshot) -> SnapshotState:
    """A version as clients read it. Values of secrets are not shown."""
    file = snapshot.version.file
    return {
        "agents": [_agent_state(agent, snapshot) for agent in file.agents],
        "blocks": [_block_state(block) for block in file.blocks],
        "relationships": [
            {"agentEntityId": agent.id, "blockEntityId": block_id}
            for agent in file.agents
            for block_id in agent.block_ids
        ],
        "configuration": _configuration(file),
        "type": _kind(file),
        "version": snapshot.version.word,
    }  # fmt: skip


def _kind(file: AgentFile) -> str:
    if file.groups:
        return str(file.groups[0].manager_config.get("manager_type", "round_robin"))
    if len(file.agents) > 1:
        return "cluster"
    return "sleeptime" if file.agents[0].enable_sleeptime else "classic"


def _configuration(file: AgentFile) -> JsonObject:
    if not file.groups:
        return {}
    config = file.groups[0].manager_config
    words = {
        "managerAgentEntityId": config.get("manager_agent_id"),
        "managerType": config.get("manager_type"),
        "terminationToken": config.get("termination_token"),
        "maxTurns": config.get("max_turns"),
        "sleeptimeAgentFrequency": config.get("sleeptime_agent_frequency"),
        "maxMessageBufferLength": config.get("max_message_buffer_length"),
        "minMessageBufferLength": config.get("min_message_buffer_length"),
    }
    return {name: value for name, value in words.items() if value is not None}


def _agent_state(agent: FileAgent, snapshot: Snapshot) -> SnapshotAgentState:
    settings = agent.settings
    thinking = settings.get("thinking") or {}
    return {
        "entityId": agent.id,
        "name": agent.name or agent.id,
        "agentType": agent.agent_type.value,
        "model": agent.model_handle or "",
        "systemPrompt": agent.system or "",
        "toolIds": [snapshot.tool_ids[item] for item in agent.tool_ids if item in snapshot.tool_ids],
        "sourceIds": [*agent.source_ids, *agent.folder_ids],
        "identityIds": list(agent.identity_ids),
        "toolRules": [dict(rule_state(rule)) for rule in agent.tool_rules],
        "tags": list(agent.tags),
        "memoryVariables": _variables(variables_of(snapshot.version.file, agent.block_ids)),
        "toolVariables": _variables(agent.secret_names),
        "properties": {
            "enable_reasoner": None if not thinking else thinking.get("type") != "disabled",
            "put_inner_thoughts_in_kwargs": None,
            "context_window_limit": agent.window_limit,
            "max_tokens": settings.get("max_output_tokens"),
            "max_reasoning_tokens": thinking.get("budget_tokens"),
            "max_files_open": agent.max_files_open,
            "message_buffer_autoclear": agent.message_buffer_autoclear,
            "verbosity_level": settings.get("verbosity"),
            "reasoning_effort": (settings.get("reasoning") or {}).get("reasoning_effort"),
            "per_file_view_window_char_limit": agent.per_file_view_window_char_limit,
            "parallel_tool_calls": settings.get("parallel_tool_calls"),
            "temperature": settings.get("temperature"),
        },
    }


def _variables(names: tuple[str, ...]) -> VariablesState:
    return {"version": "1", "data": [{"key": name, "defaultValue": None, "type": "string"} for name in names]}


def _block_state(block: FileBlock) -> SnapshotBlockState:
    return {
        "entityId": block.id,
        "label": block.label,
        "value": block.value,
        "limit": block.limit,
        "description": block.description or "",
        "preserveOnMigration": block.preserve_on_migration,
        "readOnly": block.read_only,
    }


class VariableBody(Body):
    """A variable of a template."""

    key: str
    default_value: str | None = Field(default=None, alias="defaultValue")
    type: str | None = None


class VariablesBody(Body):
    """The variables of a template."""

    version: str | None = None
    data: list[VariableBody] = Field(default_factory=list)


class PropertiesBody(Body):
    """What else an agent is set to."""

    enable_reasoner: bool | None = None
    put_inner_thoughts_in_kwargs: bool | None = None
    context_window_limit: int | None = Field(default=None, ge=1, le=MOST)
    max_tokens: int | None = Field(default=None, ge=1, le=MOST)
    max_reasoning_tokens: int | None = Field(default=None, ge=0, le=MOST)
    max_files_open: int | None = Field(default=None, ge=0, le=MOST)
    message_buffer_autoclear: bool | None = None
    verbosity_level: Literal["low", "medium", "high"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    per_file_view_window_char_limit: int | None = Field(default=None, ge=0, le=MOST)
    parallel_tool_calls: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=MOST)

    def settings(self) -> JsonObject:
        """The generation settings among them."""
        return settings_of_config(self.model_dump() | {"verbosity": self.verbosity_level})


class SnapshotAgentBody(Body):
    """An agent of a working version."""

    entity_id: str = Field(alias="entityId", min_length=1)
    name: str | None = None
    agent_type: AgentType = Field(alias="agentType")
    model: str
    system_prompt: str = Field(alias="systemPrompt")
    tool_ids: list[str] | None = Field(default=None, alias="toolIds")
    source_ids: list[str] | None = Field(default=None, alias="sourceIds")
    identity_ids: list[str] | None = Field(default=None, alias="identityIds")
    tool_rules: list[RuleBody] | None = Field(default=None, alias="toolRules")
    tags: list[str] | None = None
    memory_variables: VariablesBody | None = Field(default=None, alias="memoryVariables")
    tool_variables: VariablesBody | None = Field(default=None, alias="toolVariables")
    properties: PropertiesBody | None = None

    def to_domain(self) -> SnapshotAgent:
        """The agent as the version shall hold it."""
        rest = self.properties or PropertiesBody()
        variables = [] if self.tool_variables is None else self.tool_variables.data
        return SnapshotAgent(
            entity_id=self.entity_id,
            name=self.name,
            agent_type=self.agent_type,
            model=self.model,
            system=self.system_prompt,
            tool_ids=tuple(dict.fromkeys(self.tool_ids or ())),
            folder_ids=tuple(dict.fromkeys(self.source_ids or ())),
            identity_ids=tuple(dict.fromkeys(self.identity_ids or ())),
            tool_rules=rules_to_domain(self.tool_rules or ()),
            tags=tuple(dict.fromkeys(self.tags or ())),
            secrets={item.key: item.default_value for item in variables},
            settings=rest.settings(),
            context_window_limit=rest.context_window_limit,
            max_files_open=rest.max_files_open,
            per_file_view_window_char_limit=rest.per_file_view_window_char_limit,
            message_buffer_autoclear=bool(rest.message_buffer_autoclear),
        )


class SnapshotBlockBody(Body):
    """A block of a working version."""

    entity_id: str = Field(alias="entityId", min_length=1)
    label: str = Field(min_length=1)
    value: str
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MOST)
    description: str | None = None
    preserve_on_migration: bool | None = Field(default=None, alias="preserveOnMigration")
    read_only: bool = Field(default=False, alias="readOnly")

    def to_domain(self) -> FileBlock:
        """The block as the version shall hold it."""
        return FileBlock(
            id=self.entity_id,
            label=self.label,
            value=self.value,
            limit=self.limit,
            description=self.description or None,
            preserve_on_migration=self.preserve_on_migration,
            read_only=self.read_only,
        )


class RelationshipBody(Body):
    """Which agent has which block."""

    agent_entity_id: str = Field(alias="agentEntityId")
    block_entity_id: str = Field(alias="blockEntityId")


class SnapshotBody(Body):
    """A working version."""

    agents: list[SnapshotAgentBody] = Field(min_length=1)
    blocks: list[SnapshotBlockBody] = Field(default_factory=list)
    relationships: list[RelationshipBody] = Field(default_factory=list)

    def to_domain(self) -> SnapshotDraft:
        """The draft that operations make the working version of."""
        return SnapshotDraft(
            agents=tuple(agent.to_domain() for agent in self.agents),
            blocks=tuple(block.to_domain() for block in self.blocks),
            attached=tuple((item.agent_entity_id, item.block_entity_id) for item in self.relationships),
        )
