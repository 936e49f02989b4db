"""Which project things are put into: a rule that several operations share."""

from datetime import datetime

from sqlalchemy import Connection

from reverie.auth.keys import Caller
from reverie.domain.errors import MalformedInput
from reverie.domain.project import DEFAULT_PROJECT, LONGEST_NAME, Project, implied_id, slug_of
from reverie.storage import projects


def make_project(caller: Caller, project_id: str, name: str, now: datetime) -> Project:
    """The record of a project of the caller's organisation."""
    return Project(
        id=project_id,
        organization_id=caller.organization_id,
        name=name,
        slug=slug_of(name),
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def check_name(named: str) -> None:
    """Refuse what no project can be called.

    Raises:
        MalformedInput: too long, or without any letter or digit of a slug.
    """
    if len(named) > LONGEST_NAME or not slug_of(named):
        raise MalformedInput(
            "project", f"{named!r} is no project's slug, name or id; use at most {LONGEST_NAME} letters and digits"
        )


def settled_project(c: Connection, caller: Caller, named: str, now: datetime) -> Project:
    """The project whose slug, name or id is `named`; it is made when there is none.

    Programs name projects that they have in the makers' cloud; here they need not make them first.
    """
    known = projects.find(c, caller.organization_id, named)
    if known is not None:
        return known
    made = make_project(caller, implied_id(caller.organization_id, slug_of(named)), named, now)
    projects.insert_unless_known(c, made)
    return projects.find(c, caller.organization_id, made.slug) or made


def default_project(c: Connection, caller: Caller, now: datetime) -> Project:
    """The project of what must lie in one and was put into none."""
    return settled_project(c, caller, DEFAULT_PROJECT, now)
