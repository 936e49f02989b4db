"""Models that can be used now."""

from typing import Annotated, Literal

from fastapi import Query

from reverie.api.context import Ask
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.models import EmbeddingModelState, ModelState, embedding_model_state, model_state
from reverie.operations import models

routes = Routes("models")

Category = Annotated[list[Literal["base", "byok"]] | None, Query()]


@routes.get("/v1/models")
async def list_models(
    call: Ask,
    provider_category: Category = None,
    provider_name: str | None = None,
    provider_type: str | None = None,
) -> Json[list[ModelState]]:
    """List the chat models of the configured providers."""
    found = await models.list_models(
        call.ops,
        call.caller,
        categories=provider_category or (),
        provider_name=provider_name,
        provider_type=provider_type,
    )
    return Json([model_state(model) for model in found])


@routes.get("/v1/models/embedding")
@routes.get("/v1/models/embeddings", include_in_schema=False)
async def list_embedding_models(call: Ask) -> Json[list[EmbeddingModelState]]:
    """List the embedding models of the configured providers, the built-in one included."""
    return Json([embedding_model_state(model) for model in await models.list_embedders(call.ops, call.caller)])
