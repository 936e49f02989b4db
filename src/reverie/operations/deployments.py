"""What callers can ask for about what is made of templates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import AgentDraft
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, GroupId, IdentityId, make_id
from reverie.domain.inputs import MessageInput
from reverie.domain.template import (
    Deployment,
    DeploymentEntity,
    MigrationRules,
    TemplateRef,
    TemplateVersion,
    filled_file,
)
from reverie.operations.assembly import remove_agent
from reverie.operations.base import Operations
from reverie.operations.migration import move_deployment, opened_secrets, prepare_move
from reverie.operations.unpacking import Unpacked, UnpackOptions, prepare_file, store_file
from reverie.storage import agents, blocks, groups, templates


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentDraft:
    """How the agents made of a template are to differ from it."""

    agent_name: str | None = None
    """None: made-up names. Of several agents the first gets it."""
    tags: tuple[str, ...] = ()
    identity_ids: tuple[IdentityId, ...] = ()
    initial_messages: tuple[MessageInput, ...] | None = None
    memory_variables: Mapping[str, str] | None = None
    secrets: Mapping[str, str] | None = None
    adapt: Callable[[AgentDraft], AgentDraft] | None = None
    """The last word on the first agent."""
    project_id: str | None = None
    """None: the template's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationWish:
    """What a request to migrate says; None leaves it to the version."""

    version: str
    preserve_secrets: bool | None = None
    preserve_memories: bool | None = None
    preserve_folders: bool | None = None
    memory_variables: Mapping[str, str] | None = None


async def create(
    ops: Operations, caller: Caller, ref: TemplateRef, draft: DeploymentDraft
) -> tuple[Deployment, Unpacked]:
    """Make the agents of a template's version with their groups, all or none.

    Raises:
        NotFound: no such template or version, or an identity, folder or model that is gone; the text names it.
    """
    caller.require(Scope.WRITE)
    template, version = await ops.database.read(lambda c: templates.find_version(c, caller.organization_id, ref))
    now = ops.clock()
    deployment = Deployment(
        id=make_id("deployment"),
        organization_id=caller.organization_id,
        template_id=template.id,
        version_id=version.id,
        project_id=draft.project_id or template.project_id,
        memory_variables=dict(draft.memory_variables or {}),
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    options = _options(ops, version, deployment, draft)
    file = filled_file(version.file, deployment.memory_variables)
    first, *rest = file.agents
    named = replace(first, name=draft.agent_name)
    file = replace(file, agents=(named, *(replace(agent, name=None) for agent in rest)))
    prepared = await prepare_file(ops, caller, file, options)

    def store(c: Connection) -> Unpacked:
        templates.get(c, caller.organization_id, template.id)  # it may have been deleted meanwhile
        templates.insert_deployment(c, deployment)
        return store_file(c, caller, file, prepared, options)

    return deployment, await ops.database.write(store)


async def migrate(
    ops: Operations, caller: Caller, ref: TemplateRef, deployment_id: str, wish: MigrationWish
) -> tuple[str, int]:
    """Bring a deployment to a version of its template; returns the version's word and how many agents moved.

    Raises:
        NotFound: no such template, version or deployment of it.
    """
    caller.require(Scope.WRITE)
    template, version = await ops.database.read(
        lambda c: templates.find_version(c, caller.organization_id, replace(ref, version=wish.version))
    )
    move = await prepare_move(ops, caller, template, version, _rules(version, wish))
    now = ops.clock()

    def store(c: Connection) -> int:
        held = templates.get(c, caller.organization_id, template.id, lock=True)
        found = templates.find_deployment(c, caller.organization_id, deployment_id)
        if found is None or found.template_id != held.id:
            raise NotFound("deployment", deployment_id, f"template {held.name!r} has no such deployment")
        return move_deployment(c, ops, caller, found, move, wish.memory_variables or {}, now)

    return version.word, await ops.database.write(store)


async def variables(ops: Operations, caller: Caller, agent_id: AgentId) -> dict[str, str]:
    """The values that an agent's blocks were filled with when it was made of a template."""
    caller.require(Scope.READ)

    def read(c: Connection) -> dict[str, str]:
        agent = agents.get(c, caller.organization_id, agent_id)
        if agent.deployment_id is None:
            return {}
        deployment = templates.find_deployment(c, caller.organization_id, agent.deployment_id)
        return {} if deployment is None else deployment.memory_variables

    return await ops.database.read(read)


async def list_entities(ops: Operations, caller: Caller, deployment_id: str) -> list[DeploymentEntity]:
    """The blocks, agents and groups that hold the id of a deployment.

    Raises:
        NotFound: nothing holds it and no template has it.
    """
    caller.require(Scope.READ)

    return await ops.database.read(lambda c: _entities(c, caller, deployment_id))


async def delete(ops: Operations, caller: Caller, deployment_id: str) -> list[DeploymentEntity]:
    """Remove the blocks, agents and groups of a deployment; running turns are cancelled first. Returns what is gone."""
    caller.require(Scope.WRITE)
    for item in await ops.database.read(lambda c: _entities(c, caller, deployment_id)):
        if item.type == "agent":
            await ops.runs.cancel_agent(caller.organization_id, AgentId(item.id))

    def remove(c: Connection) -> list[DeploymentEntity]:
        gone = templates.entities(c, caller.organization_id, deployment_id)
        for item in gone:
            if item.type == "block":
                blocks.delete_block(c, blocks.get(c, caller.organization_id, item.id, lock=True).id)
        for agent in agents.of_deployment(c, caller.organization_id, deployment_id):
            remove_agent(c, agent)
        for item in gone:
            if item.type == "group":
                groups.delete_group(c, GroupId(item.id))
        templates.delete_deployment(c, caller.organization_id, deployment_id)
        return gone

    return await ops.database.write(remove)


def _entities(c: Connection, caller: Caller, deployment_id: str) -> list[DeploymentEntity]:
    found = templates.entities(c, caller.organization_id, deployment_id)
    if not found and templates.find_deployment(c, caller.organization_id, deployment_id) is None:
        raise NotFound("deployment", deployment_id)
    return found


def _options(
    ops: Operations, version: TemplateVersion, deployment: Deployment, draft: DeploymentDraft
) -> UnpackOptions:
    return UnpackOptions(
        secrets={**opened_secrets(ops, version), **(draft.secrets or {})},
        override_existing_tools=False,
        tags=draft.tags,
        identity_ids=draft.identity_ids,
        own_identities=True,
        initial_messages=draft.initial_messages,
        adapt=draft.adapt,
        project_id=deployment.project_id,
        template_id=version.id,
        base_template_id=version.template_id,
        deployment_id=deployment.id,
    )


def _rules(version: TemplateVersion, wish: MigrationWish) -> MigrationRules:
    said: dict[str, Any] = {
        "preserve_secrets": wish.preserve_secrets,
        "preserve_memories": wish.preserve_memories,
        "preserve_folders": wish.preserve_folders,
    }
    return replace(version.rules, **{name: value for name, value in said.items() if value is not None})
