"""Identities on the wire. Source: `Identity`, `IdentityCreate` and kin, API description, read 2026-11."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body, changes_of
from reverie.domain.identity import (
    Identity,
    IdentityChanges,
    IdentityDetails,
    IdentityDraft,
    IdentityProperty,
    IdentityType,
    PropertyType,
)
from reverie.domain.ids import AgentId, BlockId
from reverie.domain.json import JsonObject

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
AgentIdText: TypeAlias = Annotated[str, Field(pattern=rf"^agent-{_UUID}$")]
BlockIdText: TypeAlias = Annotated[str, Field(pattern=rf"^block-{_UUID}$")]


class IdentityPropertyState(TypedDict):
    """A fact that a client keeps with an identity."""

    key: str
    value: str | int | float | bool | JsonObject
    type: PropertyType


class IdentityState(TypedDict):
    """Someone whom agents and blocks belong to."""

    id: str
    identifier_key: str
    name: str
    identity_type: Literal["org", "user", "other"]
    project_id: str | None
    agent_ids: list[str]
    block_ids: list[str]
    properties: list[IdentityPropertyState]


def identity_state(details: IdentityDetails) -> IdentityState:
    """The identity as clients read it."""
    identity = details.identity
    return {
        "id": identity.id,
        "identifier_key": identity.identifier_key,
        "name": identity.name,
        "identity_type": identity.identity_type.value,
        "project_id": identity.project_id,
        "agent_ids": list(details.agent_ids),
        "block_ids": list(details.block_ids),
        "properties": [{"key": item.key, "value": item.value, "type": item.type} for item in identity.properties],
    }


def owner_state(identity: Identity) -> IdentityState:
    """The same inside an agent's answer, without what else the identity is attached to.

    Many agents of one identity would each list all the others, and a page of them would grow
    with the square of their number. The retired server leaves both lists empty everywhere.
    """
    return identity_state(IdentityDetails(identity=identity))


class IdentityPropertyBody(Body):
    """A fact to be kept with an identity."""

    key: str
    value: str | int | float | bool | dict[str, Any]
    type: PropertyType

    def to_domain(self) -> IdentityProperty:
        """The property as the identity holds it."""
        return IdentityProperty(key=self.key, value=self.value, type=self.type)


class IdentityCreate(Body):
    """An identity to be made or, with PUT, brought up to date by its key."""

    identifier_key: str
    name: str
    identity_type: IdentityType
    project_id: str | None = None
    agent_ids: list[AgentIdText] | None = None
    block_ids: list[BlockIdText] | None = None
    properties: list[IdentityPropertyBody] | None = None

    def to_domain(self, project_id: str | None = None) -> IdentityDraft:
        """The draft, which is stored whole or not at all; `project_id` where the body names no other."""
        return IdentityDraft(
            identifier_key=self.identifier_key,
            name=self.name,
            identity_type=self.identity_type,
            properties=None if self.properties is None else properties_of(self.properties),
            project_id=self.project_id or project_id,
            agent_ids=None if self.agent_ids is None else tuple(AgentId(item) for item in self.agent_ids),
            block_ids=None if self.block_ids is None else tuple(BlockId(item) for item in self.block_ids),
        )


class IdentityUpdate(Body):
    """A partial update of an identity; what is not sent stays, and lists add to what is there."""

    identifier_key: str | None = None
    name: str | None = None
    identity_type: IdentityType | None = None
    agent_ids: list[AgentIdText] | None = None
    block_ids: list[BlockIdText] | None = None
    properties: list[IdentityPropertyBody] | None = None

    def to_domain(self) -> IdentityChanges:
        """The changes that operations apply."""
        given = self.given()
        if self.properties is not None:
            given["properties"] = properties_of(self.properties)
        return changes_of(IdentityChanges, given)


def properties_of(bodies: list[IdentityPropertyBody]) -> tuple[IdentityProperty, ...]:
    """The properties that a client sent, in its order."""
    return tuple(item.to_domain() for item in bodies)
