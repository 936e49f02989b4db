"""Exchanges with model providers: stored many at a time, read one at a time, removed when they are old."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection, delete, insert, select

from reverie.domain.ids import OrganizationId, StepId, TraceId, make_id
from reverie.domain.trace import Exchange, ProviderTrace
from reverie.storage.schema import provider_traces, runs, steps


@dataclass(frozen=True, slots=True)
class Packed:
    """An exchange with its content as it is stored."""

    exchange: Exchange
    content: bytes


def pack(exchange: Exchange) -> Packed:
    """Compress an exchange. Takes about a millisecond for 200 kB: not for the event loop."""
    rest = orjson.dumps(
        {"response": exchange.response, "llm_config": exchange.llm_config, "agent_tags": list(exchange.agent_tags)}
    )
    # The request is JSON already, so it is put in as it is.
    return Packed(exchange, zlib.compress(b'{"request":' + exchange.request + b"," + rest[1:], 1))


def insert_all(c: Connection, packed: Sequence[Packed]) -> int:
    """Store those whose run is still there; how many that were."""
    wanted = {item.exchange.run_id for item in packed}
    query = select(runs.c.id).where(runs.c.id.in_(wanted)).with_for_update(read=True, key_share=True)
    known = set(c.execute(query).scalars())
    rows = [
        {
            "id": make_id("provider_trace"),
            "organization_id": item.exchange.organization_id,
            "run_id": item.exchange.run_id,
            "step_id": item.exchange.step_id,
            "agent_id": item.exchange.agent_id,
            "call_type": item.exchange.call_type,
            "latency_ns": item.exchange.latency_ns,
            "content": item.content,
            "created_at": item.exchange.created_at,
        }
        for item in packed
        if item.exchange.run_id in known
    ]
    if rows:
        c.execute(insert(provider_traces), rows)
    return len(rows)


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
