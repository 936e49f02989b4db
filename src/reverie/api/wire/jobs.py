"""Jobs and batches on the wire. Source: `Job`, `BatchJob`, `CreateBatch` and kin, API description, read 2026-11."""

from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.encode.raw import RawMessage, raw_call, raw_fields
from reverie.api.wire.base import Body, Metadata
from reverie.api.wire.messages import SendMessages
from reverie.domain.content import ImagePart, Part, ToolReturn
from reverie.domain.job import MOST_REQUESTS, BatchDetails, Job
from reverie.domain.json import JsonObject
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    AssistantBody,
    EventBody,
    Message,
    PromptBody,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
)
from reverie.domain.message import Body as MessageBody
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus


class JobState(TypedDict):
    """A run or a batch."""

    id: str
    job_type: Literal["run", "batch"]
    status: str
    stop_reason: str | None
    metadata: Metadata
    background: bool
    agent_id: str | None
    callback_url: str | None
    callback_sent_at: datetime | None
    callback_status_code: int | None
    callback_error: str | None
    created_at: datetime
    updated_at: datetime | None
    completed_at: datetime | None
    ttft_ns: int | None
    total_duration_ns: int | None
    created_by_id: str | None
    last_updated_by_id: str | None


class BatchMessages(TypedDict):
    """What agents wrote in a batch."""

    messages: list[RawMessage]


class BatchRequestBody(SendMessages):
    """A request to one agent."""

    agent_id: str = Field(pattern=r"^agent-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


class CreateBatch(Body):
    """Requests to many agents."""

    requests: Annotated[list[BatchRequestBody], Field(min_length=1, max_length=MOST_REQUESTS)]
    callback_url: str | None = Field(default=None, pattern=r"^https?://", max_length=2083)


def job_state(job: Job) -> JobState:
    """The run or batch as clients of jobs read it."""
    return _run_job(job) if isinstance(job, Run) else _batch_job(job)


def _run_job(run: Run) -> JobState:
    return {
        "id": run.id,
        "job_type": "run",
        "status": run.status.value,
        "stop_reason": None if run.stop_reason is None else run.stop_reason.value,
        "metadata": run.metadata,
        "background": run.background,
        "agent_id": run.agent_id,
        "callback_url": run.callback_url,
        "callback_sent_at": run.callback_sent_at,
        "callback_status_code": run.callback_status_code,
        "callback_error": run.callback_error,
        "created_at": run.created_at,
        "updated_at": run.completed_at,
        "completed_at": run.completed_at,
        "ttft_ns": run.ttft_ns,
        "total_duration_ns": run.total_duration_ns,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def _batch_job(found: BatchDetails) -> JobState:
    batch = found.batch
    counts = {status.value: found.counts.get(status, 0) for status in RunStatus}
    took = None if batch.completed_at is None else batch.completed_at - batch.created_at
    return {
        "id": batch.id,
        "job_type": "batch",
        "status": found.status.value,
        "stop_reason": None,
        "metadata": {
            "request_counts": {"total": sum(found.counts.values()), **counts},
            "errors": list(found.errors),
        },
        "background": True,
        "agent_id": None,
        "callback_url": batch.callback_url,
        "callback_sent_at": batch.callback_sent_at,
        "callback_status_code": batch.callback_status_code,
        "callback_error": batch.callback_error,
        "created_at": batch.created_at,
        "updated_at": batch.completed_at,
        "completed_at": batch.completed_at,
        "ttft_ns": None,
        "total_duration_ns": None if took is None else int(took.total_seconds() * 1e9),
        "created_by_id": batch.created_by_id,
        "last_updated_by_id": batch.created_by_id,
    }


def message_record(message: Message) -> RawMessage:
    """The message by its role."""
    said = _of_words(message.body) or _of_acts(message.body)
    return cast(RawMessage, raw_fields(message) | {"conversation_id": message.conversation_id} | said)


def _of_words(body: MessageBody) -> dict[str, Any] | None:
    match body:
        case UserBody(parts=parts):
            return {"role": "user", "content": _content(parts)}
        case AssistantBody(parts=parts):
            return {"role": "assistant", "content": _content(parts)}
        case SystemBody(parts=parts):
            return {"role": "system", "content": _content(parts)}
        case PromptBody(text=text):
            return {"role": "system", "content": [_text(text)]}
        case SummaryBody(text=text):
            return {"role": "summary", "content": [_text(text)]}
        case EventBody(event_type=event_type, data=data):
            return {"role": "system", "content": [_text(f"{event_type}: {data}")]}
        case _:
            return None


def _of_acts(body: MessageBody) -> dict[str, Any]:
    match body:
        case ReasoningBody():
            return {"role": "assistant", "content": [_reasoning(body)]}
        case ToolCallBody(calls=calls):
            return {"role": "assistant", "tool_calls": [raw_call(call) for call in calls]}
        case ApprovalRequestBody(calls=calls):
            return {"role": "approval", "tool_calls": [raw_call(call) for call in calls]}
        case ApprovalResponseBody():
            return _answered(body)
        case ToolReturnBody(returns=returns):
            return {
                "role": "tool",
                "content": [_text(item.text) for item in returns],
                "tool_call_id": returns[0].tool_call_id if returns else None,
                "tool_returns": [_return(item) for item in returns],
            }
        case _:
            return {"role": "system"}


def _answered(body: ApprovalResponseBody) -> dict[str, Any]:
    decisions: list[JsonObject] = [
        {"type": "approval", "tool_call_id": item.tool_call_id, "approve": item.approve, "reason": item.reason}
        for item in body.decisions
    ]
    return {
        "role": "approval",
        "approval_request_id": body.request_id,
        "approve": all(item.approve for item in body.decisions) if body.decisions else None,
        "denial_reason": next((item.reason for item in body.decisions if not item.approve), None),
        "approvals": [*decisions, *(_return(item) for item in body.returns)],
    }


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _content(parts: tuple[Part, ...]) -> list[JsonObject]:
    return [
        {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
        if isinstance(part, ImagePart)
        else _text(part.text)
        for part in parts
    ]


def _reasoning(thought: ReasoningBody) -> JsonObject:
    if thought.redacted is not None:
        return {"type": "redacted_reasoning", "data": thought.redacted}
    return {"type": "reasoning", "reasoning": thought.text, "is_native": True, "signature": thought.signature}


def _return(item: ToolReturn) -> JsonObject:
    return {
        "tool_call_id": item.tool_call_id,
        "status": item.status,
        "stdout": list(item.stdout),
        "stderr": list(item.stderr),
        "func_response": item.text,
    }
