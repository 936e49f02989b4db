"""Batches: their requests, what became of each, and their place among all jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select, update

from reverie.domain.callback import Callback
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, BatchId, OrganizationId, RunId, make_id
from reverie.domain.job import SHOWN_ERRORS, Batch, BatchDetails, BatchItem, BatchStatus, Job
from reverie.domain.message import Message
from reverie.domain.paging import Page
from reverie.domain.stop_reason import RunStatus
from reverie.storage import callbacks, runs
from reverie.storage.codec import load_request
from reverie.storage.messages import messages_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, loaded_by
from reverie.storage.schema import batch_items, batches, messages
from reverie.storage.schema import runs as run_rows

_batches: Final = RowMap(batches, Batch, {"status": loaded_by(BatchStatus)})
_items: Final = RowMap(batch_items, BatchItem, {"request": loaded_by(load_request)})


def insert_batch(c: Connection, batch: Batch, items: Sequence[BatchItem]) -> None:
    """Store a new batch with its requests."""
    _batches.insert(c, batch)
    _items.insert(c, *items)


def newest_run(c: Connection, organization_id: OrganizationId) -> int:
    """The place of the organisation's newest run; 0: it has none."""
    query = select(func.max(run_rows.c.seq)).where(run_rows.c.organization_id == organization_id)
    return c.execute(query).scalar() or 0


def get(c: Connection, organization_id: OrganizationId, batch_id: BatchId, *, lock: bool = False) -> BatchDetails:
    """One batch; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(batches).where(batches.c.organization_id == organization_id, batches.c.id == batch_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("batch", batch_id)
    return details(c, [_batches.read(row)])[0]


def list_page(c: Connection, organization_id: OrganizationId, page: Page) -> list[BatchDetails]:
    """A page of the organisation's batches."""
    query = select(batches).where(batches.c.organization_id == organization_id)
    rows = fetch_rows(c, query, batches, page, organization_id, "batch")
    return details(c, [_batches.read(row) for row in rows])


def details(c: Connection, found: Sequence[Batch]) -> list[BatchDetails]:
    """Each batch with what became of its requests, in two queries."""
    ids = [batch.id for batch in found]
    if not ids:
        return []
    counts: dict[str, dict[str, int]] = {batch_id: {} for batch_id in ids}
    query = (
        select(
            batch_items.c.batch_id,
            run_rows.c.status,
            batch_items.c.run_id.is_not(None),
            batch_items.c.error.is_not(None),
            func.count(),
        )
        .outerjoin(run_rows, run_rows.c.id == batch_items.c.run_id)
        .where(batch_items.c.batch_id.in_(ids))
        .group_by(
            batch_items.c.batch_id,
            run_rows.c.status,
            batch_items.c.run_id.is_not(None),
            batch_items.c.error.is_not(None),
        )
    )
    for batch_id, status, accepted, refused, count in c.execute(query).all():
        word = status or (RunStatus.FAILED if accepted or refused else RunStatus.CREATED)
        counts[batch_id][word] = counts[batch_id].get(word, 0) + count
    errors: dict[str, list[dict[str, Any]]] = {}
    wrong = (
        select(batch_items.c.batch_id, batch_items.c.place, batch_items.c.agent_id, batch_items.c.error)
        .where(batch_items.c.batch_id.in_(ids), batch_items.c.error.is_not(None))
        .order_by(batch_items.c.batch_id, batch_items.c.place)
        .limit(SHOWN_ERRORS * len(ids))
    )
    for batch_id, place, agent_id, error in c.execute(wrong).all():
        errors.setdefault(batch_id, []).append({"request": place, "agent_id": agent_id, "error": error})
    return [
        BatchDetails(batch=batch, counts=counts[batch.id], errors=tuple(errors.get(batch.id, ())[:SHOWN_ERRORS]))
        for batch in found
    ]


def waiting_items(
    c: Connection, limit: int, busy: Sequence[tuple[BatchId, int]]
) -> list[tuple[OrganizationId, BatchItem]]:
    """Requests of all organisations that nobody accepted yet, oldest batch first, those of `busy` left out."""
    query = (
        select(batches.c.organization_id, batch_items)
        .join(batches, batches.c.id == batch_items.c.batch_id)
        .where(batches.c.completed_at.is_(None), batch_items.c.run_id.is_(None), batch_items.c.error.is_(None))
        .order_by(batches.c.seq, batch_items.c.place)
        .limit(limit + len(busy))
    )
    taken = set(busy)
    found = [(row[0], _items.read(row[1:])) for row in c.execute(query).all()]
    return [(owner, item) for owner, item in found if (item.batch_id, item.place) not in taken][:limit]


def claim_item(c: Connection, item: BatchItem, run_id: RunId) -> bool:
    """Say that `run_id` is the item's run; False: somebody else was first, or it was cancelled."""
    mine = (batch_items.c.batch_id == item.batch_id, batch_items.c.place == item.place)
    free = (batch_items.c.run_id.is_(None), batch_items.c.error.is_(None))
    return c.execute(update(batch_items).where(*mine, *free).values(run_id=run_id)).rowcount == 1


def refuse_item(c: Connection, item: BatchItem, error: str) -> None:
    """Say why the item will never run."""
    mine = (batch_items.c.batch_id == item.batch_id, batch_items.c.place == item.place)
    c.execute(update(batch_items).where(*mine, batch_items.c.run_id.is_(None)).values(error=error))


def request_cancel(c: Connection, batch_id: BatchId) -> list[RunId]:
    """Start nothing more of the batch; returns its runs that have not ended."""
    c.execute(update(batches).where(batches.c.id == batch_id).values(cancel_requested=True))
    waiting = (batch_items.c.batch_id == batch_id, batch_items.c.run_id.is_(None), batch_items.c.error.is_(None))
    c.execute(update(batch_items).where(*waiting).values(error="the batch was cancelled before this request began"))
    query = (
        select(run_rows.c.id)
        .join(batch_items, batch_items.c.run_id == run_rows.c.id)
        .where(batch_items.c.batch_id == batch_id, run_rows.c.completed_at.is_(None))
    )
    return list(c.execute(query).scalars())


def settle(c: Connection, now: datetime, batch_id: BatchId | None = None) -> int:
    """End the batches whose requests have all ended, with their callbacks; how many that were."""
    query = select(batches).where(batches.c.completed_at.is_(None))
    if batch_id is not None:
        query = query.where(batches.c.id == batch_id)
    rows = c.execute(query.order_by(batches.c.seq).with_for_update(skip_locked=batch_id is None)).all()
    ended = 0
    for item in details(c, [_batches.read(row) for row in rows]):
        outcome = item.outcome
        if outcome is None:
            continue
        batch, ended = item.batch, ended + 1
        c.execute(update(batches).where(batches.c.id == batch.id).values(status=outcome, completed_at=now))
        if batch.callback_url is not None:
            callbacks.insert_callback(c, _callback(batch, batch.callback_url, outcome, now))
    return ended


def _callback(batch: Batch, url: str, outcome: BatchStatus, now: datetime) -> Callback:
    return Callback(
        id=make_id("callback"),
        organization_id=batch.organization_id,
        owner_id=batch.id,
        url=url,
        payload={"job_id": batch.id, "status": outcome.value, "completed_at": now.isoformat()},
        due_at=now,
    )


def written(
    c: Connection, organization_id: OrganizationId, batch_id: BatchId, page: Page, agent_id: AgentId | None
) -> list[Message]:
    """A page of what the agents wrote in the runs of a batch."""
    mine = select(batch_items.c.run_id).where(batch_items.c.batch_id == batch_id, batch_items.c.run_id.is_not(None))
    query = select(messages).where(
        messages.c.organization_id == organization_id, messages.c.run_id.in_(mine), messages.c.step_id.is_not(None)
    )
    if agent_id is not None:
        query = query.where(messages.c.agent_id == agent_id)
    return messages_of(fetch_rows(c, query, messages, page, organization_id, "message"))


def delete_batch(c: Connection, batch_id: BatchId) -> None:
    """Remove the record of a batch; its runs stay."""
    _batches.delete(c, batch_id)


# Jobs: runs and batches in one order. A batch stands behind the newest run of its time.

_Place = tuple[int, int, int]


def list_jobs(c: Connection, organization_id: OrganizationId, page: Page, *, active: bool = False) -> list[Job]:
    """A page of the organisation's runs and batches."""
    rising = page.order == "asc"
    of_runs = select(run_rows.c.seq, run_rows.c.id).where(run_rows.c.organization_id == organization_id)
    of_batches = select(batches.c.runs_before, batches.c.seq, batches.c.id).where(
        batches.c.organization_id == organization_id
    )
    if active:
        of_runs = of_runs.where(run_rows.c.completed_at.is_(None))
        of_batches = of_batches.where(batches.c.completed_at.is_(None))
    for cursor, beyond in ((page.after, rising), (page.before, not rising)):
        if cursor is not None:
            place = _place_of(c, organization_id, cursor)
            of_runs, of_batches = _cut(of_runs, of_batches, place, rising=beyond)
    backwards = page.before is not None and page.after is None
    upwards = rising != backwards
    found = [((seq, 0, 0), job_id) for seq, job_id in c.execute(_sorted(of_runs, page, upwards=upwards)).all()]
    found += [
        ((before, 1, seq), job_id)
        for before, seq, job_id in c.execute(_sorted(of_batches, page, upwards=upwards)).all()
    ]
    found.sort(reverse=not upwards)
    ids = [job_id for _, job_id in found[: page.limit]]
    return _in_order(c, organization_id, ids[::-1] if backwards else ids)


def _sorted(query: Select[Any], page: Page, *, upwards: bool) -> Select[Any]:
    seq = query.selected_columns["seq"]
    ordered = query.order_by(seq.asc() if upwards else seq.desc())
    return ordered if page.limit is None else ordered.limit(page.limit)


def _place_of(c: Connection, organization_id: OrganizationId, job_id: str) -> _Place:
    query = select(run_rows.c.seq).where(run_rows.c.organization_id == organization_id, run_rows.c.id == job_id)
    if (seq := c.execute(query).scalar()) is not None:
        return (seq, 0, 0)
    row = c.execute(
        select(batches.c.runs_before, batches.c.seq).where(
            batches.c.organization_id == organization_id, batches.c.id == job_id
        )
    ).one_or_none()
    if row is None:
        raise NotFound("job", job_id, "page cursors are ids from an earlier page")
    return (row[0], 1, row[1])


def _cut(
    of_runs: Select[Any], of_batches: Select[Any], place: _Place, *, rising: bool
) -> tuple[Select[Any], Select[Any]]:
    run_place, is_batch, seq = place
    before, own = batches.c.runs_before, batches.c.seq
    if rising:
        same = own > seq if is_batch else before == run_place
        return (
            of_runs.where(run_rows.c.seq > run_place),
            of_batches.where(or_(before > run_place, and_(before == run_place, same))),
        )
    if is_batch:
        return (
            of_runs.where(run_rows.c.seq <= run_place),
            of_batches.where(or_(before < run_place, and_(before == run_place, own < seq))),
        )
    return of_runs.where(run_rows.c.seq < run_place), of_batches.where(before < run_place)


def _in_order(c: Connection, organization_id: OrganizationId, ids: Sequence[str]) -> list[Job]:
    found: dict[str, Job] = {
        run.id: run for run in runs.get_many(c, organization_id, [item for item in ids if item.startswith("run-")])
    }
    wanted = [item for item in ids if item not in found]
    if wanted:
        rows = c.execute(
            select(batches).where(batches.c.organization_id == organization_id, batches.c.id.in_(wanted))
        ).all()
        found |= {item.batch.id: item for item in details(c, [_batches.read(row) for row in rows])}
    return [found[item] for item in ids]
