"""Access tokens of pages: what lets a browser talk to some agents without a key."""

from typing import Annotated, Any

from fastapi import Body, Path, Query

from reverie.api.context import Ask
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.access_tokens import AccessTokenCreate, AccessTokenList, AccessTokenState, token_state
from reverie.domain.clock import aware
from reverie.domain.ids import AgentId
from reverie.operations import access_tokens

routes = Routes("access-tokens")


@routes.post("/v1/client-side-access-tokens", status_code=201)
async def create_access_token(body: AccessTokenCreate, call: Ask) -> Json[AccessTokenState]:
    """Make a token that pages of one host may use for some agents. Its text is shown now and never again."""
    made = await access_tokens.create(call.ops, call.caller, body.hostname, body.to_domain(), aware(body.expires_at))
    return Json(token_state(made.record, made.token), 201)


@routes.get("/v1/client-side-access-tokens")
async def list_access_tokens(
    call: Ask,
    agent_id: Annotated[
        str | None, Query(alias="agentId", description="Only those that open something of this agent.")
    ] = None,
    offset: Annotated[float, Query(ge=0, le=1e9)] = 0,
    limit: Annotated[float, Query(ge=1, le=1000)] = 10,
) -> Json[AccessTokenList]:
    """List the tokens that have not expired, newest first, each by an id that deletes it."""
    wanted = int(limit)
    found = await access_tokens.list_tokens(
        call.ops,
        call.caller,
        agent_id=None if agent_id is None else AgentId(agent_id),
        offset=int(offset),
        limit=wanted + 1,
    )
    return Json({"tokens": [token_state(item) for item in found[:wanted]], "hasNextPage": len(found) > wanted})


@routes.delete("/v1/client-side-access-tokens/{token}")
async def delete_access_token(
    token: Annotated[str, Path(min_length=1, max_length=200, description="The token, or its id in the list.")],
    call: Ask,
    body: Annotated[dict[str, Any] | None, Body()] = None,
) -> Json[dict[str, Any]]:
    """End a token at once; give its text, or the id that the list shows."""
    await access_tokens.delete(call.ops, call.caller, token)
    # The description says 204, which both SDKs take, but the Python one only while it is not asked to be strict.
    return Json({})
