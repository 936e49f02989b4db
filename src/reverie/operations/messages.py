"""Messages: sent, listed, found, changed, captured, forgotten."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson
from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.context.transcript import SPEAKING_TOOL
from reverie.domain.agent import AgentDetails
from reverie.domain.content import Part, join_text
from reverie.domain.errors import Busy, Conflict, InvalidInput, MalformedInput, NotFound, ReverieError
from reverie.domain.ids import (
    DEFAULT_CONVERSATION,
    AgentId,
    ConversationId,
    MessageId,
    RunId,
    check_id,
    is_id,
)
from reverie.domain.inputs import Request, SayInput
from reverie.domain.message import (
    AssistantBody,
    Body,
    Message,
    MessageFilter,
    MessageKind,
    MessageScope,
    PromptBody,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    UserBody,
    text_parts,
)
from reverie.domain.paging import Page
from reverie.domain.passage import SearchHit, SearchQuery
from reverie.loop.state import load_view, new_message
from reverie.operations.assembly import opening_messages
from reverie.operations.base import Operations
from reverie.operations.embedding import embed_query
from reverie.runs.engine import RunHandle
from reverie.storage import agents, conversations, messages, search

_MOST_CANCELLED: Final = 100
"""A reset gives up where so many runs came in between."""


def thread_of(conversation: str, agent_id: str | None = None) -> ConversationId:
    """Resolve how clients name a conversation: its id, `default` with an agent's id, or an agent's id.

    Raises:
        MalformedInput: none of these.
    """
    if conversation == DEFAULT_CONVERSATION:
        if agent_id is None:
            raise MalformedInput(
                "agent_id", "the conversation 'default' needs the agent's id, in the query or the body"
            )
        return ConversationId(check_id(agent_id, "agent", "agent_id"))
    if is_id(conversation, "agent"):
        return ConversationId(conversation)
    return ConversationId(check_id(conversation, "conv", "conversation_id"))


async def send(
    ops: Operations, caller: Caller, conversation_id: ConversationId, request: Request, *, again: bool = False
) -> RunHandle:
    """Accept a request. Its run goes on whoever reads its events.

    A request whose inputs were sent before under the same otids gets the run that they were sent to; so does one
    that the client sends `again` because it had no answer.
    """
    caller.require(Scope.WRITE)
    if not request.inputs:
        raise MalformedInput("messages", "at least one message is needed")
    if any(isinstance(item, SayInput) and item.is_empty for item in request.inputs):
        raise InvalidInput("Message content is empty or invalid; say something, or leave the message out")
    if caller.run_id is not None:
        return await ops.runs.send_behind(caller.run_id, caller.organization_id, conversation_id, request)
    return await ops.runs.send_once(caller.organization_id, conversation_id, request, again=again)


async def list_messages(
    ops: Operations,
    caller: Caller,
    where: MessageFilter,
    page: Page,
    *,
    of_agent: AgentId | None = None,
    shows: Callable[[Message], bool] | None = None,
) -> list[Message]:
    """A page of messages that meet `where`; with `of_agent` their conversation must be one of that agent.

    `shows` tells what the reader will see of them: a page is filled with such messages, so that
    it is only short, or empty, where the list ends.
    """
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Message]:
        if where.conversation_id is not None:
            thread = conversations.get(c, caller.organization_id, ConversationId(where.conversation_id))
            if of_agent not in (None, thread.agent_id):
                raise NotFound("conversation", thread.id, f"it is not one of agent {of_agent!r}")
        found: list[Message] = []
        rest = page
        while True:
            rows = messages.list_page(c, caller.organization_id, where, rest)
            fitting = rows if shows is None else [message for message in rows if shows(message)]
            from_before = rest.before is not None and rest.after is None
            found = [*fitting, *found] if from_before else [*found, *fitting]
            if page.limit is None or len(found) >= page.limit or len(rows) < page.limit:
                break
            rest = replace(rest, before=rows[0].id) if from_before else replace(rest, after=rows[-1].id)
        if page.limit is None:
            return found
        return found[-page.limit :] if from_before else found[: page.limit]

    return await ops.database.read(read)


async def retrieve(ops: Operations, caller: Caller, message_id: MessageId) -> Message:
    """One message."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: messages.get(c, caller.organization_id, message_id))


async def search_messages(
    ops: Operations, caller: Caller, query: SearchQuery, where: MessageScope
) -> list[tuple[Message, SearchHit]]:
    """Found messages with what made each rank where it does, best first."""
    caller.require(Scope.READ)
    whole = query
    if query.text and query.mode != "text":
        wish = await ops.database.read(lambda c: search.message_wish(c, caller.organization_id, query.text, where))
        # Messages have vectors of the server's own model, whatever their agents embed passages with.
        embedder = await (await ops.catalogs.of(caller.organization_id)).default_embedder()
        if embedder is not None:
            await ops.meaning.catch_up(
                embedder, caller.organization_id, None if where.agent_id is None else AgentId(where.agent_id)
            )
            whole = replace(query, vector=await embed_query(ops, caller, embedder.info.handle, wish))

    def read(c: Connection) -> list[tuple[Message, SearchHit]]:
        hits = search.rank_messages(c, caller.organization_id, whole, where)
        found = {item.id: item for item in messages.get_many(c, caller.organization_id, [hit.id for hit in hits])}
        return [(found[MessageId(hit.id)], hit) for hit in hits if hit.id in found]

    return await ops.database.read(read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewording:
    """Other words for a stored message."""

    kinds: frozenset[MessageKind]
    """What the message must be."""
    parts: tuple[Part, ...]
    speaking_argument: str = "message"
    """Where a call that speaks holds its words."""


async def change(ops: Operations, caller: Caller, agent_id: AgentId, message_id: MessageId, wish: Rewording) -> Message:
    """Put other words into a message of words.

    Raises:
        NotFound: the agent has no such message.
        InvalidInput: it is of another kind; calls and results are facts and cannot be reworded.
    """
    caller.require(Scope.WRITE)

    def write(c: Connection) -> Message:
        agents.get(c, caller.organization_id, agent_id)
        message = messages.get(c, caller.organization_id, message_id)
        if message.agent_id != agent_id:
            raise NotFound("message", message_id, f"it is not one of agent {agent_id!r}")
        if message.kind not in wish.kinds:
            wanted = ", ".join(sorted(kind.value for kind in wish.kinds))
            raise InvalidInput(
                f"message {message_id!r} is of kind {message.kind.value!r} and the change is for: {wanted}; "
                "only words can be changed, and only into words of the same kind"
            )
        changed = replace(message, body=_reworded(message, wish))
        messages.change_words(c, changed)
        return changed

    return await ops.database.write(write)


def _reworded(message: Message, wish: Rewording) -> Body:
    body, text = message.body, join_text(wish.parts)
    match body:
        case UserBody():
            return replace(body, parts=wish.parts)
        case AssistantBody() | SystemBody():
            return replace(body, parts=text_parts(text))
        case ReasoningBody():
            return replace(body, text=text, signature=None)  # a signature vouches for the old words
        case PromptBody() | SummaryBody():
            return replace(body, text=text)
        case ToolCallBody():
            spoken = [call for call in body.calls if call.name == SPEAKING_TOOL]
            if len(spoken) == 1:
                arguments = orjson.loads(spoken[0].arguments) | {wish.speaking_argument: text}
                said = replace(spoken[0], arguments=orjson.dumps(arguments).decode())
                return replace(body, calls=tuple(said if call is spoken[0] else call for call in body.calls))
    raise InvalidInput(f"a message of kind {message.kind.value!r} cannot be changed; only words can")


async def reset(
    ops: Operations, caller: Caller, agent_id: AgentId, *, add_default_initial_messages: bool = False
) -> AgentDetails:
    """Forget the agent's own thread: its messages are removed, memory and tools stay.

    Runs at work in it are cancelled first, those that waited for them as well. With `add_default_initial_messages`
    the thread begins again with what the agent was made with.

    Raises:
        Busy: there is always another run at work.
    """
    caller.require(Scope.WRITE)
    agent = await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    thread = ConversationId(agent.id)

    def write(c: Connection) -> AgentDetails | RunId:
        now = ops.clock()
        conversations.hold_all_of(c, agent.id)
        holder = conversations.get(c, caller.organization_id, thread).active_run_id
        if holder is not None:
            return RunId(holder)
        messages.delete_all(c, thread, keep_prompt=True)
        load_view(c, caller.organization_id, thread, now)
        if add_default_initial_messages:
            messages.append(c, opening_messages(agent, agents.opening_of(c, agent.id), now))
        return agents.get_whole(c, caller.organization_id, agent_id)

    left = _MOST_CANCELLED
    while True:  # the end of each run lets the next one in
        await ops.runs.cancel_active(caller.organization_id, conversation_id=thread)
        done = await ops.database.write(write)
        if isinstance(done, AgentDetails):
            return done
        left -= 1
        if not left:
            raise Busy(thread, done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """An exchange that somebody else had with a model, on behalf of an agent."""

    said: tuple[tuple[Part, ...], ...]
    """What the user said, in order."""
    answer: str
    model: str | None


async def capture(ops: Operations, caller: Caller, agent_id: AgentId, exchange: Captured) -> list[Message]:
    """Add an exchange that happened elsewhere to the agent's own thread, as if it had happened here."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def write(c: Connection) -> list[Message]:
        agent = agents.get(c, caller.organization_id, agent_id)
        view = load_view(c, caller.organization_id, ConversationId(agent.id), now)
        added = [new_message(view, UserBody(parts=parts), now) for parts in exchange.said]
        answer = AssistantBody(parts=text_parts(exchange.answer))
        added.append(new_message(view, answer, now, model=exchange.model))
        messages.append(c, added)
        return added

    return await ops.database.write(write)


async def cancel(
    ops: Operations, caller: Caller, agent_id: AgentId, run_ids: Sequence[RunId] | None = None
) -> dict[str, str]:
    """Stop runs of an agent: those named, or all that are active or await approval; to `cancelled` or `failed`.

    Raises:
        Conflict: nothing is active.
    """
    caller.require(Scope.WRITE)
    await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    if not run_ids:
        stopped = await ops.runs.call_off(caller.organization_id, agent_id)
        if not stopped:
            raise Conflict(f"No active runs to cancel for agent {agent_id!r}")
        return dict.fromkeys(stopped, "cancelled")
    outcome: dict[str, str] = {}
    for run_id in run_ids:
        try:
            await ops.runs.call_off_run(caller.organization_id, run_id)
            outcome[run_id] = "cancelled"
        except ReverieError:
            outcome[run_id] = "failed"
    return outcome
