"""What callers can ask for about projects."""

import uuid

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import InvalidInput
from reverie.domain.project import DEFAULT_PROJECT, Project, implied_id, slug_of
from reverie.operations.base import Operations
from reverie.operations.placement import check_name, default_project, make_project, settled_project
from reverie.storage import projects


async def create(ops: Operations, caller: Caller, name: str) -> Project:
    """Make a project.

    Raises:
        Conflict: there is one of that name or slug.
        InvalidInput: the name has no letter or digit that a slug could be made of.
    """
    caller.require(Scope.WRITE)
    if not slug_of(name):
        raise InvalidInput(f"name: {name!r} has no letter or digit to make a slug of; use some from a-z or 0-9")
    project = make_project(caller, str(uuid.uuid4()), name, ops.clock())
    await ops.database.write(lambda c: projects.insert_project(c, project))
    return project


async def list_projects(
    ops: Operations, caller: Caller, name: str | None, *, offset: int, limit: int
) -> tuple[list[Project], bool]:
    """Projects whose name holds `name`, newest first, and whether there are more."""
    caller.require(Scope.READ)
    default = await ops.database.read(lambda c: projects.find(c, caller.organization_id, DEFAULT_PROJECT))
    if default is None:
        now = ops.clock()
        await ops.database.write(lambda c: default_project(c, caller, now))
    found = await ops.database.read(
        lambda c: projects.list_some(c, caller.organization_id, name, offset=offset, limit=limit + 1)
    )
    return found[:limit], len(found) > limit


async def delete(ops: Operations, caller: Caller, project_id: str) -> None:
    """Remove a project. What lies in it stays, and is found under the project's id as before."""
    caller.require(Scope.WRITE)
    await ops.database.write(
        lambda c: projects.delete_project(c, projects.get(c, caller.organization_id, project_id).id)
    )


async def find_id(ops: Operations, caller: Caller, named: str) -> str:
    """The id of the project whose slug, name or id is `named`, or of the one that `settle` would make.

    Raises:
        MalformedInput: no project can have that name.
    """
    caller.require(Scope.READ)
    check_name(named)
    found = await ops.database.read(lambda c: projects.find(c, caller.organization_id, named))
    return implied_id(caller.organization_id, slug_of(named)) if found is None else found.id


async def settle(ops: Operations, caller: Caller, named: str) -> str:
    """The same for putting something into the project, which is made when there is none yet."""
    caller.require(Scope.WRITE)
    check_name(named)
    known = await ops.database.read(lambda c: projects.find(c, caller.organization_id, named))
    if known is not None:
        return known.id
    now = ops.clock()
    return (await ops.database.write(lambda c: settled_project(c, caller, named, now))).id
