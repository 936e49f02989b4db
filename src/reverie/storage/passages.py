"""Passages: rows, their tags, and their places in the index."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select

from reverie.domain.agent import Agent
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, OrganizationId, PassageId, make_id
from reverie.domain.paging import Page
from reverie.domain.passage import Archive, Passage, PassageDraft, SearchHit, SearchQuery
from reverie.storage import archives
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import TUPLE, RowMap
from reverie.storage.schema import agent_archives, passage_tags, passage_vectors, passage_vectors_due, passages
from reverie.storage.schema import archives as archive_rows
from reverie.storage.search import (
    Scores,
    index_vectors,
    passage_wish,
    passages_by_words,
    search_passages,
    vector_length,
)
from reverie.storage.search.backends import Backend, backend_of

_map = RowMap(passages, Passage, {"tags": TUPLE}, absent=frozenset({"vector"}))


def insert_passages(
    c: Connection, archive: Archive, drafts: Sequence[PassageDraft], now: datetime, author: str | None = None
) -> list[Passage]:
    """Add passages to an archive, in order.

    Raises:
        InvalidInput: a vector of another length than those the archive holds.
    """
    if not drafts:
        return []
    added = [_passage(archive, draft, now, author) for draft in drafts]
    _map.insert(c, *added)
    tags = [{"passage_id": item.id, "tag": tag, "archive_id": archive.id} for item in added for tag in item.tags]
    if tags:
        c.execute(insert(passage_tags), tags)
    archives.grow(c, archive, len(added), [len(item.vector) for item in added if item.vector is not None], now)
    index_vectors(c, added)
    return added


def insert_for_agent(
    c: Connection,
    agent: Agent,
    text: str,
    *,
    tags: Sequence[str],
    vector: Sequence[float] | None,
    now: datetime,
    created_at: datetime | None = None,
    author: str | None = None,
) -> Passage:
    """Add to the agent's archive, which is made when there is none."""
    archive = archives.own_archive(c, agent, now, author)
    fitting = _fitting(archive, vector)
    draft = PassageDraft(text=text, tags=tuple(tags), created_at=created_at, vector=fitting)
    (added,) = insert_passages(c, archive, [draft], now, author)
    if fitting is None and archive.embedding is not None:
        # The model could not be reached, or is not the archive's: the background makes the vector.
        place = select(passages.c.seq).where(passages.c.id == added.id)
        c.execute(insert(passage_vectors_due).from_select(["seq"], place))
    return added


def get(c: Connection, organization_id: OrganizationId, passage_id: str) -> Passage:
    """One passage.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(passages).where(passages.c.organization_id == organization_id, passages.c.id == passage_id)
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("passage", passage_id)
    return _map.read(row)


def get_many(c: Connection, organization_id: OrganizationId, ids: Sequence[str]) -> list[Passage]:
    """The passages of `ids` that exist, in the order of `ids`."""
    backend = backend_of(c)
    rows = c.execute(_many(backend), {"organization": organization_id, "ids": backend.listed(ids)}).all()
    found = {row.id: _map.read(row) for row in rows}
    return [found[item] for item in ids if item in found]


@cache
def _many(backend: Backend) -> Select[Any]:
    """Built once: every search ends with it."""
    return select(passages).where(
        passages.c.organization_id == bindparam("organization"), backend.among(passages.c.id, "ids")
    )


def list_page(c: Connection, organization_id: OrganizationId, archive_ids: Sequence[str], page: Page) -> list[Passage]:
    """A page of the archives' passages, by the time they speak of."""
    query = select(passages).where(
        passages.c.organization_id == organization_id, passages.c.archive_id.in_(archive_ids)
    )
    rows = fetch_rows(c, query, passages, page, organization_id, "passage", by_time=True)
    return [_map.read(row) for row in rows]


def update_passage(c: Connection, archive: Archive, before: Passage, after: Passage) -> Passage:
    """Store what differs; with another text its words and its vector change too.

    Raises:
        InvalidInput: a vector of another length than those the archive holds.
    """
    if before.text != after.text:
        # Its words, its vector and its tags hang on the row and go with it.
        c.execute(delete(passages).where(passages.c.id == before.id))
        _map.insert(c, after)
        archives.grow(c, archive, 0, [] if after.vector is None else [len(after.vector)], after.updated_at)
        index_vectors(c, [after])
    else:
        _map.update(c, before, after)
        c.execute(delete(passage_tags).where(passage_tags.c.passage_id == after.id))
    tags = [{"passage_id": after.id, "tag": tag, "archive_id": archive.id} for tag in dict.fromkeys(after.tags)]
    if tags:
        c.execute(insert(passage_tags), tags)
    return after


def vector_bytes(c: Connection, organization_id: OrganizationId) -> int:
    """Size of all vectors of the organisation's archives: 4 bytes for each number."""
    numbers = vector_length(c, passage_vectors.c.embedding)
    query = (
        select(func.coalesce(func.sum(numbers), 0))
        .join(passages, passages.c.seq == passage_vectors.c.seq)
        .where(passages.c.organization_id == organization_id)
    )
    return int(c.execute(query).scalar_one()) * 4


def delete_passage(c: Connection, archive: Archive, passage_id: str, now: datetime) -> None:
    """Remove one passage.

    Raises:
        NotFound: the archive has none of that id.
    """
    gone = c.execute(delete(passages).where(passages.c.archive_id == archive.id, passages.c.id == passage_id))
    if not gone.rowcount:
        raise NotFound("passage", passage_id, f"it is not in archive {archive.id!r}")
    archives.grow(c, archive, -1, (), now)


def search(
    c: Connection, organization_id: OrganizationId, archive_ids: Sequence[str], query: SearchQuery
) -> list[tuple[Passage, SearchHit]]:
    """Search these archives, best first, with what made each rank where it does."""
    return _of_hits(c, organization_id, search_passages(c, organization_id, archive_ids, query))


def _of_hits(
    c: Connection, organization_id: OrganizationId, hits: Sequence[SearchHit]
) -> list[tuple[Passage, SearchHit]]:
    found = {item.id: item for item in get_many(c, organization_id, [hit.id for hit in hits])}
    return [(found[PassageId(hit.id)], hit) for hit in hits if hit.id in found]


def wishes(c: Connection, within: Sequence[Archive], text: str) -> dict[str, str]:
    """What of `text` to make vectors of, to search these archives with; by embedding model."""
    return {
        handle: passage_wish(c, group[0].organization_id, [archive.id for archive in group], text)
        for handle, group in _by_model(within).items()
        if handle is not None
    }


def search_each(
    c: Connection,
    within: Sequence[Archive],
    query: SearchQuery,
    vectors: Mapping[str, Sequence[float]],
    words: Sequence[Scores | None] | None = None,
) -> list[tuple[Passage, SearchHit]]:
    """Search archives of any embedding models, best first: each with the query's own vector, or that of its model.

    Where there is none, as for a model that failed, words alone are searched. `words` is what `by_words` found already.
    """
    found: list[tuple[Passage, SearchHit]] = []
    parts = [*_parts(within, query, vectors)]
    for (organization_id, archive_ids, whole), scores in zip(parts, words or [None] * len(parts), strict=True):
        found += _of_hits(c, organization_id, search_passages(c, organization_id, archive_ids, whole, scores))
    return sorted(found, key=lambda item: -item[1].score)[: query.limit]


def by_words(c: Connection, within: Sequence[Archive], query: SearchQuery) -> list[Scores]:
    """The part of `search_each` that needs no vector, for a query with words."""
    return [passages_by_words(c, *part) for part in _parts(within, query, {})]


def _parts(
    within: Sequence[Archive], query: SearchQuery, vectors: Mapping[str, Sequence[float]]
) -> Iterator[tuple[OrganizationId, list[str], SearchQuery]]:
    """Archives of one embedding model each, and the query as it is put to them."""
    # Without words the newest are wanted, whatever model their archives have.
    for handle, group in _by_model(within, told_apart=bool(query.text)).items():
        vector = query.vector if query.vector is not None or handle is None else vectors.get(handle)
        yield group[0].organization_id, [archive.id for archive in group], replace(query, vector=vector)


def _by_model(within: Sequence[Archive], *, told_apart: bool = True) -> dict[str | None, list[Archive]]:
    groups: dict[str | None, list[Archive]] = {}
    for archive in within:
        if archive.passage_count:
            groups.setdefault(archive.embedding if told_apart else None, []).append(archive)
    return groups


def archive_ids_of(c: Connection, organization_id: OrganizationId, agent_id: AgentId) -> Sequence[str]:
    """Ids of the archives that the agent searches."""
    query = (
        select(archive_rows.c.id)
        .join(agent_archives, agent_archives.c.archive_id == archive_rows.c.id)
        .where(agent_archives.c.agent_id == agent_id, archive_rows.c.organization_id == organization_id)
        .order_by(archive_rows.c.seq)
    )
    return c.execute(query).scalars().all()


def _fitting(archive: Archive, vector: Sequence[float] | None) -> Sequence[float] | None:
    # The agent's embedding model may have been changed since its archive was made. The text is
    # kept and found by its words; mixing vectors of two models would find nonsense.
    if vector is None or archive.embedding_dim in (None, len(vector)):
        return vector
    return None


def _passage(archive: Archive, draft: PassageDraft, now: datetime, author: str | None) -> Passage:
    return Passage(
        id=PassageId(make_id("passage")),
        organization_id=archive.organization_id,
        archive_id=archive.id,
        text=draft.text,
        tags=tuple(dict.fromkeys(draft.tags)),
        metadata=draft.metadata,
        created_at=draft.created_at or now,
        updated_at=now,
        created_by_id=author,
        last_updated_by_id=author,
        vector=draft.vector,
    )
