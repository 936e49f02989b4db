"""Runs and steps. A run's row is its checkpoint; its fence decides who may write on."""

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Table, Update, bindparam, case, exists, func, or_, select, update

from reverie.domain.callback import Callback
from reverie.domain.errors import NotFound, RunLost
from reverie.domain.events import RunFailure
from reverie.domain.ids import AgentId, ConversationId, OrganizationId, RunId, StepId, make_id
from reverie.domain.paging import Page
from reverie.domain.run import Run, RunFilter, Step, StepFilter, Usage
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.domain.trace import ToolTime
from reverie.storage import bells, callbacks
from reverie.storage.codec import load_usage
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_page
from reverie.storage.rows import TUPLE, Form, RowMap, equals, loaded_by, within
from reverie.storage.schema import agents, runs, steps, tools
from reverie.storage.together import inserted, later, named

_usage = loaded_by(load_usage)
_runs = RowMap(
    runs,
    Run,
    {
        "status": loaded_by(RunStatus),
        "stop_reason": loaded_by(StopReason),
        "usage": _usage,
        "tools_used": TUPLE,
    },
)
_times = Form(lambda items: tuple(ToolTime(**item) for item in items), list)
_steps = RowMap(
    steps, Step, {"stop_reason": loaded_by(StopReason), "usage": _usage, "tags": TUPLE, "tool_times": _times}
)

_insert = inserted(runs, "run_")
_insert_step = inserted(steps, "step_")
_held = update(runs).where(
    runs.c.id == bindparam("run"), runs.c.fence == bindparam("held"), runs.c.completed_at.is_(None)
)
_this_step = update(steps).where(steps.c.id == bindparam("step"))
_to_cancel = select(runs.c.id).where(
    runs.c.worker_id == bindparam("worker"), runs.c.completed_at.is_(None), runs.c.cancel_requested.is_(True)
)
_WAITING: Final = RunStatus.CREATED


def insert_run(c: Connection, run: Run) -> None:
    """Store a new run."""
    later(c, _insert, {f"run_{name}": value for name, value in _runs.values(run).items()})


def hold_fence(c: Connection, run: Run, values: Mapping[str, Any] | None = None) -> None:
    """Make sure, within this transaction, that `run` is still ours; set `values` on the way.

    Raises:
        RunLost: it was cancelled, ended or taken over since it was claimed.
    """

    def lost() -> RunLost:
        return RunLost(f"run {run.id!r} was ended or taken over by another worker")

    fresh = values or {"fence": run.fence}
    given = {"run": run.id, "held": run.fence, **{f"run_{name}": value for name, value in fresh.items()}}
    later(c, _setting(_held, runs, "run_", *fresh), given, lost)


@cache
def _setting(these: Update, table: Table, prefix: str, *names: str) -> Update:
    """An UPDATE of `these` rows that sets columns; every turn runs some, and building one takes longer."""
    return these.values(named(table, {name: f"{prefix}{name}" for name in names}))


def end_run(
    c: Connection,
    run: Run,
    *,
    stop_reason: StopReason,
    usage: Usage,
    now: datetime,
    ttft_ns: int | None,
    total_duration_ns: int | None,
    failure: RunFailure | None = None,
) -> None:
    """Write the final state.

    Raises:
        RunLost: somebody else ended it before.
    """
    hold_fence(
        c,
        run,
        {
            "status": stop_reason.run_status,
            "stop_reason": stop_reason,
            "usage": usage,
            "completed_at": now,
            "ttft_ns": ttft_ns,
            "total_duration_ns": total_duration_ns,
            "error": None if failure is None else failure,
        },
    )
    if run.callback_url is not None:
        callbacks.insert_callback(c, _callback(run, stop_reason, now))


def _callback(run: Run, stop_reason: StopReason, now: datetime) -> Callback:
    return Callback(
        id=make_id("callback"),
        organization_id=run.organization_id,
        owner_id=run.id,
        url=run.callback_url or "",
        payload={
            "run_id": run.id,
            "job_id": run.id,
            "agent_id": run.agent_id,
            "status": stop_reason.run_status.value,
            "stop_reason": stop_reason.value,
            "completed_at": now.isoformat(),
            "metadata": run.metadata,
        },
        due_at=now,
    )


def hold_end_off(c: Connection, run_id: RunId) -> None:
    """Let the run end only after this transaction, unless it has."""
    c.execute(select(runs.c.seq).where(runs.c.id == run_id).with_for_update(key_share=True))


def request_cancel(c: Connection, run_id: RunId) -> None:
    """Leave word for the run's driver, wherever it runs."""
    c.execute(update(runs).where(runs.c.id == run_id, runs.c.completed_at.is_(None)).values(cancel_requested=True))
    bells.ring(c, "cancel", [run_id])


def start(c: Connection, run_id: RunId, worker_id: str) -> Run:
    """Claim a run that waited; the fence of one that was put back was raised when it was taken from its driver."""
    query = update(runs).where(runs.c.id == run_id, runs.c.completed_at.is_(None))
    fence = case((runs.c.status == _WAITING, runs.c.fence + 1), else_=runs.c.fence)
    values = {"status": RunStatus.RUNNING, "worker_id": worker_id, "fence": fence}
    return _runs.record(c.execute(query.values(values).returning(runs)).mappings().one())


def take_over(c: Connection, seen: Run, worker_id: str) -> Run | None:
    """Claim a run whose worker is dead, raising its fence; None when it ended or changed hands since it was seen."""
    run = unended(c, seen.id)
    if run is None or run.fence != seen.fence:
        return None
    query = update(runs).where(runs.c.id == run.id, runs.c.fence == run.fence, runs.c.completed_at.is_(None))
    changed = c.execute(query.values(fence=run.fence + 1, worker_id=worker_id)).rowcount
    return replace(run, fence=run.fence + 1, worker_id=worker_id) if changed == 1 else None


def let_go(c: Connection, run: Run) -> None:
    """Leave a run without a driver, for whoever goes on with it.

    Raises:
        RunLost: it was cancelled, ended or taken over since it was claimed.
    """
    hold_fence(c, run, {"worker_id": None})


def live_runs(c: Connection, *, worker_ids: Sequence[str] | None = None) -> list[Run]:
    """Runs that somebody drives or drove and that have no end, oldest first; of the given workers only, if any are."""
    query = select(runs).where(runs.c.completed_at.is_(None), runs.c.worker_id.is_not(None)).order_by(runs.c.seq)
    if worker_ids is not None:
        query = query.where(runs.c.worker_id.in_(worker_ids))
    return [_runs.record(row) for row in c.execute(query).mappings()]


def to_cancel(c: Connection, worker_id: str) -> list[RunId]:
    """Runs of a worker that somebody wants to be cancelled."""
    return list(c.execute(_to_cancel, {"worker": worker_id}).scalars())


def get(c: Connection, organization_id: OrganizationId, run_id: RunId) -> Run:
    """One run.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(runs).where(runs.c.organization_id == organization_id, runs.c.id == run_id)
    row = c.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound("run", run_id)
    return _runs.record(row)


def get_any(c: Connection, run_id: RunId) -> Run:
    """One run, whoever's it is; for those who drive runs."""
    return _runs.record(c.execute(select(runs).where(runs.c.id == run_id)).mappings().one())


def get_many(c: Connection, organization_id: OrganizationId, run_ids: Sequence[str]) -> list[Run]:
    """Those of `run_ids` that are there, in no order."""
    if not run_ids:
        return []
    query = select(runs).where(runs.c.organization_id == organization_id, runs.c.id.in_(run_ids))
    return [_runs.record(row) for row in c.execute(query).mappings()]


def unended(c: Connection, run_id: RunId) -> Run | None:
    """A run, whoever's it is; None when it has ended."""
    query = select(runs).where(runs.c.id == run_id, runs.c.completed_at.is_(None))
    row = c.execute(query).mappings().one_or_none()
    return None if row is None else _runs.record(row)


def held(c: Connection, run_ids: Collection[RunId], worker_id: str) -> set[RunId]:
    """Those of `run_ids` that are still this worker's."""
    query = select(runs.c.id).where(runs.c.id.in_(run_ids), runs.c.worker_id == worker_id)
    return set(c.execute(query).scalars())


def list_page(c: Connection, organization_id: OrganizationId, where: RunFilter, page: Page) -> list[Run]:
    """A page of the runs that meet `where`."""
    conditions = _conditions(c, organization_id, where)
    if where.slower_than_percentile is not None:
        conditions.append(runs.c.total_duration_ns > _percentile(c, conditions, where.slower_than_percentile))
    query = select(runs).where(*conditions)
    return [_runs.record(row) for row in fetch_page(c, query, runs, page, organization_id, "run")]


def _conditions(c: Connection, organization_id: OrganizationId, where: RunFilter) -> list[ColumnElement[bool]]:
    conditions = [
        runs.c.organization_id == organization_id,
        *equals(
            (runs.c.id, where.run_id),
            (runs.c.conversation_id, where.conversation_id),
            (runs.c.stop_reason, where.stop_reason),
            (runs.c.background, where.background),
            (runs.c.project_id, where.project_id),
            (runs.c.base_template_id, where.base_template_id),
        ),
        *within(runs.c.created_at, where.start, where.end),
    ]
    if where.agent_ids is not None:
        conditions.append(runs.c.agent_id.in_(where.agent_ids))
    if where.statuses is not None:
        conditions.append(runs.c.status.in_(where.statuses))
    if where.tools_used:
        names = _tool_names(c, organization_id, where.tools_used)
        conditions.append(or_(*(dialect_of(c).json_list_holds(runs.c.tools_used, name) for name in names)))
    if where.step_count is not None:
        count = func.coalesce(dialect_of(c).json_integer(runs.c.usage, "step_count"), 0)
        conditions.append(_COMPARE[where.step_count_is](count, where.step_count))
    if where.duration_ns is not None:
        conditions.append(_COMPARE[where.duration_is](runs.c.total_duration_ns, where.duration_ns))
    return conditions


_COMPARE: Final[Mapping[str, Callable[[Any, int], ColumnElement[bool]]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "lt": operator.lt,
    "gte": operator.ge,
    "lte": operator.le,
}


def _tool_names(c: Connection, organization_id: OrganizationId, wanted: Sequence[str]) -> list[str]:
    """Names as they stand, and those of tools that are named by their ids."""
    named = c.execute(select(tools.c.name).where(tools.c.organization_id == organization_id, tools.c.id.in_(wanted)))
    return [*wanted, *named.scalars()]


def _percentile(c: Connection, conditions: Sequence[ColumnElement[bool]], percent: int) -> int:
    """The duration that `percent` of the ended runs among those do not exceed."""
    ended = [*conditions, runs.c.total_duration_ns.is_not(None)]
    count = int(c.execute(select(func.count()).select_from(runs).where(*ended)).scalar_one())
    place = max(0, math.ceil(count * percent / 100) - 1)
    durations = select(runs.c.total_duration_ns).where(*ended).order_by(runs.c.total_duration_ns)
    return int(c.execute(durations.offset(place).limit(1)).scalar() or 0)


def active_of(
    c: Connection,
    organization_id: OrganizationId,
    *,
    agent_id: AgentId | None = None,
    conversation_id: ConversationId | None = None,
) -> list[Run]:
    """Runs of an agent or conversation that have not ended, those that wait among them."""
    query = select(runs).where(runs.c.organization_id == organization_id, runs.c.completed_at.is_(None))
    if agent_id is not None:
        query = query.where(runs.c.agent_id == agent_id)
    if conversation_id is not None:
        query = query.where(runs.c.conversation_id == conversation_id)
    return [_runs.record(row) for row in c.execute(query.order_by(runs.c.seq)).mappings()]


def delete_run(c: Connection, run_id: RunId) -> None:
    """Remove the run and its steps; its messages stay."""
    _runs.delete(c, run_id)


def insert_step(c: Connection, step: Step) -> None:
    """Store a new step."""
    later(c, _insert_step, {f"step_{name}": value for name, value in _steps.values(step).items()})


def has_step(c: Connection, step_id: StepId) -> bool:
    """Whether the step was stored."""
    return c.execute(select(steps.c.seq).where(steps.c.id == step_id)).first() is not None


def update_step(c: Connection, step_id: StepId, values: Mapping[str, Any]) -> None:
    """Set columns by name."""
    given = {"step": step_id, **{f"step_{name}": value for name, value in values.items()}}
    later(c, _setting(_this_step, steps, "step_", *values), given)


def stop_last_step(
    c: Connection, run_id: RunId, stop_reason: StopReason, status: Literal["success", "failed", "cancelled"]
) -> None:
    """Note on the run's last step why the run stopped there; a step whose calls are open ends as `status`."""
    last = select(func.max(steps.c.seq)).where(steps.c.run_id == run_id).scalar_subquery()
    ended = case((steps.c.status == "pending", status), else_=steps.c.status)
    c.execute(update(steps).where(steps.c.seq == last).values(stop_reason=stop_reason, status=ended))


def get_step(c: Connection, organization_id: OrganizationId, step_id: StepId) -> Step:
    """One step.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(steps).where(steps.c.organization_id == organization_id, steps.c.id == step_id)
    row = c.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound("step", step_id)
    return _steps.record(row)


def list_steps(c: Connection, organization_id: OrganizationId, where: StepFilter, page: Page) -> list[Step]:
    """A page of the steps that meet `where`."""
    conditions = [
        steps.c.organization_id == organization_id,
        *equals(
            (steps.c.run_id, where.run_id),
            (steps.c.agent_id, where.agent_id),
            (steps.c.feedback, where.feedback),
        ),
        *within(steps.c.created_at, where.start, where.end),
    ]
    if where.project_id is not None:
        conditions.append(exists().where(agents.c.id == steps.c.agent_id, agents.c.project_id == where.project_id))
    if where.model is not None:
        conditions.append(or_(steps.c.model == where.model, steps.c.model_handle == where.model))
    if where.has_feedback is not None:
        judged = steps.c.feedback.is_not(None)
        conditions.append(judged if where.has_feedback else ~judged)
    if where.tags:
        conditions.append(or_(*(dialect_of(c).json_list_holds(steps.c.tags, tag) for tag in where.tags)))
    query = select(steps).where(*conditions)
    return [_steps.record(row) for row in fetch_page(c, query, steps, page, organization_id, "step")]
