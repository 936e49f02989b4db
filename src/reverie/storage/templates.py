"""Templates, versions and deployments: rows, found by how clients name them."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, null, or_, select
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import Conflict, InvalidInput, NotFound
from reverie.domain.ids import OrganizationId
from reverie.domain.project import DEFAULT_PROJECT
from reverie.domain.template import (
    Deployment,
    DeploymentEntity,
    EntityKind,
    Template,
    TemplateFilter,
    TemplateRef,
    TemplateVersion,
    version_number,
)
from reverie.storage import projects
from reverie.storage.agent_file_codec import decode, encode
from reverie.storage.codec import load_migration_rules
from reverie.storage.dialect import dialect_of
from reverie.storage.rows import Form, RowMap, contains, equals, loaded_by
from reverie.storage.schema import agents, blocks, deployments, groups, template_versions, templates

_map = RowMap(templates, Template, {})
_versions = RowMap(
    template_versions, TemplateVersion, {"file": Form(decode, encode), "rules": loaded_by(load_migration_rules)}
)
_deployments = RowMap(deployments, Deployment, {})


def insert_template(c: Connection, template: Template, *versions: TemplateVersion) -> None:
    """Store a new template with its first versions.

    Raises:
        Conflict: the project has one of that name.
    """
    try:
        _map.insert(c, template)
    except IntegrityError as error:
        raise _name_taken(c, template, error) from error
    _versions.insert(c, *versions)


def update_template(c: Connection, before: Template, after: Template) -> None:
    """Store what differs; errors as above."""
    try:
        _map.update(c, before, after)
    except IntegrityError as error:
        raise _name_taken(c, after, error) from error


def delete_template(c: Connection, template: Template) -> None:
    """Remove a template with its versions; what was made of them stays."""
    _map.delete(c, template.id)


def find(c: Connection, organization_id: OrganizationId, ref: TemplateRef, *, lock: bool = False) -> Template:
    """The template that `ref` names; without a project the one of the default project, or the only one.

    Raises:
        NotFound: there is none.
        Conflict: several projects have one of that name.
    """
    query = select(templates).where(templates.c.organization_id == organization_id, templates.c.name == ref.name)
    if ref.project is not None:
        query = query.where(templates.c.project_id == project_id_of(c, organization_id, ref.project))
    rows = c.execute(query.with_for_update() if lock else query).all()
    found = [_map.read(row) for row in rows]
    if len(found) > 1:
        default = projects.find(c, organization_id, DEFAULT_PROJECT)
        found = [item for item in found if default is not None and item.project_id == default.id]
        if not found:
            raise Conflict(
                f"several projects have a template named {ref.name!r}; name the project with the header X-Project"
            )
    if not found:
        place = "" if ref.project is None else f"project {ref.project!r} has none of that name"
        raise NotFound("template", ref.name, place)
    return found[0]


def get(c: Connection, organization_id: OrganizationId, template_id: str, *, lock: bool = False) -> Template:
    """One template by its id; `NotFound` as above."""
    query = select(templates).where(templates.c.organization_id == organization_id, templates.c.id == template_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("template", template_id)
    return _map.read(row)


def project_id_of(c: Connection, organization_id: OrganizationId, named: str) -> str:
    """Id of the project that is named by id, slug or name; what names none is an id that the client keeps."""
    known = projects.find(c, organization_id, named)
    return named if known is None else known.id


def list_some(
    c: Connection, organization_id: OrganizationId, where: TemplateFilter, *, offset: int, limit: int
) -> list[Template]:
    """Templates that meet `where`, newest first. The API pages them by number."""
    query = select(templates).where(
        templates.c.organization_id == organization_id,
        *equals((templates.c.name, where.name), (templates.c.project_id, where.project_id)),
        *contains((templates.c.name, where.search)),
    )
    here = exists().where(template_versions.c.template_id == templates.c.id)
    if where.template_id is not None:
        query = query.where(
            or_(templates.c.id == where.template_id, here.where(template_versions.c.id == where.template_id))
        )
    if where.version is not None:
        query = query.where(here.where(template_versions.c.number == where.version))
    order = (templates.c[where.sort_by].desc(), templates.c.seq.desc())
    return [_map.read(row) for row in c.execute(query.order_by(*order).offset(offset).limit(limit)).all()]


def get_version(c: Connection, template: Template, word: str | None) -> TemplateVersion:
    """The version that `word` stands for; None and `latest`: the newest saved one.

    Raises:
        NotFound: there is none.
    """
    number = version_number(word, template.latest_version)
    query = _of_template(template).where(template_versions.c.number == number)
    row = None if number is None else c.execute(query).one_or_none()
    if row is None:
        raise NotFound(
            "template version",
            f"{template.name}:{word}",
            f"there are 1 to {template.latest_version}, 'latest' and 'current'",
        )
    return _versions.read(row)


def find_version(c: Connection, organization_id: OrganizationId, ref: TemplateRef) -> tuple[Template, TemplateVersion]:
    """The version that `ref` names, with its template; errors as of `find` and `get_version`."""
    template = find(c, organization_id, ref)
    return template, get_version(c, template, ref.version)


def list_versions(c: Connection, template: Template, *, offset: int, limit: int) -> list[TemplateVersion]:
    """Saved versions, newest first."""
    query = _of_template(template).where(template_versions.c.number > 0).order_by(template_versions.c.number.desc())
    return [_versions.read(row) for row in c.execute(query.offset(offset).limit(limit)).all()]


def count_versions(c: Connection, template: Template) -> int:
    """How many versions were saved."""
    here = template_versions.c.template_id == template.id
    query = select(func.count()).select_from(template_versions).where(here, template_versions.c.number > 0)
    return int(c.execute(query).scalar_one())


def insert_version(c: Connection, version: TemplateVersion) -> None:
    """Store a saved version."""
    _versions.insert(c, version)


def update_version(c: Connection, before: TemplateVersion, after: TemplateVersion) -> None:
    """Store what differs."""
    _versions.update(c, before, after)


def insert_deployment(c: Connection, deployment: Deployment) -> None:
    """Store that something is made of a version."""
    _deployments.insert(c, deployment)


def find_deployment(c: Connection, organization_id: OrganizationId, deployment_id: str) -> Deployment | None:
    """One deployment, of a template that may be gone."""
    query = select(deployments).where(
        deployments.c.organization_id == organization_id, deployments.c.id == deployment_id
    )
    row = c.execute(query).one_or_none()
    return None if row is None else _deployments.read(row)


def deployments_of(c: Connection, template: Template) -> list[Deployment]:
    """All that was made of a template, oldest first; other writers are held off."""
    query = select(deployments).where(deployments.c.template_id == template.id).order_by(deployments.c.seq)
    return [_deployments.read(row) for row in c.execute(query.with_for_update()).all()]


def update_deployment(c: Connection, before: Deployment, after: Deployment) -> None:
    """Store what differs."""
    _deployments.update(c, before, after)


def delete_deployment(c: Connection, organization_id: OrganizationId, deployment_id: str) -> None:
    """Forget a deployment; nothing happens when it is not known."""
    c.execute(
        delete(deployments).where(deployments.c.organization_id == organization_id, deployments.c.id == deployment_id)
    )


def entities(c: Connection, organization_id: OrganizationId, deployment_id: str) -> list[DeploymentEntity]:
    """The blocks, agents and groups that hold the id of a deployment, in this order, each kind by age."""
    found: list[DeploymentEntity] = []
    for kind, table, name, entity_id in _ENTITIES:
        query = (
            select(table.c.id, name, table.c.description, entity_id, table.c.project_id)
            .where(table.c.organization_id == organization_id, table.c.deployment_id == deployment_id)
            .order_by(table.c.seq)
        )
        found += [
            DeploymentEntity(id=row[0], type=kind, name=row[1], description=row[2], entity_id=row[3], project_id=row[4])
            for row in c.execute(query).all()
        ]
    return found


_ENTITIES: Final[tuple[tuple[EntityKind, Table, ColumnElement[Any], ColumnElement[Any]], ...]] = (
    ("block", blocks, blocks.c.label, blocks.c.entity_id),
    ("agent", agents, agents.c.name, agents.c.entity_id),
    ("group", groups, null(), null()),
)
"""Each kind with its table, and where its name and its place in the template stand."""


def version_ids(organization_id: OrganizationId, name: str | None, version: str | None) -> Select[Any]:
    """A query of the ids of versions, for finding what was made of them.

    Raises:
        InvalidInput: `version` is no version's word.
    """
    query = (
        select(template_versions.c.id)
        .join(templates, templates.c.id == template_versions.c.template_id)
        .where(template_versions.c.organization_id == organization_id, *equals((templates.c.name, name)))
    )
    if version is None:
        return query
    number = version_number(version, -1)
    if number is None:
        raise InvalidInput(
            f"{version!r} is no template version; use 'name:3', 'name:latest', 'name:current' or a number"
        )
    return query.where(template_versions.c.number == (templates.c.latest_version if number == -1 else number))


def template_ids(organization_id: OrganizationId, name: str) -> Select[Any]:
    """A query of the ids of all templates of a name."""
    return select(templates.c.id).where(templates.c.organization_id == organization_id, templates.c.name == name)


def slugs(c: Connection, organization_id: OrganizationId, found: Sequence[Template]) -> dict[str, str]:
    """The slug of each template's project by its id; of projects that are not here the id itself."""
    ids = list({template.project_id for template in found})
    known = projects.of_ids(c, organization_id, ids)
    return {item: known[item].slug if item in known else item for item in ids}


def _of_template(template: Template) -> Select[Any]:
    return select(template_versions).where(template_versions.c.template_id == template.id)


def _name_taken(c: Connection, template: Template, error: IntegrityError) -> Exception:
    if dialect_of(c).is_unique_violation(error):
        return Conflict(f"the project has a template named {template.name!r} already; use another name")
    return error
