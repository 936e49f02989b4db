"""What blocks held before: every change of a value, as `blocks.change_value` keeps them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from reverie.domain.block import Block, BlockChange, BlockVersion
from reverie.domain.errors import MalformedInput, NotFound
from reverie.domain.paging import Page
from reverie.storage.rows import RowMap
from reverie.storage.schema import block_changes

_map = RowMap(block_changes, BlockChange, {})


def list_page(c: Connection, block: Block, page: Page) -> list[BlockChange]:
    """A page of the block's changes; cursors are version numbers.

    Raises:
        MalformedInput: a cursor that is no number.
    """
    version = block_changes.c.version
    query = _changes_of(block)
    rising = page.order == "asc"
    if page.after is not None:
        after = _number(page.after, "after")
        query = query.where(version > after if rising else version < after)
    if page.before is not None:
        before = _number(page.before, "before")
        query = query.where(version < before if rising else version > before)
    backwards = page.before is not None and page.after is None
    query = query.order_by(version.asc() if rising != backwards else version.desc()).limit(page.limit)
    found = [_map.read(row) for row in c.execute(query).all()]
    return found[::-1] if backwards else found


def get_version(c: Connection, block: Block, version: int) -> BlockVersion:
    """What the block held as of `version`.

    Raises:
        NotFound: it has had no such version.
    """
    if not 1 <= version <= block.version:
        raise NotFound("block version", str(version), f"block {block.id!r} has versions 1 to {block.version}")
    made = _one(c, _changes_of(block).where(block_changes.c.version == version))
    ended = _one(c, _changes_of(block).where(block_changes.c.version == version + 1))
    return _version(block, made, ended)


def as_of(c: Connection, block: Block, moment: datetime) -> BlockVersion:
    """What the block held at `moment`.

    Raises:
        NotFound: it did not exist then.
    """
    if moment < block.created_at:
        raise NotFound("block", block.id, f"it was made later, at {block.created_at.isoformat()}")
    changes = _changes_of(block)
    rising, falling = block_changes.c.version.asc(), block_changes.c.version.desc()
    made = _one(c, changes.where(block_changes.c.created_at <= moment).order_by(falling).limit(1))
    ended = _one(c, changes.where(block_changes.c.created_at > moment).order_by(rising).limit(1))
    return _version(block, made, ended)


def _changes_of(block: Block) -> Select[Any]:
    return select(block_changes).where(block_changes.c.block_id == block.id)


def _one(c: Connection, query: Select[Any]) -> BlockChange | None:
    row: Row[Any] | None = c.execute(query).one_or_none()
    return None if row is None else _map.read(row)


def _version(block: Block, made: BlockChange | None, ended: BlockChange | None) -> BlockVersion:
    return BlockVersion(
        version=1 if made is None else made.version,
        value=block.value if ended is None else ended.before,
        since=block.created_at if made is None else made.created_at,
        until=None if ended is None else ended.created_at,
        actor=None if made is None else made.actor,
    )


def _number(cursor: str, field: str) -> int:
    if not cursor.isdecimal():
        raise MalformedInput(
            field, f"{cursor!r} is not a version number; cursors of a block's history are its versions"
        )
    return int(cursor)


def of_blocks(c: Connection, blocks: Sequence[Block]) -> dict[str, tuple[BlockChange, ...]]:
    """All changes of each block that has any, oldest first."""
    query = select(block_changes).where(block_changes.c.block_id.in_([block.id for block in blocks]))
    found: dict[str, list[BlockChange]] = {}
    for row in c.execute(query.order_by(block_changes.c.seq)).all():
        found.setdefault(row.block_id, []).append(_map.read(row))
    return {block_id: tuple(changes) for block_id, changes in found.items()}


def insert_past(c: Connection, block: Block, changes: Sequence[BlockChange]) -> None:
    """Store changes that a new block had before it came here, each with its own time."""
    common = {"organization_id": block.organization_id, "block_id": block.id}
    if changes:
        c.execute(insert(block_changes), [{**_map.values(change), **common} for change in changes])
