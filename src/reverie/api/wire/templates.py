"""Templates on the wire. Source: `TemplateCreateParams` and kin, client SDK, and API description, read 2026-11."""

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.agents import AgentCreate
from reverie.api.wire.base import MOST, Body
from reverie.api.wire.blocks import BlockCreate
from reverie.api.wire.groups import GroupCreate
from reverie.api.wire.messages import MessageCreate
from reverie.api.wire.tools import RuleBody, rule_state, rules_to_domain
from reverie.domain.agent import AgentDraft, AgentType
from reverie.domain.agent_file import AgentFile, FileAgent, FileBlock
from reverie.domain.block import DEFAULT_LIMIT
from reverie.domain.group import GroupDraft
from reverie.domain.ids import IdentityId
from reverie.domain.json import JsonObject
from reverie.domain.old_configs import settings_of_config
from reverie.domain.template import (
    DeploymentEntity,
    MigrationRules,
    SnapshotAgent,
    SnapshotDraft,
    TemplateVersion,
    variables_of,
)
from reverie.operations.deployments import DeploymentDraft, MigrationWish
from reverie.operations.templates import Snapshot, TemplateView

TemplateName: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=200)]
Words: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9-_ ]*$", max_length=200)]


class TemplateState(TypedDict):
    """A template."""

    id: str
    name: str
    project_id: str
    project_slug: str
    latest_version: str
    description: str | None
    template_deployment_slug: str
    updated_at: str


class TemplateList(TypedDict):
    """Some templates, and whether there are more."""

    templates: list[TemplateState]
    has_next_page: bool


class VersionState(TypedDict):
    """A saved version."""

    version: str
    created_at: str
    message: str | None
    is_latest: bool


class VersionList(TypedDict):
    """Some versions, newest first."""

    versions: list[VersionState]
    has_next_page: bool
    total_count: int


class DeploymentState(TypedDict):
    """What was made of a template."""

    agent_ids: list[str]
    group_id: str | None
    deployment_id: str


class EntityState(TypedDict):
    """An agent or a block of a deployment."""

    id: str
    type: str
    name: str | None
    description: str | None
    entity_id: str | None
    project_id: str | None


class EntityList(TypedDict):
    """What a deployment holds."""

    entities: list[EntityState]
    total_count: int
    deployment_id: str
    message: str


class DeletedDeployment(TypedDict):
    """What went with a deployment."""

    deleted_blocks: list[str]
    deleted_agents: list[str]
    deleted_groups: list[str]
    message: str


def template_state(view: TemplateView) -> TemplateState:
    """The template as clients read it."""
    template = view.template
    return {
        "id": template.id,
        "name": template.name,
        "project_id": template.project_id,
        "project_slug": view.project_slug,
        "latest_version": str(view.shown_version),
        "description": template.description,
        "template_deployment_slug": f"{view.project_slug}/{template.name}:{view.shown_version}",
        "updated_at": template.updated_at.isoformat(),
    }


def version_state(version: TemplateVersion, latest: int) -> VersionState:
    """A saved version as clients read it."""
    return {
        "version": version.word,
        "created_at": version.created_at.isoformat(),
        "message": version.message,
        "is_latest": version.number == latest,
    }


def entity_state(item: DeploymentEntity) -> EntityState:
    """A part of a deployment as clients read it."""
    return {
        "id": item.id,
        "type": item.type,
        "name": item.name,
        "description": item.description,
        "entity_id": item.entity_id,
        "project_id": item.project_id,
    }


class FromAgent(Body):
    """A template of an agent as it stands."""

    type: Literal["agent"]
    agent_id: str
    name: TemplateName | None = None


class FromAgentFile(Body):
    """A template of an agent file."""

    type: Literal["agent_file"]
    agent_file: dict[str, Any]
    name: TemplateName | None = None
    update_existing_tools: bool | None = None


TemplateCreate: TypeAlias = Annotated[FromAgent | FromAgentFile, Field(discriminator="type")]


class TemplateUpdate(Body):
    """Another working version."""

    agent_file_json: dict[str, Any]
    update_existing_tools: bool | None = None
    save_existing_changes: bool | None = None


class TemplateSave(Body):
    """How a version is saved, and what agents keep when they are moved to it."""

    message: str | None = None
    migrate_agents: bool | None = None
    preserve_environment_variables_on_migration: bool | None = None
    preserve_core_memories_on_migration: bool | None = None
    preserve_sources_on_migration: bool | None = None
    block_reconciliation_strategy: Literal["reconcile-all", "preserve-deleted"] | None = None

    def to_domain(self) -> MigrationRules:
        """The rules, with the defaults filled in."""
        default = MigrationRules()
        secrets, folders = self.preserve_environment_variables_on_migration, self.preserve_sources_on_migration
        return MigrationRules(
            preserve_memories=bool(self.preserve_core_memories_on_migration),
            preserve_secrets=default.preserve_secrets if secrets is None else secrets,
            preserve_folders=default.preserve_folders if folders is None else folders,
            blocks=self.block_reconciliation_strategy or default.blocks,
        )


class TemplateRollback(Body):
    """Which version becomes the working one."""

    version: str


class TemplateRename(Body):
    """Another name."""

    new_name: TemplateName


class TemplateDescribe(Body):
    """Another description; null takes it away."""

    description: str | None = None


class TemplateFork(Body):
    """What the fork shall be called."""

    name: TemplateName | None = None


class DeploymentCreate(Body):
    """How the agents made of a template are to differ from it."""

    agent_name: Words | None = None
    tags: list[Words] | None = None
    identity_ids: list[str] | None = None
    initial_message_sequence: list[MessageCreate] | None = None
    memory_variables: dict[str, str] | None = None
    tool_variables: dict[str, str] | None = None

    def to_domain(self) -> DeploymentDraft:
        """The draft that operations make agents by."""
        start = self.initial_message_sequence
        return DeploymentDraft(
            agent_name=self.agent_name or None,
            tags=tuple(self.tags or ()),
            identity_ids=tuple(IdentityId(item) for item in self.identity_ids or ()),
            initial_messages=None if start is None else tuple(item.to_domain() for item in start),
            memory_variables=self.memory_variables,
            secrets=self.tool_variables,
        )


class DeploymentMigrate(Body):
    """Where a deployment is to be brought."""

    version: str
    preserve_tool_variables: bool | None = None
    preserve_core_memories: bool | None = None
    preserve_sources: bool | None = None
    memory_variables: dict[str, str] | None = None

    def to_domain(self) -> MigrationWish:
        """The wish that operations meet."""
        return MigrationWish(
            version=self.version.rpartition(":")[2],
            preserve_secrets=self.preserve_tool_variables,
            preserve_memories=self.preserve_core_memories,
            preserve_folders=self.preserve_sources,
            memory_variables=self.memory_variables,
        )


class PlacedAgentCreate(AgentCreate):
    """An agent of a deployment that the client keeps book of itself."""

    template_id: str
    base_template_id: str
    deployment_id: str
    entity_id: str

    def to_domain(self, project_id: str | None = None) -> AgentDraft:
        """The draft, which is stored whole or not at all."""
        return replace(super().to_domain(project_id), deployment_id=self.deployment_id, entity_id=self.entity_id)


class PlacedBlockCreate(BlockCreate):
    """A block of a deployment that the client keeps book of itself."""

    value: str
    template_id: str
    base_template_id: str
    deployment_id: str
    entity_id: str


class PlacedGroupCreate(GroupCreate):
    """A group of a deployment that the client keeps book of itself."""

    template_id: str
    base_template_id: str
    deployment_id: str

    def to_domain(self, project_id: str | None = None) -> GroupDraft:
        """The draft, which is stored whole or not at all."""
        return replace(
            super().to_domain(project_id),
            template_id=self.template_id,
            base_template_id=self.base_template_id,
            deployment_id=self.deployment_id,
        )


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
