"""Access tokens of pages on the wire. Source: `AccessTokenCreateParams` and kin, client SDK, read 2026-11."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.auth.keys import AccessToken
from reverie.auth.policy import Access, Grant, Policy
from reverie.domain.ids import AgentId

_AgentIdText = Annotated[str, Field(pattern=r"^agent-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]


class GrantState(TypedDict):
    """What a token opens of one agent."""

    type: Literal["agent"]
    id: str
    access: list[Literal["read_messages", "write_messages", "read_agent", "write_agent"]]


class PolicyState(TypedDict):
    """Everything that a token opens."""

    version: Literal["1"]
    data: list[GrantState]


class AccessTokenState(TypedDict):
    """A token. Its text is shown when it is made; afterwards its id stands in its place."""

    token: str
    hostname: str
    policy: PolicyState
    expiresAt: str


class AccessTokenList(TypedDict):
    """A page of tokens."""

    tokens: list[AccessTokenState]
    hasNextPage: bool


def token_state(record: AccessToken, text: str | None = None) -> AccessTokenState:
    """The token as clients read it; with `text` when it was made just now."""
    return {
        "token": text or record.id,
        "hostname": record.hostname,
        "policy": {"version": "1", "data": [_grant_state(grant) for grant in record.policy.grants]},
        "expiresAt": record.expires_at.isoformat(),
    }


def _grant_state(grant: Grant) -> GrantState:
    return {"type": "agent", "id": grant.agent_id, "access": [item.value for item in grant.access]}


class GrantBody(Body):
    """What a token shall open of one agent."""

    type: Literal["agent"]
    id: _AgentIdText
    access: list[Access] = Field(min_length=1)

    def to_domain(self) -> Grant:
        """The grant."""
        return Grant(agent_id=AgentId(self.id), access=tuple(dict.fromkeys(self.access)))


class AccessTokenCreate(Body):
    """A token to be made."""

    hostname: str = Field(pattern=r"^(?i:https?)://", max_length=2000)
    policy: list[GrantBody] = Field(min_length=1, max_length=1000)
    expires_at: datetime | None = None

    def to_domain(self) -> Policy:
        """What it shall open."""
        return Policy(tuple(item.to_domain() for item in self.policy))
