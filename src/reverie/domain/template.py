"""Templates: agents kept as files under a name, in numbered versions, and what was made of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, TypeAlias

from reverie.domain.agent import AgentType
from reverie.domain.agent_file import AgentFile, FileBlock
from reverie.domain.errors import InvalidInput
from reverie.domain.ids import OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.tool_rule import ToolRule

CURRENT: Final = 0
"""Number of the working version, which is changed until it is saved under the next number."""
CURRENT_WORDS: Final = frozenset({"current", "dev"})
LATEST_WORD: Final = "latest"
RESERVED_NAMES: Final = frozenset({"agents", "save", "rollback"})
"""Words that stand in the places of names in the API's paths."""

EntityKind: TypeAlias = Literal["block", "agent", "group"]
BlockStrategy: TypeAlias = Literal["reconcile-all", "preserve-deleted"]
_VARIABLE: Final = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationRules:
    """What agents keep when they are moved to a version. Source: `TemplateSaveParams`, client SDK, read 2026-11."""

    preserve_memories: bool = False
    """Values of blocks; a block that says so itself keeps its value in any case."""
    preserve_secrets: bool = True
    """Else the version's own take their place. Kept unless somebody says otherwise: they cannot be had again."""
    preserve_folders: bool = True
    """Those of the version are added; else they take the place of the agent's."""
    blocks: BlockStrategy = "preserve-deleted"
    """What becomes of blocks that the version does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A name in a project, under which versions are kept."""

    id: str
    """`base_template_id` of what is made of any version."""
    organization_id: OrganizationId
    project_id: str
    name: str
    description: str | None = None
    latest_version: int
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """Agents as they stood when a version was saved; the one numbered `CURRENT` is still worked on."""

    id: str
    """`template_id` of what is made of it."""
    organization_id: OrganizationId
    template_id: str
    number: int
    file: AgentFile
    """Without messages. Ids in it are the `entity_id` of what is made of it."""
    sealed_secrets: dict[str, str] = field(default_factory=dict)
    """What agents start with, sealed for the template."""
    message: str | None = None
    rules: MigrationRules = MigrationRules()
    created_at: datetime

    @property
    def word(self) -> str:
        """The version as paths name it."""
        return "current" if self.number == CURRENT else str(self.number)

    def holds_the_same_as(self, other: "TemplateVersion") -> bool:
        """Whether both make the same agents."""
        return (self.file, self.sealed_secrets) == (other.file, other.sealed_secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What was made of a version in one go. Agents and blocks hold its id."""

    id: str
    organization_id: OrganizationId
    template_id: str
    version_id: str
    project_id: str
    memory_variables: dict[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEntity:
    """A block, an agent or a group of a deployment."""

    id: str
    type: EntityKind
    name: str | None
    description: str | None
    entity_id: str | None
    project_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRef:
    """How clients name a version: `name`, `name:3`, `name:latest`, `name:current`, `project/name:3`."""

    name: str
    version: str | None = None
    """None: the newest saved one."""
    project: str | None = None
    """Id, slug or name of its project."""

    @classmethod
    def parse(cls, text: str, project: str | None = None) -> "TemplateRef":
        """Read what a client wrote; a project in the text wins over `project`."""
        place, _, rest = text.rpartition("/")
        name, _, version = rest.partition(":")
        return cls(name=name, version=version or None, project=place or project)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotAgent:
    """An agent of a working version as a client wants it. Source: `…/snapshot`, API description, read 2026-11."""

    entity_id: str
    name: str | None
    agent_type: AgentType
    model: str
    system: str
    tool_ids: tuple[str, ...]
    """Of tools that are here, as are `folder_ids` and `identity_ids`."""
    folder_ids: tuple[str, ...]
    identity_ids: tuple[str, ...]
    tool_rules: tuple[ToolRule, ...]
    tags: tuple[str, ...]
    secrets: dict[str, str | None]
    """Name to what agents start with; None: what it was, if it was anything."""
    settings: JsonObject
    """Generation settings."""
    context_window_limit: int | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    message_buffer_autoclear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDraft:
    """A working version as a client wants it."""

    agents: tuple[SnapshotAgent, ...]
    blocks: tuple[FileBlock, ...]
    """Without a past; their ids are their `entity_id`."""
    attached: tuple[tuple[str, str], ...]
    """Which agent has which block, by their entity ids, in the order of attachment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFilter:
    """Which templates a list holds; every given condition must hold."""

    name: str | None = None
    search: str | None = None
    """Part of the name, without regard to case."""
    project_id: str | None = None
    template_id: str | None = None
    """Of a template, or of one of its versions."""
    version: int | None = None
    """Only templates that have this version."""
    sort_by: Literal["created_at", "updated_at"] = "created_at"


def version_number(word: str | None, latest: int) -> int | None:
    """The number that a version's word stands for; None where it stands for none."""
    if word is None or word == LATEST_WORD:
        return latest
    if word in CURRENT_WORDS:
        return CURRENT
    return int(word) if word.isdecimal() and len(word) < 10 and int(word) > 0 else None


def check_template_name(name: str) -> None:
    """Refuse what cannot stand in a path.

    Raises:
        InvalidInput: it says which words are taken.
    """
    if name in RESERVED_NAMES:
        raise InvalidInput(f"a template cannot be named {name!r}, which the API's paths use; use another name")


def kept_file(file: AgentFile) -> AgentFile:
    """`file` as a template keeps it: without messages, pasts and values of secrets."""
    return replace(
        file,
        agents=tuple(
            replace(
                agent,
                messages=(),
                in_context_message_ids=(),
                tool_exec_environment_variables=dict.fromkeys(agent.secret_names, ""),
                secrets=dict.fromkeys(agent.secret_names, ""),
            )
            for agent in file.agents
        ),
        blocks=tuple(replace(block, history=()) for block in file.blocks),
        metadata={},
        skills=(),
        created_at=None,
    )


def variables_of(file: AgentFile, block_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the variables in the values of these blocks, in order."""
    found = [name for block in file.blocks if block.id in block_ids for name in _VARIABLE.findall(block.value)]
    return tuple(dict.fromkeys(found))


def filled(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the values of its variables; those that have none stay as they are."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def filled_file(file: AgentFile, variables: Mapping[str, str]) -> AgentFile:
    """`file` with the values of all variables in its blocks."""
    return replace(file, blocks=tuple(replace(block, value=filled(block.value, variables)) for block in file.blocks))
