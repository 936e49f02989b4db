"""Word between processes that share a database: that something happened, never what it was.

On PostgreSQL a bell is a NOTIFY, which is heard when the transaction that rings it has committed.
SQLite has one process, which needs no bells. Whoever listens looks at the database, and looks
now and then without a bell, so that one that was not heard costs time and nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, get_args

from sqlalchemy import Connection, Insert, Select, bindparam, func, literal_column, select

from reverie.storage.dialect import dialect_of

Bell: TypeAlias = Literal["line", "events", "cancel", "work", "workers", "providers"]
"""A conversation's line moved; events of runs were stored; a run is to be cancelled; a kind of work is there; a
process lives; an organisation's providers changed."""
Chore: TypeAlias = Literal["batches", "ingest", "schedules", "vectors"]
"""Names of `work`."""
Heard: TypeAlias = Callable[[Bell, str], None]

CHANNEL: Final = "reverie"
_LONGEST: Final = 7_000
"""PostgreSQL takes up to 8,000 bytes."""
_ring = select(func.pg_notify(CHANNEL, bindparam("text")))


def ring(c: Connection, bell: Bell, names: Iterable[str]) -> None:
    """Ring within a transaction."""
    if not dialect_of(c).rings():
        return
    for text in _texts(bell, names):
        c.execute(_ring, {"text": text})


def ring_with(c: Connection, write: Insert, given: Mapping[str, Any], bell: Bell, name: str) -> None:
    """Write, by a statement that is built once, and ring by the same one where there is anybody to hear it."""
    if dialect_of(c).rings():
        c.execute(_ringing(write), {**given, "text": f"{bell} {name}"})
    else:
        c.execute(write, given)


@lru_cache(maxsize=64)
def _ringing(write: Insert) -> Select[Any]:
    return _ring.add_cte(write.returning(literal_column("1").label("one")).cte("written"))


def hear(text: str, heard: Heard) -> None:
    """Tell `heard` of each name in what was notified."""
    bell, *names = text.split()
    if bell in get_args(Bell):
        for name in names:
            heard(bell, name)  # type: ignore[arg-type]  # it was just looked up among them


def _texts(bell: Bell, names: Iterable[str]) -> list[str]:
    texts: list[str] = [bell]
    for name in names:
        if len(texts[-1]) + len(name) >= _LONGEST:
            texts.append(bell)
        texts[-1] += f" {name}"
    return [text for text in texts if text != bell]
