"""What callers can ask for about the sandbox of their organisation's tools."""

from dataclasses import replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict
from reverie.domain.ids import SandboxId, make_id
from reverie.domain.paging import Page
from reverie.domain.sandbox import LocalSandbox, SandboxConfig, SandboxVariable
from reverie.operations.base import Operations
from reverie.storage import sandboxes


async def create(ops: Operations, caller: Caller, settings: LocalSandbox) -> SandboxConfig:
    """Make the organisation's settings, which act from its next tool call on.

    Raises:
        Conflict: it has some; they are to be changed instead.
    """
    caller.require(Scope.ADMIN)
    fresh = _config(ops, caller, settings)

    def store(c: Connection) -> SandboxConfig:
        if not sandboxes.insert_unless_there(c, fresh):
            found = sandboxes.find(c, caller.organization_id)
            raise Conflict(f"there is a sandbox configuration already ({found.id if found else '?'}); change that one")
        return fresh

    return await ops.database.write(store)


async def upsert(ops: Operations, caller: Caller, settings: LocalSandbox | None) -> SandboxConfig:
    """The organisation's settings, made where there are none; `settings`, if given, are what they become."""
    caller.require(Scope.ADMIN)
    fresh = _config(ops, caller, settings or LocalSandbox())

    def store(c: Connection) -> SandboxConfig:
        if sandboxes.insert_unless_there(c, fresh):
            return fresh
        before = sandboxes.find(c, caller.organization_id) or fresh
        return before if settings is None else _changed(c, caller, before, settings, fresh)

    return await ops.database.write(store)


async def update(ops: Operations, caller: Caller, config_id: SandboxId, settings: LocalSandbox | None) -> SandboxConfig:
    """Put `settings` in the place of those there are; None leaves them."""
    caller.require(Scope.ADMIN)
    fresh = _config(ops, caller, settings or LocalSandbox())

    def store(c: Connection) -> SandboxConfig:
        before = sandboxes.get(c, caller.organization_id, config_id)
        return before if settings is None else _changed(c, caller, before, settings, fresh)

    return await ops.database.write(store)


async def list_configs(ops: Operations, caller: Caller) -> list[SandboxConfig]:
    """The organisation's settings, if it has any."""
    caller.require(Scope.READ)
    found = await ops.database.read(lambda c: sandboxes.find(c, caller.organization_id))
    return [] if found is None else [found]


async def delete(ops: Operations, caller: Caller, config_id: SandboxId) -> None:
    """Remove settings with their variables."""
    caller.require(Scope.ADMIN)
    await ops.database.write(
        lambda c: sandboxes.delete_config(c, sandboxes.get(c, caller.organization_id, config_id).id)
    )


async def create_variable(
    ops: Operations, caller: Caller, config_id: SandboxId, *, key: str, value: str, description: str | None
) -> SandboxVariable:
    """Put a variable into the environment of every custom tool.

    Raises:
        Conflict: there is one of its key.
    """
    caller.require(Scope.ADMIN)
    now = ops.clock()
    variable_id = make_id("sandbox-env")
    fresh = SandboxVariable(
        id=variable_id,
        organization_id=caller.organization_id,
        sandbox_config_id=config_id,
        key=key,
        sealed_value=ops.cipher.encrypt(value, variable_id),
        description=description,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )

    def store(c: Connection) -> SandboxVariable:
        sandboxes.get(c, caller.organization_id, config_id)
        sandboxes.insert_variable(c, fresh)
        return fresh

    return await ops.database.write(store)


async def update_variable(
    ops: Operations,
    caller: Caller,
    variable_id: str,
    *,
    key: str | None = None,
    value: str | None = None,
    description: str | None = None,
) -> SandboxVariable:
    """Change what is given.

    Raises:
        Conflict: there is another of its key.
    """
    caller.require(Scope.ADMIN)

    def store(c: Connection) -> SandboxVariable:
        before = sandboxes.get_variable(c, caller.organization_id, variable_id)
        after = replace(
            before,
            key=before.key if key is None else key,
            sealed_value=before.sealed_value if value is None else ops.cipher.encrypt(value, variable_id),
            description=before.description if description is None else description,
            updated_at=ops.clock(),
            last_updated_by_id=caller.user_id,
        )
        sandboxes.update_variable(c, before, after)
        return after

    return await ops.database.write(store)


async def list_variables(ops: Operations, caller: Caller, config_id: SandboxId, page: Page) -> list[SandboxVariable]:
    """A page of variables."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[SandboxVariable]:
        sandboxes.get(c, caller.organization_id, config_id)
        return sandboxes.list_variables(c, caller.organization_id, config_id, page)

    return await ops.database.read(read)


async def delete_variable(ops: Operations, caller: Caller, variable_id: str) -> None:
    """Take a variable away."""
    caller.require(Scope.ADMIN)
    await ops.database.write(
        lambda c: sandboxes.delete_variable(c, sandboxes.get_variable(c, caller.organization_id, variable_id).id)
    )


def _config(ops: Operations, caller: Caller, settings: LocalSandbox) -> SandboxConfig:
    now = ops.clock()
    return SandboxConfig(
        id=SandboxId(make_id("sandbox")),
        organization_id=caller.organization_id,
        settings=settings,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def _changed(
    c: Connection, caller: Caller, before: SandboxConfig, settings: LocalSandbox, fresh: SandboxConfig
) -> SandboxConfig:
    after = replace(
        before, settings=settings, updated_at=fresh.updated_at, last_updated_by_id=caller.user_id
    )  # fmt: skip
    sandboxes.update_config(c, before, after)
    return after
