"""What callers can ask for about the access tokens of web pages."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from reverie.auth.keys import PAGE_PREFIX, AccessToken, Caller, Scope, make_token
from reverie.auth.policy import Policy, origin_of
from reverie.domain.errors import InvalidInput, MalformedInput
from reverie.domain.ids import AgentId, make_id
from reverie.operations.base import Operations
from reverie.operations.known_keys import grant_columns, token_columns, tokens_of
from reverie.storage import access_tokens, agents

_DEFAULT_LIFE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeAccessToken:
    """A token at the only moment when its text is known."""

    record: AccessToken
    token: str


async def create(
    ops: Operations, caller: Caller, hostname: str, policy: Policy, expires_at: datetime | None
) -> MadeAccessToken:
    """Make a token that opens what `policy` says to pages of `hostname`, for five minutes unless said otherwise.

    Raises:
        MalformedInput: `hostname` is no address of a page.
        InvalidInput: it would have expired already.
        NotFound: the policy names an agent that does not exist.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()
    origin = origin_of(hostname)
    if origin is None:
        raise MalformedInput(
            "hostname", f"{hostname!r} is not the address of a page; give one such as https://example.com"
        )
    if expires_at is not None and expires_at <= now:
        raise InvalidInput(f"expires_at is {expires_at.isoformat()!r}, which has passed; give a time to come")
    token = make_token(prefix=PAGE_PREFIX)
    record = AccessToken(
        id=make_id("access_token"),
        digest=ops.hasher.digest(token),
        organization_id=caller.organization_id,
        user_id=caller.user_id,
        hostname=hostname,
        origin=origin,
        policy=policy,
        created_at=now,
        expires_at=expires_at or now + _DEFAULT_LIFE,
    )

    def store(c: Connection) -> None:
        for grant in policy.grants:
            agents.get(c, caller.organization_id, grant.agent_id)
        access_tokens.forget_expired(c, caller.organization_id, now)
        access_tokens.insert_token(c, token_columns(record), grant_columns(record))

    await ops.database.write(store)
    return MadeAccessToken(record=record, token=token)


async def list_tokens(
    ops: Operations, caller: Caller, *, agent_id: AgentId | None, offset: int, limit: int
) -> list[AccessToken]:
    """The organisation's tokens that have not expired, newest first."""
    caller.require(Scope.READ)
    now = ops.clock()

    def read(c: Connection) -> list[AccessToken]:
        rows = access_tokens.list_live(c, caller.organization_id, now, agent_id=agent_id, offset=offset, limit=limit)
        return tokens_of(c, rows)

    return await ops.database.read(read)


async def delete(ops: Operations, caller: Caller, token: str) -> None:
    """End a token at once, given as its text or as the id that the list shows.

    Raises:
        NotFound: the organisation has none.
    """
    caller.require(Scope.WRITE)
    digests = ops.hasher.candidates(token)
    await ops.database.write(lambda c: access_tokens.delete_token(c, caller.organization_id, token, digests))
