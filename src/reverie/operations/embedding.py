"""Vectors for texts: a rule that operations on archives and passages share."""

from collections.abc import Sequence

import structlog

from reverie.auth.keys import Caller
from reverie.domain.errors import ModelError, NotFound
from reverie.operations.base import Operations

log = structlog.get_logger(__name__)


async def embed_texts(
    ops: Operations, caller: Caller, handle: str | None, texts: Sequence[str]
) -> list[Sequence[float] | None]:
    """One vector for each of `texts` by the model of `handle`; None for each where there is no model.

    Raises:
        NotFound: the model is not configured.
        ModelError: it failed.
    """
    if handle is None or not texts:
        return [None] * len(texts)
    embedder = await (await ops.catalogs.of(caller.organization_id)).embedder(handle)
    return list(await embedder.embed(texts))


async def embed_query(ops: Operations, caller: Caller, handle: str | None, text: str) -> Sequence[float] | None:
    """The vector of what is searched for; None where there is no model or it fails.

    Words alone still find something, and a search is no reason to fail.
    """
    try:
        return (await embed_texts(ops, caller, handle, [text]))[0]
    except (ModelError, NotFound) as error:
        log.warning("embedding_failed", model=handle, error=str(error))
        return None
