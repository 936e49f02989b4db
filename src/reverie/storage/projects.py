"""Projects: rows, found by id, slug or name."""

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import Conflict, NotFound
from reverie.domain.ids import OrganizationId
from reverie.domain.project import Project
from reverie.storage.dialect import dialect_of
from reverie.storage.rows import RowMap, contains
from reverie.storage.schema import projects

_map = RowMap(projects, Project, {})


def insert_project(c: Connection, project: Project) -> None:
    """Store a new project.

    Raises:
        Conflict: the organisation has one of that name or slug.
    """
    try:
        _map.insert(c, project)
    except IntegrityError as error:
        if dialect_of(c).is_unique_violation(error):
            raise Conflict(
                f"a project named {project.name!r}, or with its slug {project.slug!r}, exists already; "
                "use it, or choose another name"
            ) from error
        raise


def insert_unless_known(c: Connection, project: Project) -> None:
    """Store a new project unless there is one of its name or slug; safe when many do it at once."""
    c.execute(dialect_of(c).insert(projects).values(_map.values(project)).on_conflict_do_nothing())


def get(c: Connection, organization_id: OrganizationId, project_id: str) -> Project:
    """One project.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(projects).where(projects.c.organization_id == organization_id, projects.c.id == project_id)
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("project", project_id)
    return _map.read(row)


def find(c: Connection, organization_id: OrganizationId, named: str) -> Project | None:
    """The project whose slug, name or id is `named`, in this order."""
    query = select(projects).where(
        projects.c.organization_id == organization_id,
        or_(projects.c.slug == named, projects.c.name == named, projects.c.id == named),
    )
    found = [_map.read(row) for row in c.execute(query).all()]
    rank = {project.id: (project.slug != named, project.name != named) for project in found}
    return min(found, key=lambda project: rank[project.id], default=None)


def of_ids(c: Connection, organization_id: OrganizationId, project_ids: Sequence[str]) -> dict[str, Project]:
    """The projects of `project_ids` that exist, by id."""
    if not project_ids:
        return {}
    query = select(projects).where(projects.c.organization_id == organization_id, projects.c.id.in_(project_ids))
    return {row.id: _map.read(row) for row in c.execute(query).all()}


def list_some(
    c: Connection, organization_id: OrganizationId, name: str | None, *, offset: int, limit: int
) -> list[Project]:
    """The projects whose name holds `name`, newest first. The API pages them by number."""
    query = select(projects).where(projects.c.organization_id == organization_id, *contains((projects.c.name, name)))
    rows = c.execute(query.order_by(projects.c.seq.desc()).offset(offset).limit(limit))
    return [_map.read(row) for row in rows.all()]


def delete_project(c: Connection, project_id: str) -> None:
    """Remove a project; what lies in it keeps its id."""
    _map.delete(c, project_id)
