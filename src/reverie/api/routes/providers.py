"""Providers: those of the server's settings, and those that the caller's organisation added for itself."""

from reverie.api.context import FROM_MODELS, Ask, Newest50, ProviderPath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.providers import (
    CredentialsBody,
    ProviderCheck,
    ProviderCreate,
    ProviderState,
    provider_state,
)
from reverie.domain.ids import ProviderId
from reverie.operations import providers

routes = Routes("providers")


@routes.get("/v1/providers")
async def list_providers(
    call: Ask, page: Newest50, name: str | None = None, provider_type: str | None = None
) -> Json[list[ProviderState]]:
    """List providers; those of the server's settings (`base`) count as the oldest. Every condition must hold."""
    found = await providers.list_providers(
        call.ops, call.caller, page.page(), name=name, provider_type=provider_type
    )  # fmt: skip
    return Json([provider_state(item) for item in found])


@routes.post("/v1/providers")
async def create_provider(body: ProviderCreate, call: Ask) -> Json[ProviderState]:
    """Add a provider for the caller's organisation. Its models are `name/model` there, and nowhere else."""
    return Json(provider_state(await providers.create(call.ops, call.caller, body.to_domain())))


@routes.post("/v1/providers/check", responses=FROM_MODELS)
async def check_provider(body: ProviderCheck, call: Ask) -> Json[dict[str, str]]:
    """Try credentials, storing nothing: 401 when the provider refuses the key."""
    said = await providers.check(call.ops, call.caller, body.provider_type, body.credentials())
    return Json({"message": said})


@routes.get("/v1/providers/{provider_id}")
async def retrieve_provider(provider_id: ProviderPath, call: Ask) -> Json[ProviderState]:
    """Retrieve a provider."""
    return Json(provider_state(await providers.retrieve(call.ops, call.caller, ProviderId(provider_id))))


@routes.patch("/v1/providers/{provider_id}")
async def modify_provider(provider_id: ProviderPath, body: CredentialsBody, call: Ask) -> Json[ProviderState]:
    """Give a provider other credentials; what is not sent stays. One of the server's settings is a 400."""
    changed = await providers.update(call.ops, call.caller, ProviderId(provider_id), body.credentials())
    return Json(provider_state(changed))


@routes.delete("/v1/providers/{provider_id}")
async def delete_provider(provider_id: ProviderPath, call: Ask) -> Json[dict[str, str]]:
    """Delete a provider with its keys. One of the server's settings is a 400."""
    await providers.delete(call.ops, call.caller, ProviderId(provider_id))
    return Json({"message": f"provider {provider_id} is deleted"})


@routes.post("/v1/providers/{provider_id}/check", responses=FROM_MODELS)
async def check_existing_provider(provider_id: ProviderPath, call: Ask) -> Json[dict[str, str]]:
    """Try the credentials of a provider: 401 when it refuses the key."""
    return Json({"message": await providers.check_existing(call.ops, call.caller, ProviderId(provider_id))})


@routes.patch("/v1/providers/{provider_id}/refresh", responses=FROM_MODELS)
async def refresh_provider(provider_id: ProviderPath, call: Ask) -> Json[ProviderState]:
    """Ask a provider anew for its models; those it lists no more are listed no more here."""
    return Json(provider_state(await providers.refresh(call.ops, call.caller, ProviderId(provider_id))))
