"""Blocks on the wire. Source: `BlockResponse`, `BlockCreateParams` and kin, client SDK, read 2026-11."""

from pydantic import AliasChoices, Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body, Metadata, changes_of
from reverie.domain.block import DEFAULT_LIMIT, Block, BlockChanges, BlockDraft


class BlockState(TypedDict):
    """A memory block."""

    id: str
    label: str
    value: str
    limit: int
    description: str | None
    read_only: bool
    hidden: bool | None
    metadata: Metadata
    tags: list[str] | None
    is_template: bool
    template_name: str | None
    project_id: str | None
    template_id: str | None
    base_template_id: str | None
    deployment_id: str | None
    entity_id: str | None
    preserve_on_migration: bool | None
    created_by_id: str | None
    last_updated_by_id: str | None


def block_state(block: Block) -> BlockState:
    """`block` as clients read it."""
    return {
        "id": block.id,
        "label": block.label,
        "value": block.value,
        "limit": block.limit,
        "description": block.description,
        "read_only": block.read_only,
        "hidden": block.hidden,
        "metadata": block.metadata,
        "tags": list(block.tags),
        "is_template": block.is_template,
        "template_name": block.template_name,
        "project_id": block.project_id,
        "template_id": block.template_id,
        "base_template_id": block.base_template_id,
        "deployment_id": block.deployment_id,
        "entity_id": block.entity_id,
        "preserve_on_migration": block.preserve_on_migration,
        "created_by_id": block.created_by_id,
        "last_updated_by_id": block.last_updated_by_id,
    }


class _BlockFields(Body):
    """What create and update share."""

    limit: int | None = Field(default=None, ge=1, le=MOST)
    description: str | None = None
    read_only: bool | None = None
    hidden: bool | None = None
    metadata: Metadata | None = None
    tags: list[str] | None = None
    is_template: bool | None = None
    template_name: str | None = Field(default=None, validation_alias=AliasChoices("template_name", "name"))
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = None


class BlockCreate(_BlockFields):
    """A block to be made, alone or with an agent."""

    label: str = Field(min_length=1)
    value: str = ""

    def to_domain(self, project_id: str | None = None) -> BlockDraft:
        """The draft that storage makes a block of; `project_id` where the body names no other."""
        return BlockDraft(
            label=self.label,
            value=self.value,
            limit=self.limit or DEFAULT_LIMIT,
            description=self.description,
            read_only=bool(self.read_only),
            hidden=self.hidden,
            metadata=self.metadata or {},
            tags=tuple(self.tags or ()),
            is_template=bool(self.is_template),
            template_name=self.template_name,
            project_id=self.project_id or project_id,
            template_id=self.template_id,
            base_template_id=self.base_template_id,
            deployment_id=self.deployment_id,
            entity_id=self.entity_id,
            preserve_on_migration=self.preserve_on_migration,
        )


class BlockUpdate(_BlockFields):
    """A partial update of a block; what is not sent stays."""

    label: str | None = Field(default=None, min_length=1)
    value: str | None = None

    def to_domain(self) -> BlockChanges:
        """The changes that storage applies."""
        return changes_of(BlockChanges, self.given())
