"""What a turn knows, and the transactions that load it and let inputs in."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from reverie.context import pairing
from reverie.context.prompt import PromptInputs, compile_prompt, fingerprint
from reverie.context.turns import LOST_RESULT
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.content import TextPart, ToolCall, ToolReturn
from reverie.domain.conversation import Conversation
from reverie.domain.errors import ApprovalPending, InvalidInput
from reverie.domain.ids import ConversationId, MessageId, OrganizationId, StepId, make_id
from reverie.domain.inputs import ApprovalInput, MessageInput, Request, SayInput
from reverie.domain.message import (
    ApprovalResponseBody,
    AssistantBody,
    Body,
    Decision,
    Message,
    MessageKind,
    PromptBody,
    SystemBody,
    ToolReturnBody,
    UserBody,
)
from reverie.domain.run import Run, Usage
from reverie.storage import agents, conversations, messages
from reverie.tools.rules import describe_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything stored that the next move depends on, read in one transaction."""

    details: AgentDetails
    conversation: Conversation
    context: tuple[Message, ...]
    """Prompt first, then the summary if there is one, then the rest as it was said."""

    @property
    def agent(self) -> Agent:
        """The agent itself."""
        return self.details.agent

    @property
    def prompt(self) -> str:
        """The compiled system prompt."""
        first = self.context[0].body
        assert isinstance(first, PromptBody)
        return first.text

    @property
    def model_handle(self) -> str:
        """The conversation's own model where it has one, else the agent's."""
        return self.conversation.model or self.agent.model

    @property
    def window_limit(self) -> int | None:
        """Tokens of context to use at most: the conversation's own limit, else the agent's."""
        own = self.conversation.metadata.get("context_window_limit")
        return own if isinstance(own, int) else self.agent.context_window_limit


@dataclass(slots=True, kw_only=True)
class TurnState:
    """One turn on its way; only its driver changes it."""

    run: Run
    request: Request
    view: View
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    started_ns: int
    first_delta_ns: int | None = None


def load_view(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId, now: datetime) -> View:
    """Read a conversation as the next request needs it, with its prompt brought up to date.

    Raises:
        NotFound: the conversation does not exist.
    """
    conversation = conversations.get(c, organization_id, conversation_id)
    details = agents.details(c, organization_id, conversation.agent_id)
    context = messages.load_context(c, conversation_id)
    return refresh_prompt(c, View(details=details, conversation=conversation, context=tuple(context)), now)


def reload_view(c: Connection, view: View, added: Sequence[Message], now: datetime) -> View:
    """Bring `view` up to date after `added` was stored: memory may have changed by any hand since."""
    details = agents.details(c, view.agent.organization_id, view.agent.id)
    fresh = View(details=details, conversation=view.conversation, context=(*view.context, *added))
    return refresh_prompt(c, fresh, now)


def refresh_prompt(c: Connection, view: View, now: datetime, *, force: bool = False) -> View:
    """Compile the prompt anew where anything it is made of changed; otherwise keep it to the byte."""
    inputs = PromptInputs(
        agent=view.agent,
        conversation=view.conversation,
        blocks=view.details.blocks,
        folders=view.details.folders,
        tool_rules=describe_rules(view.agent.tool_rules),
        passage_count=view.details.passage_count,
        message_count=0,
        now=now,
    )
    mark = fingerprint(inputs)
    stands = bool(view.context) and view.context[0].kind is MessageKind.PROMPT
    if stands and mark == view.conversation.prompt_fingerprint and not force:
        return view
    counted = replace(inputs, message_count=messages.count(c, view.conversation.id))
    body = PromptBody(text=compile_prompt(counted))
    if stands:
        prompt = replace(view.context[0], body=body)
        messages.replace_body(c, prompt.id, body)
        context = (prompt, *view.context[1:])
    else:
        prompt = new_message(view, body, now)
        messages.append(c, [prompt])
        context = (prompt, *view.context)
    conversations.set_prompt(c, view.conversation.id, prompt.id, mark)
    return View(
        details=view.details,
        conversation=replace(view.conversation, prompt_id=prompt.id, prompt_fingerprint=mark),
        context=context,
    )


def admit(c: Connection, view: View, run: Run, inputs: Sequence[MessageInput], now: datetime) -> View:
    """Let the request's inputs into the history, repairing first what an earlier turn left open.

    Raises:
        ApprovalPending: a call waits for a person and `inputs` do not answer it.
        InvalidInput: an approval that answers nothing.
    """
    answers = [item for item in inputs if isinstance(item, ApprovalInput)]
    words = [item for item in inputs if isinstance(item, SayInput)]
    waiting = pairing.open_calls(view.context)
    added: list[Message] = []
    if waiting is not None and waiting.undecided and waiting.request is not None:
        if not answers:
            raise ApprovalPending(waiting.request.id)
        for answer in answers:
            added.append(_approval(view, run, waiting, answer, now))
        lost = pairing.lost_calls(view.context, waiting=waiting)
    else:
        if answers:
            raise InvalidInput(
                "No tool call is currently awaiting approval; send an ordinary message instead, or list the "
                "conversation's messages to see what happened to the call"
            )
        lost = pairing.lost_calls(view.context, waiting=None)
    context = view.context
    if lost:
        repair = results_message(view, run, None, [lost_result(call) for call in lost], now)
        added.insert(0, repair)
    if view.agent.message_buffer_autoclear and words and not answers:
        old = [message for message in context if message.kind is not MessageKind.PROMPT]
        messages.drop_from_context(c, [message.id for message in old])
        context = context[:1]
        if lost:
            added.pop(0)
    for word in words:
        added.append(_said(view, run, word, now))
    messages.append(c, added)
    return View(details=view.details, conversation=view.conversation, context=(*context, *added))


def new_message(
    view: View,
    body: Body,
    now: datetime,
    *,
    run: Run | None = None,
    step_id: StepId | None = None,
    message_id: MessageId | None = None,
    otid: str | None = None,
    name: str | None = None,
    model: str | None = None,
    sender_id: str | None = None,
    group_id: str | None = None,
    is_err: bool | None = None,
) -> Message:
    """A message of the view's conversation, ready to be stored."""
    return Message(
        id=message_id or MessageId(make_id("message")),
        organization_id=view.agent.organization_id,
        agent_id=view.agent.id,
        conversation_id=view.conversation.id,
        body=body,
        created_at=now,
        run_id=None if run is None else run.id,
        step_id=step_id,
        otid=otid or make_id("otid"),
        name=name,
        model=model,
        sender_id=sender_id,
        group_id=group_id,
        is_err=is_err,
    )


def results_message(
    view: View, run: Run | None, step_id: StepId | None, returns: Sequence[ToolReturn], now: datetime
) -> Message:
    """The message that holds the results of one reply's calls."""
    return new_message(
        view,
        ToolReturnBody(returns=tuple(returns)),
        now,
        run=run,
        step_id=step_id,
        name=returns[0].name if len(returns) == 1 else None,
        is_err=True if all(item.status == "error" for item in returns) else None,
    )


def lost_result(call: ToolCall, text: str = LOST_RESULT) -> ToolReturn:
    """An error result for a call that will never be finished."""
    return ToolReturn(tool_call_id=call.id, name=call.name, status="error", content=(TextPart(text=text),))


def _said(view: View, run: Run, word: SayInput, now: datetime) -> Message:
    match word.role:
        case "user":
            body: Body = UserBody(parts=word.parts)
        case "system":
            body = SystemBody(parts=word.parts)
        case "assistant":
            body = AssistantBody(parts=word.parts)
    return new_message(
        view,
        body,
        now,
        run=run,
        otid=word.otid,
        name=word.name,
        sender_id=word.sender_id,
        group_id=word.group_id,
    )


def _approval(view: View, run: Run, waiting: pairing.OpenCalls, answer: ApprovalInput, now: datetime) -> Message:
    undecided = {call.id for call in waiting.undecided}
    decisions = answer.decisions
    if answer.approve_all is not None and not decisions and not answer.returns:
        decisions = tuple(
            Decision(tool_call_id=call_id, approve=answer.approve_all, reason=answer.reason)
            for call_id in sorted(undecided)
        )
    named = [item.tool_call_id for item in decisions] + [item.tool_call_id for item in answer.returns]
    if unknown := [call_id for call_id in named if call_id not in undecided]:
        raise InvalidInput(
            f"tool call {unknown[0]!r} is not awaiting approval; these are: {', '.join(sorted(undecided))}"
        )
    if not named:
        raise InvalidInput(f"the approval answers no call; these are awaiting one: {', '.join(sorted(undecided))}")
    request_id = waiting.request.id if waiting.request is not None else None
    body = ApprovalResponseBody(request_id=request_id, decisions=decisions, returns=answer.returns)
    return new_message(view, body, now, run=run, otid=answer.otid, group_id=answer.group_id)
