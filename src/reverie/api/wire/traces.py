"""Exchanges with providers, and the spans of a run. Source: `ProviderTrace`, client SDK, read 2026-11.

Spans have the columns of OpenTelemetry's exporter to ClickHouse, which is what clients of the
retired server read, and the names of spans that they look for.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from reverie.domain.json import JsonObject
from reverie.domain.run import Run, Step
from reverie.domain.trace import ProviderTrace

SERVICE: Final = "reverie"


class ProviderTraceState(TypedDict):
    """What was sent to a model provider, and its reply."""

    id: str
    request_json: JsonObject
    response_json: JsonObject
    step_id: str | None
    agent_id: str | None
    agent_tags: list[str] | None
    call_type: str | None
    run_id: str | None
    source: str | None
    org_id: str | None
    compaction_settings: JsonObject | None
    llm_config: JsonObject | None
    billing_context: None
    latency_ms: int | None
    created_at: datetime
    updated_at: datetime | None
    created_by_id: str | None
    last_updated_by_id: str | None


class Span(TypedDict):
    """A part of a run that took time. Durations are nanoseconds."""

    Timestamp: datetime
    TraceId: str
    SpanId: str
    ParentSpanId: str
    SpanName: str
    SpanKind: str
    ServiceName: str
    SpanAttributes: dict[str, str]
    Duration: int
    StatusCode: Literal["Unset", "Ok", "Error"]
    StatusMessage: str


def provider_trace_state(trace: ProviderTrace) -> ProviderTraceState:
    """The exchange as clients read it."""
    return {
        "id": trace.id,
        "request_json": trace.request,
        "response_json": trace.response,
        "step_id": trace.step_id,
        "agent_id": trace.agent_id,
        "agent_tags": list(trace.agent_tags),
        "call_type": trace.call_type,
        "run_id": trace.run_id,
        "source": SERVICE,
        "org_id": trace.organization_id,
        "compaction_settings": None,
        "llm_config": trace.llm_config,
        "billing_context": None,
        "latency_ms": trace.latency_ns // 1_000_000,
        "created_at": trace.created_at,
        "updated_at": None,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def spans_of(run: Run, steps: Sequence[Step], now: datetime) -> list[Span]:
    """The spans of a run, the root first, the others by their time."""
    end = run.completed_at or now
    took = run.total_duration_ns
    root = _span(
        run,
        "",
        run.id,
        "agent_run",
        run.created_at,
        int((end - run.created_at).total_seconds() * 1e9) if took is None else took,
        code="Unset" if run.completed_at is None else "Error" if run.error else "Ok",
        message=str((run.error or {}).get("message") or ""),
        **{
            "agent.id": run.agent_id,
            "conversation.id": run.conversation_id,
            "run.id": run.id,
            "run.status": run.status.value,
            "run.stop_reason": None if run.stop_reason is None else run.stop_reason.value,
        },
    )
    below = [span for step in steps for span in _of_step(run, step)]
    if run.ttft_ns is not None:
        below.append(_span(run, root["SpanId"], f"{run.id}ttft", "time_to_first_token", run.created_at, run.ttft_ns))
    return [root, *sorted(below, key=lambda span: span["Timestamp"])]


def _of_step(run: Run, step: Step) -> Iterator[Span]:
    failed = step.error_data or {}
    code: Literal["Ok", "Error"] = "Error" if step.status == "failed" else "Ok"
    tools = step.tool_times or ()
    model_ns, tools_ns = step.model_ns or 0, step.tools_ns or 0
    took = max([model_ns + tools_ns, *(item.start_ns + item.took_ns - _ns(step.created_at) for item in tools)])
    usage: dict[str, Any] = {
        "gen_ai.request.model": step.model,
        "gen_ai.provider.name": step.provider_name,
        "gen_ai.usage.input_tokens": step.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": step.usage.completion_tokens,
    }
    whole = _span(
        run,
        _span_id(run.id),
        step.id,
        "agent_step",
        step.created_at,
        took,
        code=code,
        message=str(failed.get("message") or ""),
        **{"step.id": step.id, "step.status": step.status, **usage},
    )
    yield whole
    mine = whole["SpanId"]
    if step.model_ns is not None:
        yield _span(run, mine, f"{step.id}model", "model_request", step.created_at, model_ns, code=code, **usage)
    for item in tools:
        yield _span(
            run,
            mine,
            step.id + item.tool_call_id,
            f"{item.name}._execute_tool",
            datetime.fromtimestamp(0, UTC) + timedelta(microseconds=item.start_ns // 1000),
            item.took_ns,
            code="Ok" if item.status == "success" else "Error",
            **{"tool.name": item.name, "tool.call_id": item.tool_call_id},
        )


def _span(
    run: Run,
    parent: str,
    key: str,
    name: str,
    start: datetime,
    took_ns: int,
    *,
    code: Literal["Unset", "Ok", "Error"] = "Ok",
    message: str = "",
    **attributes: Any,
) -> Span:
    return {
        "Timestamp": start,
        "TraceId": run.id.partition("-")[2].replace("-", ""),
        "SpanId": _span_id(key),
        "ParentSpanId": parent,
        "SpanName": name,
        "SpanKind": "Internal",
        "ServiceName": SERVICE,
        "SpanAttributes": {name: str(value) for name, value in attributes.items() if value is not None},
        "Duration": took_ns,
        "StatusCode": code,
        "StatusMessage": message,
    }


def _span_id(key: str) -> str:
    return blake2b(key.encode(), digest_size=8).hexdigest()


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000_000)
