"""What a request to a model and its reply look like to those who look at them later."""

from collections.abc import Sequence

from reverie.domain.events import RunFailure
from reverie.domain.json import JsonObject
from reverie.domain.message import ApprovalRequestBody, AssistantBody, ReasoningBody, ToolCallBody
from reverie.domain.provider import ModelInfo
from reverie.domain.trace import Exchange
from reverie.loop.draft import Draft
from reverie.loop.state import TurnState
from reverie.models.base import UsageChunk


def exchange_of(
    state: TurnState,
    draft: Draft,
    sent: Sequence[bytes],
    info: ModelInfo,
    *,
    latency_ns: int,
    failure: RunFailure | None = None,
) -> Exchange:
    """The exchange behind `draft`; with `failure`, what came before it is there all the same."""
    run, view = state.run, state.view
    return Exchange(
        organization_id=run.organization_id,
        agent_id=run.agent_id,
        run_id=run.id,
        step_id=draft.step_id,
        agent_tags=view.agent.tags,
        sealed_secrets=view.agent.sealed_secrets,
        llm_config={
            "handle": info.handle,
            "model": info.name,
            "model_endpoint": info.endpoint,
            "model_endpoint_type": info.provider_type,
            "provider_name": info.provider_name,
            "provider_category": info.category,
            "context_window": info.context_window,
            **view.agent.model_settings,
            **(view.conversation.model_settings or {}),
        },
        request=sent[-1] if sent else b"{}",
        response=_response(draft, info, failure),
        latency_ns=latency_ns,
        created_at=draft.started_at,
    )


def _response(draft: Draft, info: ModelInfo, failure: RunFailure | None) -> JsonObject:
    """The reply as OpenAI's chat completions have it, whatever the provider speaks."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[JsonObject] = []
    for item in draft.written():
        match item.body:
            case AssistantBody(parts=parts):
                texts += [part.text for part in parts if part.type == "text"]
            case ReasoningBody(text=text):
                thoughts.append(text)
            case ToolCallBody(calls=made) | ApprovalRequestBody(calls=made):
                calls += [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call in made
                ]
            case _:
                pass
    message: JsonObject = {"role": "assistant", "content": "".join(texts) or None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    found: JsonObject = {"object": "chat.completion", "model": info.name}
    if failure is None or texts or thoughts or calls:
        reason = None if draft.finish is None else draft.finish.reason
        found["choices"] = [{"index": 0, "message": message, "finish_reason": reason}]
    if draft.usage is not None:
        found["usage"] = _usage(draft.usage)
    if failure is not None:
        found["error"] = {"type": failure.error_type, "message": failure.message, "detail": failure.detail}
    return found


def _usage(usage: UsageChunk) -> JsonObject:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_creation_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
