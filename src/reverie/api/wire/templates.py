"""Templates and their versions. Source: `TemplateCreateParams`, client SDK, and API description, read 2026-11."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.domain.template import MigrationRules, TemplateVersion
from reverie.operations.templates import TemplateView

TemplateName: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=200)]


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
