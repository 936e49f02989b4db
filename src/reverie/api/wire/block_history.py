"""The past of blocks on the wire: an addition of ours, which the API it speaks does not have."""

from datetime import datetime

from typing_extensions import TypedDict

from reverie.domain.block import BlockChange, BlockVersion
from reverie.domain.json import JsonObject


class BlockChangeState(TypedDict):
    """One change of a block's value."""

    version: int
    previous_value: str
    value: str
    actor: JsonObject
    created_at: datetime


class BlockVersionState(TypedDict):
    """What a block held, and from when to when."""

    version: int
    value: str
    since: datetime
    until: datetime | None
    actor: JsonObject | None


class BlockDiffState(TypedDict):
    """What changed between two versions."""

    diff: str


def change_state(change: BlockChange) -> BlockChangeState:
    """The change as clients read it."""
    return {
        "version": change.version,
        "previous_value": change.before,
        "value": change.after,
        "actor": change.actor,
        "created_at": change.created_at,
    }


def version_state(version: BlockVersion) -> BlockVersionState:
    """The version as clients read it."""
    return {
        "version": version.version,
        "value": version.value,
        "since": version.since,
        "until": version.until,
        "actor": version.actor,
    }
