"""Sandbox configuration: what an organisation says about the sandbox of its custom tools."""

from typing import Annotated, Literal

from fastapi import Body
from starlette.responses import Response

from reverie.api.context import Ask, Call, Newest50, SandboxPath, SandboxVariablePath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.sandboxes import (
    SandboxConfigBody,
    SandboxConfigCreate,
    SandboxConfigState,
    SandboxConfigUpdate,
    SandboxVariableState,
    VariableCreate,
    VariableUpdate,
    sandbox_config_state,
    sandbox_variable_state,
)
from reverie.auth.keys import Scope
from reverie.domain.errors import InvalidInput
from reverie.domain.ids import SandboxId
from reverie.domain.sandbox import SandboxVariable
from reverie.operations import sandboxes

routes = Routes("sandbox-config")


@routes.post("/v1/sandbox-config")
async def create_sandbox_config(body: SandboxConfigCreate, call: Ask) -> Json[SandboxConfigState]:
    """Make the organisation's settings; they act from the next tool call on."""
    return Json(sandbox_config_state(await sandboxes.create(call.ops, call.caller, body.config.to_domain())))


@routes.post("/v1/sandbox-config/e2b/default")
async def create_e2b_sandbox_config(call: Ask) -> Json[SandboxConfigState]:
    """There is no such sandbox here: always a 400."""
    raise InvalidInput("tools do not run at e2b here; this server has one kind of sandbox, 'local'")


@routes.post("/v1/sandbox-config/local/default")
async def create_default_sandbox_config(call: Ask) -> Json[SandboxConfigState]:
    """The organisation's settings, made where there are none."""
    return Json(sandbox_config_state(await sandboxes.upsert(call.ops, call.caller, None)))


@routes.post("/v1/sandbox-config/local")
async def upsert_sandbox_config(
    call: Ask, body: Annotated[SandboxConfigBody | None, Body()] = None
) -> Json[SandboxConfigState]:
    """Make or replace the organisation's settings."""
    settings = (body or SandboxConfigBody()).to_domain()
    return Json(sandbox_config_state(await sandboxes.upsert(call.ops, call.caller, settings)))


@routes.post("/v1/sandbox-config/local/recreate-venv")
async def recreate_environment(call: Ask) -> Json[SandboxConfigState]:
    """Nothing is to be done: an environment is made anew whenever its list of packages changes."""
    return Json(sandbox_config_state(await sandboxes.upsert(call.ops, call.caller, None)))


@routes.get("/v1/sandbox-config")
async def list_sandbox_configs(
    call: Ask, page: Newest50, sandbox_type: Literal["local", "e2b", "modal"] | None = None
) -> Json[list[SandboxConfigState]]:
    """List the organisation's settings, of which there is one at most."""
    found = await sandboxes.list_configs(call.ops, call.caller)
    past = [item for item in found if page.after is None and page.before is None]
    return Json([sandbox_config_state(item) for item in past if sandbox_type in (None, "local")])


@routes.patch("/v1/sandbox-config/environment-variable/{variable_id}")
async def update_variable(
    variable_id: SandboxVariablePath, body: VariableUpdate, call: Ask
) -> Json[SandboxVariableState]:
    """Change an environment variable."""
    changed = await sandboxes.update_variable(
        call.ops, call.caller, variable_id, key=body.key, value=body.value, description=body.description
    )
    return Json(_shown(call, changed))


@routes.delete("/v1/sandbox-config/environment-variable/{variable_id}", status_code=204)
async def delete_variable(variable_id: SandboxVariablePath, call: Ask) -> Response:
    """Delete an environment variable."""
    await sandboxes.delete_variable(call.ops, call.caller, variable_id)
    return Response(status_code=204)


@routes.patch("/v1/sandbox-config/{config_id}")
async def update_sandbox_config(
    config_id: SandboxPath, body: SandboxConfigUpdate, call: Ask
) -> Json[SandboxConfigState]:
    """Replace settings."""
    settings = None if body.config is None else body.config.to_domain()
    return Json(sandbox_config_state(await sandboxes.update(call.ops, call.caller, SandboxId(config_id), settings)))


@routes.delete("/v1/sandbox-config/{config_id}", status_code=204)
async def delete_sandbox_config(config_id: SandboxPath, call: Ask) -> Response:
    """Delete settings with their environment variables."""
    await sandboxes.delete(call.ops, call.caller, SandboxId(config_id))
    return Response(status_code=204)


@routes.post("/v1/sandbox-config/{config_id}/environment-variable")
async def create_variable(config_id: SandboxPath, body: VariableCreate, call: Ask) -> Json[SandboxVariableState]:
    """Put a variable into the environment of every custom tool; an agent's secret of its name counts instead."""
    made = await sandboxes.create_variable(
        call.ops, call.caller, SandboxId(config_id), key=body.key, value=body.value, description=body.description
    )
    return Json(_shown(call, made))


@routes.get("/v1/sandbox-config/{config_id}/environment-variable")
async def list_variables(config_id: SandboxPath, call: Ask, page: Newest50) -> Json[list[SandboxVariableState]]:
    """List environment variables; values are shown to administrators."""
    found = await sandboxes.list_variables(call.ops, call.caller, SandboxId(config_id), page.page())
    return Json([_shown(call, item) for item in found])


def _shown(call: Call, variable: SandboxVariable) -> SandboxVariableState:
    return sandbox_variable_state(variable, call.ops.cipher.decrypt if call.caller.holds(Scope.ADMIN) else None)
