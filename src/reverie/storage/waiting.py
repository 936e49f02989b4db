"""The lines before conversations: who may write next, first come, first served, but for those who go ahead."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, delete, exists, func, insert, or_, select

from reverie.domain.ids import ConversationId, OrganizationId, RunId
from reverie.domain.inputs import Request
from reverie.storage import bells
from reverie.storage.codec import load_request
from reverie.storage.dialect import Dialect, PostgresDialect, SqliteDialect, dialect_of
from reverie.storage.schema import conversations, waiting

_HERE: Final = waiting.c.conversation_id == bindparam("conversation")
_first = select(waiting.c.id).where(_HERE).order_by(waiting.c.rank, waiting.c.seq).limit(1)
_foremost = select(func.coalesce(func.min(waiting.c.rank), 0) - 1).where(_HERE)
_leave = delete(waiting).where(waiting.c.id == bindparam("waiting_id"))
_leave_telling = _leave.returning(waiting.c.conversation_id)
_enter = insert(waiting)
_any_stored = select(exists().where(waiting.c.worker_id.is_(None)))


def _oldest_startable(dialect: Dialect) -> Select[Any]:
    earlier = waiting.alias("earlier")
    behind = exists().where(
        earlier.c.conversation_id == waiting.c.conversation_id,
        or_(
            earlier.c.rank < waiting.c.rank,
            and_(earlier.c.rank == waiting.c.rank, earlier.c.seq < waiting.c.seq),
        ),
    )
    free = and_(conversations.c.active_run_id.is_(None), ~behind)
    has_begun = conversations.c.active_run_id == waiting.c.id
    query = (
        select(waiting)
        .join(conversations, conversations.c.id == waiting.c.conversation_id)
        .where(waiting.c.worker_id.is_(None), or_(free, has_begun))
        .order_by(waiting.c.seq)
        .limit(1)
    )
    return dialect.skip_locked(query, waiting)


_startable: Final = {dialect.name: _oldest_startable(dialect) for dialect in (SqliteDialect(), PostgresDialect())}
"""Built once: building it takes longer than running it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somebody's place in a line."""

    id: str
    """Of the run that waits, or one of its own where the run is still to be made."""
    organization_id: OrganizationId
    conversation_id: ConversationId
    worker_id: str | None = None
    """The only process that may start it; None: any."""
    request: Request | None = None
    """What the run is to do; None: the process has it."""

    @property
    def run_id(self) -> RunId:
        """The run that waits here, where it waits as one."""
        return RunId(self.id)


def enter(c: Connection, place: Place, *, ahead: bool = False) -> None:
    """Stand in line, at its end or `ahead` of all. Workers are told when it is for any of them."""
    rank = c.execute(_foremost, {"conversation": place.conversation_id}).scalar_one() if ahead else 0
    c.execute(
        _enter,
        {
            "id": place.id,
            "organization_id": place.organization_id,
            "conversation_id": place.conversation_id,
            "rank": rank,
            "worker_id": place.worker_id,
            "request": place.request,
        },
    )
    if place.worker_id is None:
        bells.ring(c, "line", [place.conversation_id])


def leave(c: Connection, place_id: str) -> None:
    """Leave the line to begin."""
    c.execute(_leave, {"waiting_id": place_id})


def give_up(c: Connection, place_id: str) -> bool:
    """Leave the line for good, and let the next one know; False when the place was not there any more."""
    left = c.execute(_leave_telling, {"waiting_id": place_id}).scalar_one_or_none()
    if left is not None:
        bells.ring(c, "line", [left])
    return left is not None


def has(c: Connection, place_id: str) -> bool:
    """Whether the place is still there; a process that was taken for dead has lost its places."""
    return c.execute(select(waiting.c.seq).where(waiting.c.id == place_id)).first() is not None


def first(c: Connection, conversation_id: ConversationId) -> str | None:
    """Whose turn it is; None: nobody waits."""
    return c.execute(_first, {"conversation": conversation_id}).scalar()


def any_stored(c: Connection) -> bool:
    """Whether a run waits that any worker may start, now or later."""
    return bool(c.execute(_any_stored).scalar_one())


def startable(c: Connection) -> Place | None:
    """The run that has waited longest of those that any worker may start now; nobody else gets it meanwhile."""
    row = c.execute(_startable[dialect_of(c).name]).mappings().one_or_none()
    return None if row is None else _place(row)


def run_of_otid(c: Connection, conversation_id: str, otid: str) -> RunId | None:
    """The waiting run that was sent the input with this otid."""
    query = select(waiting).where(waiting.c.conversation_id == conversation_id, waiting.c.worker_id.is_(None))
    for row in c.execute(query.order_by(waiting.c.seq.desc())).mappings():
        place = _place(row)
        if place.request is not None and any(item.otid == otid for item in place.request.inputs):
            return RunId(place.id)
    return None


def forget_workers(c: Connection, worker_ids: list[str]) -> None:
    """Give up the places that were held for clients of processes that died."""
    gone = delete(waiting).where(waiting.c.worker_id.in_(worker_ids)).returning(waiting.c.conversation_id)
    bells.ring(c, "line", sorted(set(c.execute(gone).scalars())))


def forget_clients(c: Connection) -> None:
    """Give up all places that any process held for its clients."""
    c.execute(delete(waiting).where(waiting.c.worker_id.is_not(None)))


def _place(row: Any) -> Place:
    return Place(
        id=row["id"],
        organization_id=row["organization_id"],
        conversation_id=row["conversation_id"],
        worker_id=row["worker_id"],
        request=None if row["request"] is None else load_request(row["request"]),
    )
