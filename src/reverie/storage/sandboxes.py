"""Sandbox settings of organisations, and the variables that go with them."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import Conflict, NotFound
from reverie.domain.ids import OrganizationId, SandboxId
from reverie.domain.paging import Page
from reverie.domain.sandbox import SandboxConfig, SandboxVariable
from reverie.storage.codec import load_sandbox
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, loaded_by
from reverie.storage.schema import sandbox_configs, sandbox_variables

_configs: Final = RowMap(sandbox_configs, SandboxConfig, {"settings": loaded_by(load_sandbox)})
_variables: Final = RowMap(sandbox_variables, SandboxVariable, {})

# Every call of a custom tool looks at them.
_of_organization: Final = select(sandbox_configs).where(sandbox_configs.c.organization_id == bindparam("organization"))


def insert_unless_there(c: Connection, config: SandboxConfig) -> bool:
    """Store new settings unless the organisation has some; tell whether they were stored."""
    statement = dialect_of(c).insert(sandbox_configs).values(_configs.values(config))
    return bool(c.execute(statement.on_conflict_do_nothing()).rowcount)


def find(c: Connection, organization_id: OrganizationId) -> SandboxConfig | None:
    """The organisation's settings; None: it has none."""
    row = c.execute(_of_organization, {"organization": organization_id}).one_or_none()
    return None if row is None else _configs.read(row)


def get(c: Connection, organization_id: OrganizationId, config_id: SandboxId) -> SandboxConfig:
    """The organisation's settings by their id.

    Raises:
        NotFound: it has none of that id.
    """
    found = find(c, organization_id)
    if found is None or found.id != config_id:
        raise NotFound("sandbox configuration", config_id)
    return found


def update_config(c: Connection, before: SandboxConfig, after: SandboxConfig) -> None:
    """Store what differs."""
    _configs.update(c, before, after)


def delete_config(c: Connection, config_id: SandboxId) -> None:
    """Remove settings with their variables."""
    _configs.delete(c, config_id)


def insert_variable(c: Connection, variable: SandboxVariable) -> None:
    """Store a new variable.

    Raises:
        Conflict: there is one of its key.
    """
    try:
        _variables.insert(c, variable)
    except IntegrityError as error:
        raise _key_taken(c, variable, error) from error


def update_variable(c: Connection, before: SandboxVariable, after: SandboxVariable) -> None:
    """Store what differs.

    Raises:
        Conflict: there is another of its key.
    """
    try:
        _variables.update(c, before, after)
    except IntegrityError as error:
        raise _key_taken(c, after, error) from error


def get_variable(c: Connection, organization_id: OrganizationId, variable_id: str) -> SandboxVariable:
    """One variable.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(sandbox_variables).where(
        sandbox_variables.c.organization_id == organization_id, sandbox_variables.c.id == variable_id
    )
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("environment variable", variable_id)
    return _variables.read(row)


def list_variables(
    c: Connection, organization_id: OrganizationId, config_id: SandboxId, page: Page
) -> list[SandboxVariable]:
    """A page of the variables of some settings."""
    query = select(sandbox_variables).where(
        sandbox_variables.c.organization_id == organization_id, sandbox_variables.c.sandbox_config_id == config_id
    )
    rows = fetch_rows(c, query, sandbox_variables, page, organization_id, "environment variable")
    return [_variables.read(row) for row in rows]


def of_organizations(
    c: Connection, organization_ids: Iterable[OrganizationId]
) -> dict[OrganizationId, list[SandboxVariable]]:
    """The variables of each organisation that has any."""
    query = select(sandbox_variables).where(sandbox_variables.c.organization_id.in_(set(organization_ids)))
    found: dict[OrganizationId, list[SandboxVariable]] = {}
    for row in c.execute(query).all():
        variable = _variables.read(row)
        found.setdefault(variable.organization_id, []).append(variable)
    return found


def delete_variable(c: Connection, variable_id: str) -> None:
    """Remove a variable."""
    _variables.delete(c, variable_id)


def _key_taken(c: Connection, variable: SandboxVariable, error: IntegrityError) -> Exception:
    if dialect_of(c).is_unique_violation(error):
        return Conflict(f"an environment variable {variable.key!r} exists already; change it, or use another key")
    return error
