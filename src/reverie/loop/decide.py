"""The next move of a turn, from saved state only, so that a resumed run re-enters here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from reverie.context.pairing import OpenCalls, open_calls
from reverie.context.transcript import SPEAKING_TOOL
from reverie.domain.agent import Agent
from reverie.domain.ids import RunId
from reverie.domain.message import (
    ApprovalResponseBody,
    AssistantBody,
    EventBody,
    Message,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolReturnBody,
    text_of,
)
from reverie.domain.stop_reason import StopReason
from reverie.tools.rules import Executed, allowed_tools, is_terminal, missing_before_exit

_GO_ON: Final = "[Note from the system: the turn is not over; a rule asks you to go on with a tool call.]"


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for a reply."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """The model wants to stop but may not yet; tell it why, then ask again."""

    text: str


@dataclass(frozen=True, slots=True)
class RunTools:
    """All calls of the last reply may run now."""

    calls: OpenCalls


@dataclass(frozen=True, slots=True)
class End:
    """Stop here."""

    reason: StopReason


Move: TypeAlias = CallModel | Nudge | RunTools | End


def decide(
    context: Sequence[Message],
    *,
    agent: Agent,
    tool_names: Sequence[str],
    run_id: RunId,
    steps: int,
    max_steps: int,
    silent: bool = False,
) -> Move:
    """Return what the turn does next; `silent`: the model was just asked and had nothing to add."""
    waiting = open_calls(context)
    if waiting is not None:
        return End(StopReason.REQUIRES_APPROVAL) if waiting.undecided else RunTools(waiting)
    last = next((item for item in reversed(context) if not isinstance(item.body, SummaryBody | EventBody)), None)
    if last is not None and last.run_id == run_id:
        if isinstance(last.body, ToolReturnBody):
            history = executed(context, run_id)
            if (reason := _after_tools(history, agent, tool_names)) is not None:
                return End(reason)
        if silent or (isinstance(last.body, AssistantBody | ReasoningBody) and last.step_id is not None):
            return _after_words(context, agent, tool_names, run_id, spent=steps >= max_steps)
    return End(StopReason.MAX_STEPS) if steps >= max_steps else CallModel()


def executed(context: Sequence[Message], run_id: RunId) -> tuple[Executed, ...]:
    """What ran in this turn so far, in order. Rules count anew in each turn."""
    turn = _runs_of_turn(context, run_id)
    return tuple(
        Executed(
            name=item.name,
            value=item.value if item.status == "success" else item.text,
            succeeded=item.status == "success",
        )
        for message in context
        if message.run_id in turn and isinstance(message.body, ToolReturnBody)
        for item in message.body.returns
        if item.admitted
    )


def _runs_of_turn(context: Sequence[Message], run_id: RunId) -> set[RunId | None]:
    """The run, and those before it whose calls it has the answers to: an approval goes on with a turn."""
    found: set[RunId | None] = {run_id}
    wanted: set[str] = set()
    for message in reversed(context):
        if message.id in wanted:
            found.add(message.run_id)
            wanted.discard(message.id)
        elif message.run_id in found:
            if isinstance(message.body, ApprovalResponseBody) and message.body.request_id is not None:
                wanted.add(message.body.request_id)
        elif not wanted and message.run_id is not None:
            break
    return found


def _after_tools(history: Sequence[Executed], agent: Agent, tool_names: Sequence[str]) -> StopReason | None:
    """Whether the turn ends with what ran in it; it does not while a rule still waits for a tool."""
    if missing_before_exit(agent.tool_rules, tool_names, history):
        return None
    succeeded = [item.name for item in history if item.succeeded]
    if any(is_terminal(agent.tool_rules, name) for name in succeeded):
        return StopReason.TOOL_RULE if SPEAKING_TOOL not in succeeded else StopReason.END_TURN
    if agent.agent_type.speaks_through_tool and SPEAKING_TOOL in succeeded:
        return StopReason.END_TURN
    return None


def _after_words(
    context: Sequence[Message], agent: Agent, tool_names: Sequence[str], run_id: RunId, *, spent: bool
) -> Move:
    allowed = allowed_tools(agent.tool_rules, tool_names, executed(context, run_id))
    if agent.agent_type.speaks_through_tool and SPEAKING_TOOL in tool_names:
        return End(StopReason.NO_TOOL_CALL)
    if not allowed.missing_before_exit and not allowed.must_continue:
        return End(StopReason.END_TURN)
    if spent:
        return End(StopReason.MAX_STEPS)
    if allowed.missing_before_exit:
        names = ", ".join(allowed.missing_before_exit)
        return Nudge(f"[Note from the system: before this turn may end you must call: {names}. Call it now.]")
    # Only models whose provider does not force calls get here: one that has been told is not told for ever.
    return End(StopReason.END_TURN) if _was_just_told(context, _GO_ON) else Nudge(_GO_ON)


def _was_just_told(context: Sequence[Message], text: str) -> bool:
    passed = AssistantBody | ReasoningBody | SummaryBody | EventBody
    last = next((item.body for item in reversed(context) if not isinstance(item.body, passed)), None)
    return isinstance(last, SystemBody) and text_of(last) == text
