"""How texts get into the indexes, and out: words by the databases' triggers or here, vectors here.

Words of passages, files' passages and tools are indexed by triggers, with the rows themselves. Words of
messages lie within their JSON and are taken out here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from reverie.domain.message import Message, text_of
from reverie.domain.passage import Passage
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import message_vectors_due, messages, passages
from reverie.storage.search.backends import backend_of
from reverie.storage.search.corpora import FILES, MESSAGES, PASSAGES, SEARCHED_KINDS, TOOLS, Corpus
from reverie.storage.search.signs import places_of, seal

LONGEST: Final = 200_000
"""Characters of one text that are indexed; a tsvector holds at most a megabyte. The triggers say the same."""

Placed = Sequence[tuple[int, str, Sequence[float]]]
"""Place, holder and vector of each."""


def store_messages(c: Connection, added: Sequence[Message], rows: Sequence[Mapping[str, Any]]) -> None:
    """Store `added`, whose columns are `rows`, findable by their words."""
    worded = [{**row, "words": _words_of(message)} for message, row in zip(added, rows, strict=True)]
    backend_of(c).store_messages(c, worded)


def _words_of(message: Message) -> str | None:
    """What a message is found by; None: nothing."""
    return (text_of(message.body)[:LONGEST] or None) if message.kind in SEARCHED_KINDS else None


def reindex_message(c: Connection, changed: Message) -> None:
    """Likewise for a message whose words were changed."""
    c.execute(backend_of(c).forget_message, {"id": changed.id})
    if (words := _words_of(changed)) is not None:
        c.execute(backend_of(c).add_message, {"id": changed.id, "text": words})
    seq = c.execute(select(messages.c.seq).where(messages.c.id == changed.id)).scalar_one()
    if _drop_vectors(c, MESSAGES, [seq]):
        c.execute(insert(message_vectors_due).values(seq=seq))


def index_vectors(c: Connection, added: Iterable[Passage]) -> None:
    """Store the vectors of stored passages, of those that have one."""
    with_vector = {item.id: item for item in added if item.vector is not None}
    if with_vector:
        found = select(passages.c.id, passages.c.seq).where(passages.c.id.in_(with_vector))
        placed = [(seq, with_vector[item].archive_id, with_vector[item].vector or ()) for item, seq in c.execute(found)]
        _add_vectors(c, PASSAGES, placed)


def add_message_vectors(c: Connection, placed: Placed) -> None:
    """Store vectors of messages."""
    _add_vectors(c, MESSAGES, placed)


def add_file_vectors(c: Connection, placed: Placed) -> None:
    """Store vectors of passages of files."""
    _add_vectors(c, FILES, placed)


def add_passage_vectors(c: Connection, placed: Placed) -> None:
    """Store vectors of passages that were stored without."""
    _add_vectors(c, PASSAGES, placed)


def add_tool_vectors(c: Connection, placed: Placed) -> None:
    """Store vectors of tools, in the place of those of another model."""
    _drop_vectors(c, TOOLS, [seq for seq, _, _ in placed])
    _add_vectors(c, TOOLS, placed)


def drop_archive_vectors(c: Connection, archive_id: str) -> None:
    """Remove all vectors of an archive."""
    _drop_holder(c, PASSAGES, archive_id)


def drop_folder_vectors(c: Connection, folder_id: str) -> None:
    """Remove all vectors of a folder."""
    _drop_holder(c, FILES, folder_id)


def drop_foreign_message_vectors(c: Connection, dimensions: int) -> list[int]:
    """Remove vectors of messages that have another length; returns the places."""
    bits, blocks, vectors = MESSAGES.bits, MESSAGES.blocks, MESSAGES.vectors
    foreign = c.execute(select(bits.c.seq).where(bits.c.dimensions != dimensions)).scalars().all()
    places = [*foreign, *places_of(c, MESSAGES, [blocks.c.dimensions != dimensions])]
    if not places:
        return []
    length = backend_of(c).length(vectors.c.embedding)
    backend = backend_of(c)
    there = select(vectors.c.seq).where(backend.among(vectors.c.seq), length != dimensions)
    found = list(c.execute(there, {"places": backend.listed(places)}).scalars())
    c.execute(delete(vectors).where(backend.among(vectors.c.seq)), {"places": backend.listed(found)})
    c.execute(delete(bits).where(bits.c.dimensions != dimensions))
    c.execute(delete(blocks).where(blocks.c.dimensions != dimensions))
    return found


def _add_vectors(c: Connection, corpus: Corpus, placed: Placed) -> None:
    """Store vectors; what has one already keeps it."""
    if not placed:
        return
    insert_once = dialect_of(c).insert
    c.execute(
        insert_once(corpus.vectors).on_conflict_do_nothing(),
        [{"seq": seq, corpus.owner.name: holder, "embedding": vector} for seq, holder, vector in placed],
    )
    c.execute(
        insert_once(corpus.bits).on_conflict_do_nothing(),
        [{"seq": seq, "holder": holder, "dimensions": len(vector), "bits": vector} for seq, holder, vector in placed],
    )
    for holder, dimensions in sorted({(holder, len(vector)) for _, holder, vector in placed}):
        seal(c, corpus, holder, dimensions)


def _drop_vectors(c: Connection, corpus: Corpus, places: Sequence[int]) -> int:
    """Remove vectors of these rows; returns how many there were."""
    c.execute(delete(corpus.bits).where(corpus.bits.c.seq.in_(places)))
    return c.execute(delete(corpus.vectors).where(corpus.vectors.c.seq.in_(places))).rowcount


def _drop_holder(c: Connection, corpus: Corpus, holder: str) -> None:
    c.execute(delete(corpus.bits).where(corpus.bits.c.holder == holder))
    c.execute(delete(corpus.blocks).where(corpus.blocks.c.holder == holder))
    c.execute(delete(corpus.vectors).where(corpus.owner == holder))
