"""What is made of templates. Source: `templates.AgentCreateParams`, client SDK; API description; read 2026-11."""

from dataclasses import replace
from typing import Annotated, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.agent_drafts import AgentCreate
from reverie.api.wire.base import Body
from reverie.api.wire.blocks import BlockCreate
from reverie.api.wire.groups import GroupCreate
from reverie.api.wire.inputs import MessageCreate
from reverie.domain.agent import AgentDraft
from reverie.domain.group import GroupDraft
from reverie.domain.ids import IdentityId
from reverie.domain.template import DeploymentEntity
from reverie.operations.deployments import DeploymentDraft, MigrationWish

Words: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9-_ ]*$", max_length=200)]


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
