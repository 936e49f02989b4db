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
from reverie.domain.ids import ConversationId, MessageId, OrganizationId, StepId, make_id, make_otid
from reverie.domain.inputs import ApprovalInput, MessageInput, Request, SayInput
from reverie.domain.message import (
    ApprovalResponseBody,
    AssistantBody,
    Body,
    Decision,
    Message,
    MessageKind,
    PromptBody,
    ReasoningBody,
    SystemBody,
    ToolReturnBody,
    UserBody,
)
from reverie.domain.run import Run, Usage
from reverie.loop.repeats import GO_ON, given_before
from reverie.storage import conversations, messages, threads
from reverie.storage.threads import Thread
from reverie.storage.together import aside
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
    others_wait: bool | None = True
    """Whether somebody waits for the conversation, taken for granted until the run ends; None: those were told."""


def load_view(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId, now: datetime) -> View:
    """Read a conversation as the next request needs it, with its prompt brought up to date.

    Raises:
        NotFound: the conversation does not exist.
    """
    return refresh_prompt(c, _stored_view(c, threads.get(c, organization_id, conversation_id)), now)


def view_of(c: Connection, claimed: Thread, now: datetime) -> View:
    """The same of a conversation of which nothing was written yet but the claim, which fails where others wrote."""
    with aside(c):
        view = _stored_view(c, claimed)
    return refresh_prompt(c, view, now)


def read_view(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId, now: datetime) -> View:
    """The same without storing anything: a prompt that is out of date is compiled for this view alone."""
    view = _stored_view(c, threads.get(c, organization_id, conversation_id))
    if _stands(view) and fingerprint(prompt_inputs(view, now)) == view.conversation.prompt_fingerprint:
        return view
    body = PromptBody(text=compiled_prompt(c, view, now))
    if _stands(view):
        return replace(view, context=(replace(view.context[0], body=body), *view.context[1:]))
    return replace(view, context=(new_message(view, body, now), *view.context))


def _stored_view(c: Connection, thread: Thread) -> View:
    context = messages.load_context(c, thread.conversation.id)
    return View(details=thread.details, conversation=thread.conversation, context=tuple(context))


def reload_view(c: Connection, view: View, added: Sequence[Message], now: datetime) -> View:
    """Bring `view` up to date after `added` was stored: memory may have changed by any hand since."""
    with aside(c):  # of messages, runs and steps, which is all that a turn writes `later`
        details = threads.get(c, view.conversation.organization_id, view.conversation.id).details
    fresh = View(details=details, conversation=view.conversation, context=(*view.context, *added))
    return refresh_prompt(c, fresh, now)


def prompt_inputs(view: View, now: datetime, *, message_count: int = 0) -> PromptInputs:
    """What the prompt of `view` is compiled from; the count of messages does not decide whether it still stands."""
    return PromptInputs(
        agent=view.agent,
        conversation=view.conversation,
        blocks=view.details.blocks,
        folders=view.details.folders,
        tool_rules=describe_rules(view.agent.tool_rules),
        passage_count=view.details.passage_count,
        message_count=message_count,
        edited_at=max((block.updated_at for block in view.details.blocks), default=None),
        now=now,
    )


def compiled_prompt(c: Connection, view: View, now: datetime, *, edited_at: datetime | None = None) -> str:
    """The prompt as it would be compiled now; `edited_at` stands in for the time of the last change of memory."""
    inputs = prompt_inputs(view, now, message_count=messages.count(c, view.conversation.id))
    return compile_prompt(inputs if edited_at is None else replace(inputs, edited_at=edited_at))


def refresh_prompt(
    c: Connection, view: View, now: datetime, *, force: bool = False, edited_at: datetime | None = None
) -> View:
    """Compile the prompt anew where anything it is made of changed; otherwise keep it to the byte."""
    mark = fingerprint(prompt_inputs(view, now))
    stands = _stands(view)
    if stands and mark == view.conversation.prompt_fingerprint and not force:
        return view
    body = PromptBody(text=compiled_prompt(c, view, now, edited_at=edited_at))
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


def _stands(view: View) -> bool:
    return bool(view.context) and view.context[0].kind is MessageKind.PROMPT


def admit(c: Connection, view: View, run: Run, inputs: Sequence[MessageInput], now: datetime) -> View:
    """Let the request's inputs into the history, repairing first what an earlier turn left open.

    Answers that were given before are not let in again: the turn goes on from where it broke off, or with new words.

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
        lost = pairing.lost_calls(view.context, waiting=None)
        if answers:
            added += _going_on(c, view, run, answers, now, spoken_to=bool(words or lost))
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
        added.append(said(view, run, word, now))
    messages.append(c, added)
    return View(details=view.details, conversation=view.conversation, context=(*context, *added))


def _going_on(
    c: Connection, view: View, run: Run, answers: Sequence[ApprovalInput], now: datetime, *, spoken_to: bool
) -> list[Message]:
    """What is said to the model when `answers` come again; `spoken_to`: it has something to reply to in any case."""
    before = given_before(c, view.agent.organization_id, view.conversation.id, answers)
    if before is None or not (spoken_to or before.broke_off):
        raise InvalidInput(
            "No tool call is currently awaiting approval; send an ordinary message instead, or list the "
            "conversation's messages to see what happened to the call"
        )
    own_words = isinstance(view.context[-1].body, AssistantBody | ReasoningBody)
    return [new_message(view, GO_ON, now, run=run)] if own_words and not spoken_to else []


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
        otid=otid or make_otid(),
        name=name,
        model=model,
        sender_id=sender_id,
        group_id=group_id or (None if run is None else run.group_id),
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


def said(view: View, run: Run | None, word: SayInput, now: datetime) -> Message:
    """What a client says, as a message of the view's conversation."""
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
    request_id = waiting.request.id if waiting.request is not None else ""
    given = answer.decisions
    if answer.approve_all is not None and not given and not answer.returns:
        named_id = answer.request_id or request_id
        given = (Decision(tool_call_id=named_id, approve=answer.approve_all, reason=answer.reason),)
    # Older programs name the request, and mean all its calls.
    decisions = tuple(
        replace(item, tool_call_id=call_id)
        for item in given
        for call_id in (sorted(undecided) if item.tool_call_id == request_id else [item.tool_call_id])
    )
    named = [item.tool_call_id for item in decisions] + [item.tool_call_id for item in answer.returns]
    if unknown := [call_id for call_id in named if call_id not in undecided]:
        raise InvalidInput(
            f"Invalid tool call IDs: {unknown[0]!r} is not awaiting approval; these are: {', '.join(sorted(undecided))}"
        )
    if not named:
        raise InvalidInput(
            f"Invalid tool call IDs: the approval names none; these are awaiting one: {', '.join(sorted(undecided))}"
        )
    body = ApprovalResponseBody(request_id=request_id, decisions=decisions, returns=answer.returns)
    return new_message(view, body, now, run=run, otid=answer.otid, group_id=answer.group_id)
