"""Projects on the wire. Source: `/v1/projects`, API description, read 2026-11."""

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.domain.project import LONGEST_NAME, Project


class ProjectState(TypedDict):
    """A project."""

    id: str
    name: str
    slug: str


class ProjectList(TypedDict):
    """Some projects, and whether there are more."""

    projects: list[ProjectState]
    hasNextPage: bool


def project_state(project: Project) -> ProjectState:
    """The project as clients read it."""
    return {"id": project.id, "name": project.name, "slug": project.slug}


class ProjectCreate(Body):
    """A project to be made."""

    name: str = Field(min_length=3, max_length=LONGEST_NAME)
