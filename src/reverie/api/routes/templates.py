"""Templates: agents kept under a name, in versions, to make further agents of.

Each operation has a path with a project's id (or slug) and one without, for the project that the
headers name or, where they name none, the default project.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Body, Query

from reverie.api.context import Ask, Call, CountQuery, FromProject, IntoProject, OffsetQuery
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import answer_agent
from reverie.api.wire.agents import AgentState
from reverie.api.wire.base import Done, Success
from reverie.api.wire.blocks import BlockState, block_state
from reverie.api.wire.deployments import (
    DeletedDeployment,
    DeploymentCreate,
    DeploymentMigrate,
    DeploymentState,
    EntityList,
    PlacedAgentCreate,
    PlacedBlockCreate,
    PlacedGroupCreate,
    entity_state,
)
from reverie.api.wire.groups import GroupState, group_state
from reverie.api.wire.snapshots import SnapshotBody, SnapshotState, snapshot_state
from reverie.api.wire.templates import (
    FromAgent,
    TemplateCreate,
    TemplateDescribe,
    TemplateFork,
    TemplateList,
    TemplateRename,
    TemplateRollback,
    TemplateSave,
    TemplateState,
    TemplateUpdate,
    VersionList,
    template_state,
    version_state,
)
from reverie.domain.errors import InvalidInput
from reverie.domain.ids import AgentId
from reverie.domain.template import DeploymentEntity, TemplateFilter, TemplateRef
from reverie.operations import agents, blocks, deployments, groups, templates

routes = Routes("templates")


def _done(message: str) -> Json[Success]:
    return Json({"success": True, "message": message})


def _named(name: str, project: str | None) -> TemplateRef:
    """A template as such: a version behind its name is passed over, as the API does."""
    ref = TemplateRef.parse(name, project)
    return TemplateRef(name=ref.name, project=ref.project)


@routes.get("/v1/templates")
async def list_templates(
    call: Ask,
    project: FromProject,
    offset: OffsetQuery = 0,
    limit: CountQuery = 50,
    exact: bool = False,
    version: str | None = None,
    template_id: str | None = None,
    name: str | None = None,
    search: str | None = None,
    project_slug: str | None = None,
    project_id: str | None = None,
    sort_by: Literal["updated_at", "created_at"] = "created_at",
) -> Json[TemplateList]:
    """List templates, newest first; every given condition must hold."""
    if version is not None and not version.isdecimal():
        raise InvalidInput(f"version: {version!r} is no number of a saved version")
    where = TemplateFilter(
        name=name or (search if exact else None),
        search=None if exact else search,
        template_id=template_id,
        version=None if version is None else min(int(version), 2**31 - 1),
        sort_by=sort_by,
    )
    place = project_id or project_slug or project
    found, more = await templates.list_templates(call.ops, call.caller, where, place, offset=offset, limit=limit)
    return Json({"templates": [template_state(view) for view in found], "has_next_page": more})


@routes.post("/v1/templates")
async def create_template(body: TemplateCreate, call: Ask, project: IntoProject) -> Json[TemplateState]:
    """Make a template of an agent, or of an agent file; version 1 is saved at once."""
    return await _create(call, body, project)


@routes.post("/v1/templates/{project_id}")
async def create_template_in(project_id: str, body: TemplateCreate, call: Ask) -> Json[TemplateState]:
    """The same in a project."""
    return await _create(call, body, project_id)


async def _create(call: Call, body: TemplateCreate, project: str | None) -> Json[TemplateState]:
    if isinstance(body, FromAgent):
        agent_id = AgentId(body.agent_id)
        made = await templates.create_from_agent(call.ops, call.caller, agent_id, body.name, project)
    else:
        made = await templates.create_from_file(
            call.ops,
            call.caller,
            body.agent_file,
            body.name,
            project,
            override_tools=bool(body.update_existing_tools),
        )
    return Json(template_state(made), 201)


@routes.post("/v1/templates/{template_name}/save")
async def save_template(
    template_name: str, call: Ask, project: FromProject, body: TemplateSave | None = None
) -> Json[TemplateState]:
    """Save the working version under the next number."""
    return await _save(call, _named(template_name, project), body)


@routes.post("/v1/templates/{template_name}/rollback")
async def roll_back_template(
    template_name: str, body: TemplateRollback, call: Ask, project: FromProject
) -> Json[Success]:
    """Make a saved version the working one; unsaved changes are saved first."""
    return await _roll_back(call, _named(template_name, project), body)


@routes.post("/v1/templates/{template_version}/agents")
async def create_agents(
    template_version: str, call: Ask, project: FromProject, body: DeploymentCreate | None = None
) -> Json[DeploymentState]:
    """Make the agents of a version: `name:3`, `name:latest`, `name:current`; `name` is the newest saved one."""
    return await _deploy(call, TemplateRef.parse(template_version, project), body)


@routes.delete("/v1/templates/{template_name}")
async def delete_template(template_name: str, call: Ask, project: FromProject) -> Json[Done]:
    """Delete a template with all its versions; what was made of them stays."""
    return await _delete(call, _named(template_name, project))


@routes.patch("/v1/templates/{template_name}")
async def update_template(template_name: str, body: TemplateUpdate, call: Ask, project: FromProject) -> Json[Success]:
    """Make an agent file the working version."""
    return await _update(call, _named(template_name, project), body)


@routes.post("/v1/templates/{project_id}/{template_name}")
async def save_template_in(
    project_id: str, template_name: str, call: Ask, body: TemplateSave | None = None
) -> Json[TemplateState]:
    """Save the working version under the next number."""
    return await _save(call, _named(template_name, project_id), body)


@routes.delete("/v1/templates/{project_id}/{template_name}")
async def delete_template_in(project_id: str, template_name: str, call: Ask) -> Json[Done]:
    """Delete a template with all its versions; what was made of them stays."""
    return await _delete(call, _named(template_name, project_id))


@routes.post("/v1/templates/{project_id}/{template_version}/agents")
async def create_agents_in(
    project_id: str, template_version: str, call: Ask, body: DeploymentCreate | None = None
) -> Json[DeploymentState]:
    """Make the agents of a version of a template in a project."""
    return await _deploy(call, TemplateRef.parse(template_version, project_id), body)


@routes.post("/v1/templates/{project_id}/{template_name}/rollback")
async def roll_back_template_in(
    project_id: str, template_name: str, body: TemplateRollback, call: Ask
) -> Json[Success]:
    """Make a saved version the working one; unsaved changes are saved first."""
    return await _roll_back(call, _named(template_name, project_id), body)


@routes.get("/v1/templates/{project_id}/{template_version}/snapshot")
async def retrieve_snapshot(project_id: str, template_version: str, call: Ask) -> Json[SnapshotState]:
    """What a version holds."""
    ref = TemplateRef.parse(template_version, project_id)
    return Json(snapshot_state(await templates.snapshot(call.ops, call.caller, ref)))


@routes.put("/v1/templates/{project_id}/{template_version}/snapshot")
async def set_snapshot(project_id: str, template_version: str, body: SnapshotBody, call: Ask) -> Json[Success]:
    """Set what the working version holds."""
    ref = TemplateRef.parse(template_version, project_id)
    await templates.set_snapshot(call.ops, call.caller, ref, body.to_domain())
    return _done(f"the working version of {ref.name!r} is set")


@routes.post("/v1/templates/{project_id}/{template_version}/fork")
async def fork_template(
    project_id: str, template_version: str, call: Ask, body: TemplateFork | None = None
) -> Json[TemplateState]:
    """Make a template of a version of another."""
    ref = TemplateRef.parse(template_version, project_id)
    made = await templates.fork(call.ops, call.caller, ref, None if body is None else body.name)
    return Json(template_state(made))


@routes.patch("/v1/templates/{project_id}/{template_name}/name")
async def rename_template(project_id: str, template_name: str, body: TemplateRename, call: Ask) -> Json[Done]:
    """Rename a template with all its versions."""
    await templates.rename(call.ops, call.caller, _named(template_name, project_id), body.new_name)
    return Json({"success": True})


@routes.patch("/v1/templates/{project_id}/{template_name}/description")
async def describe_template(project_id: str, template_name: str, body: TemplateDescribe, call: Ask) -> Json[Done]:
    """Change a template's description."""
    await templates.describe(call.ops, call.caller, _named(template_name, project_id), body.description)
    return Json({"success": True})


@routes.get("/v1/templates/{project_id}/{name}/versions")
async def list_versions(
    project_id: str, name: str, call: Ask, offset: OffsetQuery = 0, limit: CountQuery = 50
) -> Json[VersionList]:
    """List the saved versions of a template, newest first."""
    template, found, total = await templates.list_versions(
        call.ops, call.caller, _named(name, project_id), offset=offset, limit=limit
    )
    return Json(
        {
            "versions": [version_state(version, template.latest_version) for version in found],
            "has_next_page": offset + len(found) < total,
            "total_count": total,
        }
    )


@routes.put("/v1/templates/{project_id}/{template_name}/agent-file")
async def update_template_in(project_id: str, template_name: str, body: TemplateUpdate, call: Ask) -> Json[Success]:
    """Make an agent file the working version."""
    return await _update(call, _named(template_name, project_id), body)


@routes.post("/v1/templates/{project_id}/{template_name}/deployments/{deployment_id}/migrate")
async def migrate_deployment(
    project_id: str, template_name: str, deployment_id: str, body: DeploymentMigrate, call: Ask
) -> Json[Success]:
    """Bring the agents of a deployment to a version of their template."""
    ref = _named(template_name, project_id)
    word, moved = await deployments.migrate(call.ops, call.caller, ref, deployment_id, body.to_domain())
    return _done(f"{moved} agents are at version {word} of {ref.name!r}")


@routes.post("/v1/legacy-templates/{template_id}/migrates")
async def move_legacy_template(template_id: str, call: Ask) -> Json[Success]:
    """Bring a template into the default project out of one that does not exist here."""
    await templates.move_to_default_project(call.ops, call.caller, template_id)
    return _done("the template lies in the default project now")


@routes.post("/v1/_internal_templates/agents")
async def create_placed_agent(body: PlacedAgentCreate, call: Ask, project: IntoProject) -> Json[AgentState]:
    """Make an agent of a deployment that the client keeps book of itself."""
    return await answer_agent(call, await agents.create(call.ops, call.caller, body.to_domain(project)))


@routes.post("/v1/_internal_templates/blocks")
async def create_placed_block(body: PlacedBlockCreate, call: Ask, project: IntoProject) -> Json[BlockState]:
    """Make a block of a deployment that the client keeps book of itself."""
    return Json(block_state(await blocks.create(call.ops, call.caller, body.to_domain(project))))


@routes.post("/v1/_internal_templates/blocks/batch")
async def create_placed_blocks(
    body: Annotated[list[PlacedBlockCreate], Body(max_length=1000)], call: Ask, project: IntoProject
) -> Json[list[BlockState]]:
    """The same for many blocks, all or none."""
    drafts = [item.to_domain(project) for item in body]
    return Json([block_state(block) for block in await blocks.create_many(call.ops, call.caller, drafts)])


@routes.post("/v1/_internal_templates/groups")
async def create_placed_group(body: PlacedGroupCreate, call: Ask, project: IntoProject) -> Json[GroupState]:
    """Make a group of a deployment that the client keeps book of itself."""
    return Json(group_state(await groups.create(call.ops, call.caller, body.to_domain(project))))


@routes.get("/v1/_internal_templates/deployment/{deployment_id}")
async def list_deployment(
    deployment_id: str, call: Ask, entity_types: Annotated[list[str] | None, Query()] = None
) -> Json[EntityList]:
    """List the blocks, agents and groups of a deployment."""
    found = await deployments.list_entities(call.ops, call.caller, deployment_id)
    shown = [item for item in found if not entity_types or item.type in entity_types]
    return Json(
        {
            "entities": [entity_state(item) for item in shown],
            "total_count": len(shown),
            "deployment_id": deployment_id,
            "message": f"{len(shown)} entities",
        }
    )


@routes.delete("/v1/_internal_templates/deployment/{deployment_id}")
async def delete_deployment(deployment_id: str, call: Ask) -> Json[DeletedDeployment]:
    """Delete the blocks, agents and groups of a deployment."""
    gone = await deployments.delete(call.ops, call.caller, deployment_id)
    return Json(
        {
            "deleted_blocks": _ids(gone, "block"),
            "deleted_agents": _ids(gone, "agent"),
            "deleted_groups": _ids(gone, "group"),
            "message": f"deployment {deployment_id} is deleted",
        }
    )


def _ids(items: Sequence[DeploymentEntity], kind: str) -> list[str]:
    return [item.id for item in items if item.type == kind]


async def _save(call: Call, ref: TemplateRef, body: TemplateSave | None) -> Json[TemplateState]:
    wish = body or TemplateSave()
    saved = await templates.save(
        call.ops, call.caller, ref, wish.message, wish.to_domain(), migrate=bool(wish.migrate_agents)
    )
    return Json(template_state(saved))


async def _update(call: Call, ref: TemplateRef, body: TemplateUpdate) -> Json[Success]:
    await templates.update_from_file(
        call.ops,
        call.caller,
        ref,
        body.agent_file_json,
        override_tools=bool(body.update_existing_tools),
        save_first=bool(body.save_existing_changes),
    )
    return _done(f"the working version of {ref.name!r} is updated")


async def _roll_back(call: Call, ref: TemplateRef, body: TemplateRollback) -> Json[Success]:
    number = await templates.rollback(call.ops, call.caller, ref, body.version)
    return _done(f"the working version of {ref.name!r} is what version {number} was")


async def _delete(call: Call, ref: TemplateRef) -> Json[Done]:
    await templates.delete(call.ops, call.caller, ref)
    return Json({"success": True})


async def _deploy(call: Call, ref: TemplateRef, body: DeploymentCreate | None) -> Json[DeploymentState]:
    draft = (body or DeploymentCreate()).to_domain()
    deployment, made = await deployments.create(call.ops, call.caller, ref, draft)
    answer: DeploymentState = {
        "agent_ids": [details.agent.id for details in made.agents],
        "group_id": made.groups[0].id if made.groups else None,
        "deployment_id": deployment.id,
    }
    return Json(answer, 201)
