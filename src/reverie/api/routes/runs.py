"""Runs."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Depends, Header, Query

from reverie.api.context import (
    AgentQuery,
    Ask,
    Call,
    CursorQuery,
    LimitQuery,
    ListQuery,
    Newest100,
    Oldest100,
    OrderBy,
    RunPath,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import wire_list
from reverie.api.encode.sse import EventStream, StreamView
from reverie.api.wire.base import MOST, Order
from reverie.api.wire.messages import RetrieveStream
from reverie.api.wire.readers import reader_of, view_of
from reverie.api.wire.runs import (
    RunMetrics,
    RunState,
    StepState,
    UsageState,
    run_metrics,
    run_state,
    step_state,
    usage_state,
)
from reverie.api.wire.traces import Span, spans_of
from reverie.domain.clock import aware
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import RunId, check_id
from reverie.domain.paging import Page
from reverie.domain.run import RunFilter
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.operations import messages, runs

routes = Routes("runs")

_LIVE = (RunStatus.CREATED, RunStatus.RUNNING)

Statuses = Annotated[list[RunStatus] | None, Query()]


async def _page(
    limit: LimitQuery = 100,
    after: CursorQuery = None,
    before: CursorQuery = None,
    order: Order = "desc",
    ascending: bool | None = None,
) -> Page:
    return Page(limit=limit, after=after, before=before, order="asc" if ascending else order)


async def _filter(
    agent_id: AgentQuery = None,
    agent_ids: ListQuery = None,
    statuses: Statuses = None,
    background: bool | None = None,
    stop_reason: StopReason | None = None,
    conversation_id: str | None = None,
    active: bool = False,
) -> RunFilter:
    wanted = [check_id(item, "agent", "agent_ids") for item in agent_ids or ()] + ([agent_id] if agent_id else [])
    named = None if statuses is None else frozenset(statuses)
    if active:
        named = frozenset(_LIVE) if named is None else named & frozenset(_LIVE)
    return RunFilter(
        agent_ids=wanted or None,
        conversation_id=None if conversation_id is None else messages.thread_of(conversation_id, agent_id),
        statuses=None if named is None else sorted(named),
        stop_reason=stop_reason,
        background=background,
    )


RunsPage = Annotated[Page, Depends(_page)]
Where = Annotated[RunFilter, Depends(_filter)]


LastEvent = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=MOST,
        description="`seq_id` of the last event the reader has, where the body names none in `starting_after`.",
    ),
]


async def follow(call: Call, run_id: RunId, wish: RetrieveStream, last_event: int | None) -> EventStream:
    """Read a run along, as its first reader did, from the event after the one the reader has."""
    run = await runs.retrieve(call.ops, call.caller, run_id)
    seen = reader_of(run)
    reader = StreamView(
        view=view_of(seen),
        tokens=bool(seen.get("stream_tokens")),
        numbered=True,
        pings=bool(wish.include_pings),
        ping_interval_s=call.options.ping_interval_s,
        after=wish.starting_after if "starting_after" in wish.model_fields_set else last_event or 0,
    )
    # From the start: the encoder counts what it would have sent, so that numbers are the same.
    return EventStream(await runs.follow(call.ops, call.caller, run_id), reader)


@routes.get("/v1/runs")
async def list_runs(call: Ask, where: Where, page: RunsPage, order_by: OrderBy = "created_at") -> Json[list[RunState]]:
    """List runs; every given condition must hold."""
    return Json([run_state(run) for run in await runs.list_runs(call.ops, call.caller, where, page)])


@routes.get("/v1/_internal_runs", include_in_schema=False)
async def search_runs(
    call: Ask,
    where: Where,
    page: RunsPage,
    order_by: Literal["created_at", "duration"] = "created_at",
    run_id: Annotated[str | None, Query(pattern=r"^(run|job)-")] = None,
    template_family: str | None = None,
    project_id: str | None = None,
    step_count: Annotated[int | None, Query(ge=0, le=1_000_000)] = None,
    step_count_operator: Literal["eq", "gte", "lte"] = "eq",
    tools_used: ListQuery = None,
    duration_percentile: Annotated[int | None, Query(ge=1, le=100)] = None,
    duration_value: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    duration_operator: Literal["gt", "lt", "eq"] | None = None,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
) -> Json[list[RunState]]:
    """List runs by what they did and how long they took; every given condition must hold."""
    if (duration_value is None) != (duration_operator is None):
        raise MalformedInput("duration_operator", "send duration_value and duration_operator together")
    whole = replace(
        where,
        run_id=run_id,
        base_template_id=template_family,
        project_id=project_id,
        step_count=step_count,
        step_count_is=step_count_operator,
        tools_used=tools_used or (),
        slower_than_percentile=duration_percentile,
        duration_ns=duration_value,
        duration_is=duration_operator or "gt",
        start=aware(start_date),
        end=aware(end_date),
    )
    ordered = replace(page, order_by="total_duration_ns") if order_by == "duration" else page
    return Json([run_state(run) for run in await runs.list_runs(call.ops, call.caller, whole, ordered)])


@routes.get("/v1/runs/active")
async def list_active_runs(
    call: Ask, agent_id: AgentQuery = None, agent_ids: ListQuery = None, background: bool | None = None
) -> Json[list[RunState]]:
    """List runs that have not ended."""
    where = await _filter(agent_id=agent_id, agent_ids=agent_ids, background=background, active=True)
    return Json([run_state(run) for run in await runs.list_runs(call.ops, call.caller, where, Page(limit=1000))])


@routes.get("/v1/runs/{run_id}")
async def retrieve_run(run_id: RunPath, call: Ask) -> Json[RunState]:
    """Retrieve a run."""
    return Json(run_state(await runs.retrieve(call.ops, call.caller, RunId(run_id))))


@routes.delete("/v1/runs/{run_id}")
async def delete_run(run_id: RunPath, call: Ask) -> Json[dict[str, Any]]:
    """Delete the record of an ended run; its messages stay."""
    await runs.delete(call.ops, call.caller, RunId(run_id))
    return Json({"message": f"run {run_id} is deleted"})


@routes.get("/v1/runs/{run_id}/messages")
async def list_run_messages(run_id: RunPath, call: Ask, page: Oldest100) -> Json[list[WireMessage]]:
    """List the messages that the run was given and wrote."""
    found = await runs.list_messages(call.ops, call.caller, RunId(run_id), page.page())
    run = await runs.retrieve(call.ops, call.caller, RunId(run_id))
    return Json(wire_list(found, view_of({**reader_of(run), "include_compaction_messages": True}),
                          newest_first=page.order == "desc"))  # fmt: skip


@routes.get("/v1/runs/{run_id}/steps")
async def list_run_steps(run_id: RunPath, call: Ask, page: Newest100) -> Json[list[StepState]]:
    """List the run's steps."""
    found = await runs.list_steps(call.ops, call.caller, RunId(run_id), page.page())
    return Json([step_state(step) for step in found])


@routes.get("/v1/runs/{run_id}/usage")
async def retrieve_run_usage(run_id: RunPath, call: Ask) -> Json[UsageState]:
    """What the run used."""
    return Json(usage_state((await runs.retrieve(call.ops, call.caller, RunId(run_id))).usage))


@routes.get("/v1/runs/{run_id}/metrics")
async def retrieve_run_metrics(run_id: RunPath, call: Ask) -> Json[RunMetrics]:
    """How long the run took."""
    run = await runs.retrieve(call.ops, call.caller, RunId(run_id))
    return Json(run_metrics(run, await runs.tools_used(call.ops, call.caller, run)))


@routes.get("/v1/runs/{run_id}/trace")
async def retrieve_run_trace(
    run_id: RunPath, call: Ask, limit: Annotated[int, Query(ge=1, le=5000)] = 1000
) -> Json[list[Span]]:
    """Spans of the run: itself, its time to the first token, its steps, their model requests and tools."""
    run, steps = await runs.trace(call.ops, call.caller, RunId(run_id), limit)
    return Json(spans_of(run, steps, call.clock())[:limit])


@routes.post("/v1/runs/{run_id}/stream", responses={410: {}})
async def stream_run(
    run_id: RunPath,
    call: Ask,
    body: Annotated[RetrieveStream | None, Body()] = None,
    last_event: LastEvent = None,
) -> EventStream:
    """Follow a run from the event after `starting_after`; a run that has ended is replayed."""
    return await follow(call, RunId(run_id), body or RetrieveStream(), last_event)
