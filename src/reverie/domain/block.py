"""Memory blocks: labelled texts that stay in an agent's context."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from reverie.domain.errors import InvalidInput, MalformedInput
from reverie.domain.ids import BlockId, OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.unset import UNSET, Unset

DEFAULT_LIMIT: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A labelled text that stays in the context of every agent it is attached to.

    Source: `BlockResponse` of the client SDK, read 2026-11.
    """

    id: BlockId
    organization_id: OrganizationId
    label: str
    value: str = ""
    limit: int = DEFAULT_LIMIT
    """Most characters (not tokens) that `value` may hold."""
    description: str | None = None
    """What belongs in the block; the model reads it."""
    read_only: bool = False
    """The agent's tools may not change it; the API may."""
    hidden: bool | None = None
    metadata: JsonObject = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    is_template: bool = False
    template_name: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = None
    version: int = 1
    """Counts changes of `value`; a writer that read an older one lost a race."""
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

    def with_value(self, value: str) -> "Block":
        """Return a copy holding `value`.

        Raises:
            InvalidInput: `value` is longer than `limit`.
        """
        check_fits(self.label, value, self.limit)
        return replace(self, value=value)


def overlaid(shared: Sequence[Block], own: Sequence[Block]) -> tuple[Block, ...]:
    """`shared` with the blocks of one conversation's `own` in the places of those of their labels."""
    by_label = {block.label: block for block in own}
    labels = {block.label for block in shared}
    return (
        *(by_label.get(block.label, block) for block in shared),
        *(block for block in own if block.label not in labels),
    )


def check_label(label: str) -> None:
    """Refuse a label that says nothing.

    Raises:
        InvalidInput: it is empty or white space.
    """
    if not label.strip():
        raise InvalidInput("a block's label must not be empty; choose a word that tells what the block is for")


def check_fits(label: str, value: str, limit: int) -> None:
    """Refuse a value that a block of `limit` characters cannot hold.

    Raises:
        MalformedInput: with both numbers, and what to do.
    """
    if len(value) > limit:
        raise MalformedInput(
            "value",
            f"block {label!r} holds at most {limit} characters and the new value has {len(value)}; "
            "shorten the value or raise the block's limit",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDraft:
    """A block to be made. Ids and times are given when it is stored."""

    label: str
    value: str = ""
    limit: int = DEFAULT_LIMIT
    description: str | None = None
    read_only: bool = False
    hidden: bool | None = None
    metadata: JsonObject = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    is_template: bool = False
    template_name: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChanges:
    """A partial update of a block."""

    label: str | Unset = UNSET
    value: str | Unset = UNSET
    limit: int | Unset = UNSET
    description: str | Unset | None = UNSET
    read_only: bool | Unset = UNSET
    hidden: bool | Unset | None = UNSET
    metadata: JsonObject | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    is_template: bool | Unset = UNSET
    template_name: str | Unset | None = UNSET
    project_id: str | Unset | None = UNSET
    template_id: str | Unset | None = UNSET
    base_template_id: str | Unset | None = UNSET
    deployment_id: str | Unset | None = UNSET
    entity_id: str | Unset | None = UNSET
    preserve_on_migration: bool | Unset | None = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFilter:
    """Which blocks a list holds; every given condition must hold."""

    label: str | None = None
    templates_only: bool = False
    name: str | None = None
    """Of the template."""
    project_id: str | None = None
    tags: tuple[str, ...] = ()
    match_all_tags: bool = False
    identity_id: str | None = None
    identifier_keys: tuple[str, ...] = ()
    label_search: str | None = None
    """Part of the label, without regard to case; the other searches alike."""
    description_search: str | None = None
    value_search: str | None = None
    min_agents: int | None = None
    """Attached to at least so many agents."""
    max_agents: int | None = None
    agent_counts: tuple[int, ...] = ()
    """Attached to exactly one of these numbers of agents."""
    include_hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChange:
    """One change of a block's value: who made it, when, before and after."""

    version: int
    """The block's version since this change; the first value is version 1."""
    before: str
    after: str
    actor: JsonObject
    """`{"kind": "agent", "agent_id", "run_id", "tool"}` or `{"kind": "api", "user_id", "key_id"}`.

    What a sleeptime agent changed has a `reason` too: the agent and the conversation that it reviewed.
    """
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVersion:
    """What a block held, and from when to when."""

    version: int
    value: str
    since: datetime
    until: datetime | None
    """None: it holds it still."""
    actor: JsonObject | None
    """Who made it so; None for the value that the block was made with."""
