"""What waits for a vector: messages, and passages of archives whose embedding model changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, insert, or_, select, update

from reverie.domain.ids import OrganizationId
from reverie.domain.message import MessageKind, text_of
from reverie.domain.passage import Archive
from reverie.storage.codec import body_of
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import (
    agents,
    archives,
    message_vectors_due,
    messages,
    passage_vectors_due,
    passages,
    workers,
)
from reverie.storage.search import (
    add_message_vectors,
    add_passage_vectors,
    drop_archive_vectors,
    drop_foreign_message_vectors,
)

EMBEDDED_KINDS: Final = (MessageKind.USER, MessageKind.ASSISTANT)
"""Messages that get vectors; the triggers say the same."""
_AGENTS_AT_ONCE: Final = 500


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


def any_due(c: Connection) -> bool:
    """Whether messages or passages wait, claimed or not."""
    return bool(c.execute(_any_due).scalar_one())


def is_due(c: Connection, due: Table) -> bool:
    """Whether anything waits in one of the tables, claimed or not."""
    return bool(c.execute(select(exists(select(due.c.seq)))).scalar_one())


_any_due = select(or_(exists(select(message_vectors_due.c.seq)), exists(select(passage_vectors_due.c.seq))))


def unwanted(c: Connection, organization_id: OrganizationId | None, agent_id: str | None) -> bool:
    """Whether there are agents whose messages get no vectors so far: this one, those of an organisation, or any."""
    return bool(c.execute(select(exists(_without(organization_id, agent_id)))).scalar_one())


def want_of(c: Connection, organization_id: OrganizationId | None, agent_id: str | None) -> None:
    """Let messages of these agents get vectors: those to come, and from now on those that are there wait for theirs."""
    ids = c.execute(_without(organization_id, agent_id)).scalars().all()
    for start in range(0, len(ids), _AGENTS_AT_ONCE):
        some = ids[start : start + _AGENTS_AT_ONCE]
        c.execute(update(agents).where(agents.c.id.in_(some)).values(finds_by_meaning=True))
        places = select(messages.c.seq).where(messages.c.agent_id.in_(some), messages.c.kind.in_(EMBEDDED_KINDS))
        c.execute(dialect_of(c).insert(message_vectors_due).from_select(["seq"], places).on_conflict_do_nothing())


def _without(organization_id: OrganizationId | None, agent_id: str | None) -> Select[Any]:
    query = select(agents.c.id).where(~agents.c.finds_by_meaning)
    if organization_id is not None:
        query = query.where(agents.c.organization_id == organization_id)
    return query if agent_id is None else query.where(agents.c.id == agent_id)


def newest_due(c: Connection, organization_id: OrganizationId, agent_id: str | None, limit: int) -> list[Due]:
    """Messages that wait, whoever claimed them, of one agent or of all, the newest first."""
    due = message_vectors_due
    query = select(due.c.seq).join(messages, messages.c.seq == due.c.seq)
    query = query.where(messages.c.organization_id == organization_id)
    if agent_id is not None:
        query = query.where(messages.c.agent_id == agent_id)
    return messages_at(c, c.execute(query.order_by(due.c.seq.desc()).limit(limit)).scalars().all())


def claim_messages(c: Connection, worker_id: str, limit: int) -> list[Due]:
    """Take messages that wait, the newest first: they are looked for most."""
    query = _free(message_vectors_due, worker_id).order_by(message_vectors_due.c.seq.desc()).limit(limit)
    return messages_at(c, _claim(c, message_vectors_due, query, worker_id))


def claim_passages(c: Connection, worker_id: str, limit: int, above: int = 0) -> list[Due]:
    """Take passages that wait, of one archive at a time, behind place `above`."""
    due = passage_vectors_due
    first = (
        select(passages.c.archive_id)
        .join(due, due.c.seq == passages.c.seq)
        .where(due.c.seq > above, _unclaimed(due, worker_id))
        .order_by(due.c.seq)
        .limit(1)
    )
    query = _free(due, worker_id).join(passages, passages.c.seq == due.c.seq)
    query = query.where(due.c.seq > above, passages.c.archive_id == first.scalar_subquery())
    places = _claim(c, due, query.order_by(due.c.seq).limit(limit), worker_id)
    texts = (
        select(passages.c.seq, passages.c.archive_id, passages.c.organization_id, archives.c.embedding, passages.c.text)
        .join(archives, archives.c.id == passages.c.archive_id)
        .where(passages.c.seq.in_(places))
        .order_by(passages.c.seq)
    )
    return [
        Due(seq=seq, holder=archive, organization_id=owner, handle=handle, text=text)
        for seq, archive, owner, handle, text in c.execute(texts).all()
    ]


def _unclaimed(due: Table, worker_id: str) -> ColumnElement[bool]:
    """Whether nobody else works on it: nobody does, or somebody did whose process is forgotten."""
    alive = select(workers.c.id).where(workers.c.id != worker_id)
    return or_(due.c.worker_id.is_(None), due.c.worker_id.not_in(alive))


def _free(due: Table, worker_id: str) -> Select[Any]:
    return select(due.c.seq).where(_unclaimed(due, worker_id)).with_for_update(of=due, skip_locked=True)


def _claim(c: Connection, due: Table, query: Select[Any], worker_id: str) -> Sequence[int]:
    places = c.execute(query).scalars().all()
    c.execute(update(due).where(due.c.seq.in_(places)).values(worker_id=worker_id))
    return places


def settle_messages(c: Connection, vectors: Mapping[int, Sequence[float]], embedded: Sequence[Due]) -> None:
    """Store vectors by place. Whoever has none among `embedded` is not asked about again."""
    still = {item.seq: item for item in messages_at(c, [item.seq for item in embedded])}
    same = [item for item in embedded if item.seq in still and still[item.seq].text == item.text]
    add_message_vectors(c, [(item.seq, item.holder, vectors[item.seq]) for item in same if item.seq in vectors])
    c.execute(delete(message_vectors_due).where(message_vectors_due.c.seq.in_([item.seq for item in same])))


def messages_at(c: Connection, places: Sequence[int]) -> list[Due]:
    """These messages as they are now, the newest first."""
    query = (
        select(messages.c.seq, messages.c.agent_id, messages.c.organization_id, messages.c.body)
        .where(messages.c.seq.in_(places))
        .order_by(messages.c.seq.desc())
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
