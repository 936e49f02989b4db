"""What callers can ask for about models."""

from collections.abc import Sequence

from reverie.auth.keys import Caller, Scope
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.operations.base import Operations


async def list_models(
    ops: Operations,
    caller: Caller,
    *,
    categories: Sequence[str] = (),
    provider_name: str | None = None,
    provider_type: str | None = None,
) -> list[ModelInfo]:
    """Chat models that can be used now; every given condition must hold."""
    caller.require(Scope.READ)
    return [
        item
        for item in await (await ops.catalogs.of(caller.organization_id)).list_models()
        if (not categories or item.category in categories)
        and provider_name in (None, item.provider_name)
        and provider_type in (None, item.provider_type)
    ]


async def list_embedders(ops: Operations, caller: Caller) -> list[EmbedderInfo]:
    """Embedding models that can be used now."""
    caller.require(Scope.READ)
    return await (await ops.catalogs.of(caller.organization_id)).list_embedders()
