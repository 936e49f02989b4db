"""Exchanges with model providers: stored many at a time, read one at a time, removed when they are old."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import (
    ARRAY,
    Boolean,
    Connection,
    FromClause,
    Insert,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.types import TypeEngine

from reverie.domain.ids import OrganizationId, StepId, TraceId, make_id
from reverie.domain.trace import Exchange, ProviderTrace
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import provider_traces, runs, sandbox_variables, steps

_NAMES: Final = tuple(name for name in provider_traces.columns.keys() if name != "seq")


def _stored(given: FromClause) -> Insert:
    """Stores the rows of `given`, and tells the ids of those that it stored."""
    has_variables = exists().where(sandbox_variables.c.organization_id == given.c.organization_id)
    found = (
        select(*given.c[_NAMES])
        .join_from(given, runs, runs.c.id == given.c.run_id)
        .where(or_(given.c.knows_variables, ~has_variables))
        .with_for_update(read=True, key_share=True, of=runs)
    )
    return insert(provider_traces).from_select(_NAMES, found).returning(provider_traces.c.id)


_TYPES: Final[dict[str, TypeEngine[Any]]] = {name: provider_traces.c[name].type for name in _NAMES} | {
    "knows_variables": Boolean()
}
_store_each: Final = _stored(
    select(*(bindparam(name, type_=kind).label(name) for name, kind in _TYPES.items())).subquery("given")
)
_store_all: Final = _stored(
    func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _TYPES.items()))
    .table_valued(*(column(name, kind) for name, kind in _TYPES.items()))
    .render_derived("given")
)


@dataclass(frozen=True, slots=True)
class Packed:
    """An exchange with its content as it is stored."""

    id: TraceId
    exchange: Exchange
    content: bytes
    knows_variables: bool
    """Whether the variables of the organisation's sandbox were looked for in the content, and none is left there."""


def pack(exchange: Exchange, *, knows_variables: bool) -> Packed:
    """Compress an exchange. Takes about a millisecond for 200 kB."""
    rest = orjson.dumps(
        {"response": exchange.response, "llm_config": exchange.llm_config, "agent_tags": list(exchange.agent_tags)}
    )
    # The request is JSON already, so it is put in as it is.
    content = zlib.compress(b'{"request":' + exchange.request + b"," + rest[1:], 1)
    return Packed(TraceId(make_id("provider_trace")), exchange, content, knows_variables)


def insert_all(c: Connection, packed: Sequence[Packed]) -> set[TraceId]:
    """Store, by one statement where each is a journey, those whose run is still there; the ids of those.

    Who does not know of the variables of an organisation that has some is passed over.
    """
    rows = [
        {
            "id": item.id,
            "organization_id": item.exchange.organization_id,
            "run_id": item.exchange.run_id,
            "step_id": item.exchange.step_id,
            "agent_id": item.exchange.agent_id,
            "call_type": item.exchange.call_type,
            "latency_ns": item.exchange.latency_ns,
            "content": item.content,
            "created_at": item.exchange.created_at,
            "knows_variables": item.knows_variables,
        }
        for item in packed
    ]
    if dialect_of(c).writes_together():
        return set(c.execute(_store_all, {name: [row[name] for row in rows] for name in _TYPES}).scalars())
    return {stored for row in rows for stored in c.execute(_store_each, row).scalars()}


def of_step(c: Connection, organization_id: OrganizationId, step_id: StepId) -> ProviderTrace | None:
    """The exchange behind a step; None: it was not kept, or is not any more."""
    query = (
        select(provider_traces)
        .join(steps, steps.c.run_id == provider_traces.c.run_id)
        .where(
            steps.c.id == step_id,
            provider_traces.c.organization_id == organization_id,
            provider_traces.c.step_id == step_id,
        )
    )
    row = c.execute(query).mappings().first()
    if row is None:
        return None
    content = orjson.loads(zlib.decompress(row["content"]))
    return ProviderTrace(
        id=TraceId(row["id"]),
        organization_id=organization_id,
        agent_id=row["agent_id"],
        run_id=row["run_id"],
        step_id=row["step_id"],
        call_type=row["call_type"],
        agent_tags=tuple(content["agent_tags"]),
        llm_config=content["llm_config"],
        request=content["request"],
        response=content["response"],
        latency_ns=row["latency_ns"],
        created_at=row["created_at"],
    )


def remove_older(c: Connection, moment: datetime, limit: int) -> int:
    """Remove up to `limit` of those begun before `moment`, oldest first; how many that were.

    They are stored about in the order of their time, so the first young one ends the search and no
    index of times is needed.
    """
    query = select(provider_traces.c.seq, provider_traces.c.created_at).order_by(provider_traces.c.seq).limit(limit)
    old = [seq for seq, created_at in c.execute(query).all() if created_at < moment]
    if old:
        c.execute(delete(provider_traces).where(provider_traces.c.seq.in_(old)))
    return len(old)
