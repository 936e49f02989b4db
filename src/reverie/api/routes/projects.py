"""Projects."""

from typing import Annotated
from uuid import UUID

from fastapi import Path

from reverie.api.context import Ask, CountQuery, OffsetQuery
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.base import Done
from reverie.api.wire.projects import ProjectCreate, ProjectList, ProjectState, project_state
from reverie.operations import projects

routes = Routes("projects")


@routes.get("/v1/projects")
async def list_projects(
    call: Ask, name: str | None = None, offset: OffsetQuery = 0, limit: CountQuery = 50
) -> Json[ProjectList]:
    """List projects, newest first; `name` is part of the name."""
    found, more = await projects.list_projects(call.ops, call.caller, name, offset=offset, limit=limit)
    return Json({"projects": [project_state(project) for project in found], "hasNextPage": more})


@routes.post("/v1/projects", status_code=201)
async def create_project(body: ProjectCreate, call: Ask) -> Json[ProjectState]:
    """Make a project. Its slug is made of its name; both are unique."""
    return Json(project_state(await projects.create(call.ops, call.caller, body.name)), 201)


@routes.delete("/v1/projects/{project_id}")
async def delete_project(project_id: Annotated[UUID, Path()], call: Ask) -> Json[Done]:
    """Delete a project. What lies in it stays, and is found under the project's id as before."""
    await projects.delete(call.ops, call.caller, str(project_id))
    return Json({"success": True})
