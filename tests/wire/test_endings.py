"""Every way a run may end, by the SDK's words: the run, its last step, the answer and the stream say the same."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from letta_client import APIStatusError, Letta
from letta_client.types import AgentState
from tests.support.provider import Provider
from tests.support.replies import Answer, ReplyPart, call, fail, reply, say, think
from tests.support.waiting import until
from tests.wire.samples import ANTHROPIC_MODEL, bare_agent, echo_source

pytestmark = pytest.mark.one_database("sqlite")

TOOL = "echo_at_the_end"
USAGE, ERROR = "usage_statistics", "error_message"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What leads to it, and what is told of it."""

    replies: tuple[Answer | ReplyPart, ...]
    """Of the model; the last one again and again."""
    status: str
    stop_reason: str
    step: str | None = "success"
    """Status of the last step, which bears the run's stop reason."""
    messages: tuple[str, ...] = ("assistant_message",)
    error_type: str | None = None
    http_status: int = 200
    agent: dict[str, Any] = field(default_factory=dict)
    max_steps: int = 5
    gated: bool = False


CALLED = ("tool_call_message", "tool_return_message")
ENDINGS = {
    "the model has said all": Ending(replies=(say("Done."),), status="completed", stop_reason="end_turn"),
    "a model that says nothing more after its tools": Ending(
        replies=(call(TOOL, text="a"), say("")), status="completed", stop_reason="end_turn", messages=CALLED
    ),
    "a tool that ends the turn": Ending(
        replies=(call(TOOL, text="a"),),
        agent={"tool_rules": [{"type": "exit_loop", "tool_name": TOOL}]},
        status="completed",
        stop_reason="tool_rule",
        messages=CALLED,
    ),
    "the most steps": Ending(
        replies=(call(TOOL, text="a"),),
        max_steps=2,
        status="completed",
        stop_reason="max_steps",
        messages=CALLED * 2,
    ),
    "a call that waits for a person": Ending(
        replies=(call(TOOL, text="a"),),
        gated=True,
        status="completed",
        stop_reason="requires_approval",
        messages=("approval_request_message",),
    ),
    "words cut off at the token limit": Ending(
        replies=(reply(say("Half a"), finish="length"),), status="failed", stop_reason="max_tokens_exceeded"
    ),
    "a call cut off at the token limit": Ending(
        replies=(reply(call(TOOL, '{"text": "ha'), finish="length"),),
        status="failed",
        stop_reason="max_tokens_exceeded",
        messages=CALLED,
    ),
    "thoughts that take all the tokens": Ending(
        replies=(reply(think("hm, "), finish="length"),),
        agent={"model": ANTHROPIC_MODEL},
        status="failed",
        stop_reason="max_tokens_exceeded",
        messages=("reasoning_message",),
    ),
    "words where only a tool may speak": Ending(
        replies=(say("Plain words."),),
        agent={"agent_type": "memgpt_v2_agent", "include_base_tools": True},
        status="failed",
        stop_reason="no_tool_call",
    ),
    "a reply that is kept back": Ending(
        replies=(reply(say(""), finish="content_filter"),),
        status="failed",
        stop_reason="invalid_llm_response",
        step="failed",
        messages=(),
        error_type="llm_error",
        http_status=400,
    ),
    "a model that says nothing at all": Ending(
        replies=(say(""),),
        status="failed",
        stop_reason="invalid_llm_response",
        step="failed",
        messages=(),
        error_type="llm_empty_response",
        http_status=502,
    ),
    "a request that the provider refuses": Ending(
        replies=(fail(400, code="content_policy_violation"),),
        status="failed",
        stop_reason="llm_api_error",
        step="failed",
        messages=(),
        error_type="llm_error",
        http_status=400,
    ),
    "a provider that breaks in the second step": Ending(
        replies=(call(TOOL, text="a"), fail(500, retry_after=0.01)),
        status="failed",
        stop_reason="llm_api_error",
        step="failed",
        messages=CALLED,
        error_type="llm_error",
        http_status=503,
    ),
    "a bill that was not paid": Ending(
        replies=(fail(402),),
        status="failed",
        stop_reason="insufficient_credits",
        step="failed",
        messages=(),
        error_type="llm_error",
        http_status=402,
    ),
    "a prompt that fits no window": Ending(
        replies=(fail(400, code="context_length_exceeded"),),
        agent={
            "context_window_limit": 1_000,
            "memory_blocks": [{"label": "log", "value": "w " * 10_000, "limit": 30_000}],
        },
        status="failed",
        stop_reason="context_window_overflow_in_system_prompt",
        step="failed",
        messages=(),
        error_type="context_window_overflow_in_system_prompt",
        http_status=400,
    ),
}


@dataclass(kw_only=True)
class Told:
    """What one client was told of a run."""

    messages: list[str] = field(default_factory=list)
    stop_reason: str | None = None
    last: str | None = None
    """Kind of the last event."""
    error_type: str | None = None
    http_status: int = 200
    run_id: str = ""


Way: TypeAlias = Callable[[Letta, str, int], Told]


def _blocking(client: Letta, agent_id: str, max_steps: int) -> Told:
    try:
        answer = client.agents.messages.create(agent_id, input="go", max_steps=max_steps)
    except APIStatusError as refused:
        body: Any = refused.body
        return Told(error_type=body["error_type"], http_status=refused.status_code, run_id=body["run_id"])
    (run_id,) = answer.usage.run_ids or []
    kinds = [str(item.message_type) for item in answer.messages]
    return Told(messages=kinds, stop_reason=answer.stop_reason.stop_reason, run_id=run_id)


def _streamed(client: Letta, agent_id: str, max_steps: int) -> Told:
    return _read(client.agents.messages.create(agent_id, input="go", max_steps=max_steps, streaming=True))


def _background(client: Letta, agent_id: str, max_steps: int) -> Told:
    run = client.agents.messages.create_async(agent_id, input="go", max_steps=max_steps)
    until(lambda: client.runs.retrieve(run.id).completed_at is not None)
    return _read(client.runs.messages.stream(run.id))


def _read(stream: Iterable[Any]) -> Told:
    told = Told()
    for event in _with_error(stream):
        kind = event["message_type"]
        if kind == "stop_reason":
            assert told.stop_reason is None, "a run ends once"
            told.stop_reason = event["stop_reason"]
        elif kind not in (USAGE, ERROR):
            assert told.stop_reason is None, "nothing comes after the end"
            told.messages.append(kind)
        told.last, told.run_id = kind, event["run_id"]
        told.error_type = event.get("error_type")
    return told


def _with_error(stream: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The events of a stream, the error on which the SDK raises among them."""
    try:
        for event in stream:
            yield event.model_dump()
    except APIStatusError as error:
        assert isinstance(error.body, dict)
        yield error.body


def _agent(client: Letta, ending: Ending) -> AgentState:
    tool = client.tools.upsert(source_code=echo_source(TOOL), default_requires_approval=ending.gated)
    return bare_agent(client, tool_ids=[tool.id], **ending.agent)


@pytest.mark.parametrize("way", [_blocking, _streamed, _background])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_is_told_as_what_it_is(client: Letta, provider: Provider, name: str, way: Way) -> None:
    ending = ENDINGS[name]
    agent = _agent(client, ending)
    provider.script(*ending.replies[:-1])
    provider.default = ending.replies[-1]
    told = way(client, agent.id, ending.max_steps)

    run = client.runs.retrieve(told.run_id)
    assert (run.status, run.stop_reason, run.agent_id) == (ending.status, ending.stop_reason, agent.id)
    last, *earlier = list(client.runs.steps.list(run.id, order="desc"))
    assert (last.status, last.stop_reason) == (ending.step, ending.stop_reason)
    assert {(step.status, step.stop_reason) for step in earlier} <= {("success", None)}
    assert told.error_type == ending.error_type
    if way is _blocking:
        assert told.http_status == ending.http_status
    else:
        assert (told.stop_reason, told.last) == (ending.stop_reason, ERROR if ending.error_type else USAGE)
    if way is not _blocking or ending.http_status == 200:
        assert (tuple(told.messages), told.stop_reason) == (ending.messages, ending.stop_reason)

    provider.reset()
    denied: Any = [{"type": "approval", "approve": False}]
    asked: dict[str, Any] = {"messages": denied} if ending.gated else {"input": "and now?"}
    # No ending keeps the next message from being answered.
    again = client.agents.messages.create(agent.id, **asked).stop_reason.stop_reason
    assert again == ("no_tool_call" if "agent_type" in ending.agent else "end_turn")
