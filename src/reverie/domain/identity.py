"""Identities: the people and organisations that agents and blocks belong to, by the client's own keys."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from reverie.domain.ids import AgentId, BlockId, IdentityId, OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.unset import UNSET, Unset

PropertyType: TypeAlias = Literal["string", "number", "boolean", "json"]


class IdentityType(StrEnum):
    """What an identity stands for. Source: `IdentityType`, API description, read 2026-11."""

    ORG = "org"
    USER = "user"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProperty:
    """A fact that a client keeps with an identity."""

    key: str
    value: str | int | float | bool | JsonObject
    type: PropertyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Someone whom the client knows. What it is attached to is stored beside it.

    Source: `Identity` of the API description, read 2026-11.
    """

    id: IdentityId
    organization_id: OrganizationId
    identifier_key: str
    """The client's own name for it; no two of one project, or of none, share it."""
    name: str
    identity_type: IdentityType
    properties: tuple[IdentityProperty, ...] = ()
    """No two of one key."""
    project_id: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityDetails:
    """An identity with what it is attached to, in the order of age."""

    identity: Identity
    agent_ids: tuple[AgentId, ...] = ()
    block_ids: tuple[BlockId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityDraft:
    """An identity to be made or, by its key, brought up to date."""

    identifier_key: str
    name: str
    identity_type: IdentityType
    properties: tuple[IdentityProperty, ...] | None = None
    """None, here and below: none for a fresh identity, and whatever a known one has."""
    project_id: str | None = None
    agent_ids: tuple[AgentId, ...] | None = None
    block_ids: tuple[BlockId, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityChanges:
    """A partial update of an identity. Lists add to what is there, properties by their keys."""

    identifier_key: str | Unset = UNSET
    name: str | Unset = UNSET
    identity_type: IdentityType | Unset = UNSET
    properties: tuple[IdentityProperty, ...] | Unset = UNSET
    agent_ids: tuple[AgentId, ...] | Unset = UNSET
    block_ids: tuple[BlockId, ...] | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFilter:
    """Which identities a list holds; every given condition must hold."""

    name: str | None = None
    """Part of the name, without regard to case."""
    identifier_key: str | None = None
    identity_type: IdentityType | None = None
    project_id: str | None = None


def merge_properties(
    before: tuple[IdentityProperty, ...], given: tuple[IdentityProperty, ...]
) -> tuple[IdentityProperty, ...]:
    """`before` with `given` in the place of those of the same key; of several given, the last one counts."""
    return tuple({item.key: item for item in (*before, *given)}.values())
