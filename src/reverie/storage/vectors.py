"""What waits for a vector: messages, and passages of archives whose embedding model changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from reverie.domain.ids import OrganizationId
from reverie.domain.message import text_of
from reverie.domain.passage import Archive
from reverie.storage.codec import body_of
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import (
    archives,
    message_vectors_due,
    messages,
    passage_vectors_due,
    passages,
)
from reverie.storage.search import (
    add_message_vectors,
    add_passage_vectors,
    drop_archive_vectors,
    drop_foreign_message_vectors,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One text that waits for a vector."""

    seq: int
    holder: str
    """Its agent, or its archive."""
    organization_id: OrganizationId
    handle: str | None
    """The model of its archive; None for messages, which have the server's own."""
    text: str


def messages_due(c: Connection, limit: int) -> list[Due]:
    """Messages that wait, the newest first: they are looked for most."""
    query = (
        select(messages.c.seq, messages.c.agent_id, messages.c.organization_id, messages.c.body)
        .join(message_vectors_due, message_vectors_due.c.seq == messages.c.seq)
        .order_by(message_vectors_due.c.seq.desc())
        .limit(limit)
    )
    return [
        Due(seq=seq, holder=agent, organization_id=owner, handle=None, text=text_of(body_of(body)))
        for seq, agent, owner, body in c.execute(query).all()
    ]


def passages_due(c: Connection, limit: int, above: int = 0) -> list[Due]:
    """Passages that wait, of one archive at a time, behind place `above`."""
    query = (
        select(passages.c.seq, passages.c.archive_id, passages.c.organization_id, archives.c.embedding, passages.c.text)
        .join(passage_vectors_due, passage_vectors_due.c.seq == passages.c.seq)
        .join(archives, archives.c.id == passages.c.archive_id)
        .where(passage_vectors_due.c.seq > above)
        .order_by(passage_vectors_due.c.seq)
        .limit(limit)
    )
    found = [
        Due(seq=seq, holder=archive, organization_id=owner, handle=handle, text=text)
        for seq, archive, owner, handle, text in c.execute(query).all()
    ]
    return [item for item in found if item.holder == found[0].holder]


def settle_messages(c: Connection, vectors: Mapping[int, Sequence[float]], embedded: Sequence[Due]) -> None:
    """Store vectors by place. Whoever has none among `embedded` is not asked about again."""
    still = {item.seq: item for item in messages_at(c, [item.seq for item in embedded])}
    same = [item for item in embedded if item.seq in still and still[item.seq].text == item.text]
    add_message_vectors(c, [(item.seq, item.holder, vectors[item.seq]) for item in same if item.seq in vectors])
    c.execute(delete(message_vectors_due).where(message_vectors_due.c.seq.in_([item.seq for item in same])))


def messages_at(c: Connection, places: Sequence[int]) -> list[Due]:
    """These messages as they are now."""
    query = select(messages.c.seq, messages.c.agent_id, messages.c.organization_id, messages.c.body).where(
        messages.c.seq.in_(places)
    )
    return [
        Due(seq=seq, holder=agent, organization_id=owner, handle=None, text=text_of(body_of(body)))
        for seq, agent, owner, body in c.execute(query).all()
    ]


def settle_passages(c: Connection, vectors: Mapping[int, Sequence[float]], embedded: Sequence[Due]) -> None:
    """Store vectors of one archive's passages, unless its model changed once more meanwhile."""
    first = embedded[0]
    archive = select(archives.c.embedding).where(archives.c.id == first.holder).with_for_update()
    if c.execute(archive).scalar_one_or_none() != first.handle:
        return
    waiting = select(passage_vectors_due.c.seq).where(passage_vectors_due.c.seq.in_([item.seq for item in embedded]))
    places = set(c.execute(waiting).scalars().all())
    placed = [(item.seq, item.holder, vectors[item.seq]) for item in embedded if item.seq in places & set(vectors)]
    add_passage_vectors(c, placed)
    c.execute(delete(passage_vectors_due).where(passage_vectors_due.c.seq.in_(places)))
    if placed:
        dimensions = len(placed[0][2])
        c.execute(update(archives).where(archives.c.id == first.holder).values(embedding_dim=dimensions))


def change_model(c: Connection, archive: Archive, handle: str | None, now: datetime) -> Archive:
    """Let another model serve an archive: words find its passages until their vectors are made again."""
    changed = replace(archive, embedding=handle, embedding_dim=None, updated_at=now)
    values = {"embedding": handle, "embedding_dim": None, "updated_at": now}
    c.execute(update(archives).where(archives.c.id == archive.id).values(values))
    drop_archive_vectors(c, archive.id)
    if handle is not None:
        places = select(passages.c.seq).where(passages.c.archive_id == archive.id)
        # An upsert from a SELECT needs a WHERE on SQLite, and this one has it.
        c.execute(dialect_of(c).insert(passage_vectors_due).from_select(["seq"], places).on_conflict_do_nothing())
    return changed


def keep_model_of_messages(c: Connection, dimensions: int) -> int:
    """Make vectors of messages wait again that the server's model did not make; returns how many.

    Only their length tells, so a change between models of equal length has to be asked for.
    """
    places = drop_foreign_message_vectors(c, dimensions)
    if places:
        c.execute(dialect_of(c).insert(message_vectors_due).on_conflict_do_nothing(), [{"seq": seq} for seq in places])
    return len(places)


def count_due(c: Connection) -> tuple[int, int]:
    """How many messages and passages wait."""
    of_messages = c.execute(select(func.count()).select_from(message_vectors_due)).scalar_one()
    of_passages = c.execute(select(func.count()).select_from(passage_vectors_due)).scalar_one()
    return int(of_messages), int(of_passages)


def await_vectors(c: Connection, ids: Sequence[str]) -> None:
    """Let these passages wait for vectors."""
    places = select(passages.c.seq).where(passages.c.id.in_(ids))
    c.execute(insert(passage_vectors_due).from_select(["seq"], places))
