"""Messages: sent, listed, found, changed, forgotten; and what a request would look like to the model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.context.prompt import with_skills
from reverie.context.turns import turns_of
from reverie.domain.agent import AgentDetails
from reverie.domain.conversation import Conversation
from reverie.domain.errors import Conflict, InvalidInput, MalformedInput, ReverieError
from reverie.domain.ids import (
    DEFAULT_CONVERSATION,
    AgentId,
    ConversationId,
    MessageId,
    RunId,
    check_id,
    is_id,
)
from reverie.domain.inputs import Request
from reverie.domain.json import JsonObject
from reverie.domain.message import (
    AssistantBody,
    Message,
    MessageKind,
    PromptBody,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    UserBody,
    text_parts,
)
from reverie.domain.paging import Page
from reverie.domain.passage import SearchQuery
from reverie.loop.generation import generation_settings
from reverie.loop.state import load_view
from reverie.models.base import Prompt
from reverie.operations.base import Operations
from reverie.runs.engine import RunHandle
from reverie.storage import agents, conversations, messages, search


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
    ops: Operations,
    caller: Caller,
    conversation_id: ConversationId,
    request: Request,
    *,
    when_busy: Literal["enqueue", "reject"] | None = None,
) -> RunHandle:
    """Accept a request. Its run goes on whoever reads its events."""
    caller.require(Scope.WRITE)
    if not request.inputs:
        raise MalformedInput("messages", "at least one message is needed")
    return await ops.runs.send(caller.organization_id, conversation_id, request, when_busy=when_busy)


async def list_messages(
    ops: Operations,
    caller: Caller,
    page: Page,
    *,
    agent_id: AgentId | None = None,
    conversation_id: ConversationId | None = None,
    group_id: str | None = None,
    kinds: Sequence[MessageKind] | None = None,
    include_err: bool | None = None,
) -> list[Message]:
    """A page of messages: of a conversation, of an agent's own thread, or of all agents."""
    thread = conversation_id or (None if agent_id is None else ConversationId(agent_id))

    def read(c: Connection) -> list[Message]:
        if thread is not None:
            conversations.get(c, caller.organization_id, thread)
        return messages.list_page(
            c,
            caller.organization_id,
            page,
            conversation_id=thread,
            group_id=group_id,
            kinds=kinds,
            include_err=include_err,
        )

    return await ops.database.read(read)


async def retrieve(ops: Operations, caller: Caller, message_id: MessageId) -> Message:
    """One message."""
    return await ops.database.read(lambda c: messages.get(c, caller.organization_id, message_id))


async def search_messages(
    ops: Operations,
    caller: Caller,
    query: SearchQuery,
    *,
    agent_id: AgentId | None = None,
    conversation_id: ConversationId | None = None,
    roles: Sequence[str] = (),
) -> list[tuple[Message, int]]:
    """Found messages with their place, best first."""

    def read(c: Connection) -> list[Message]:
        ids = search.search_messages(
            c,
            caller.organization_id,
            query,
            agent_id=agent_id,
            conversation_id=conversation_id,
            roles=roles,
        )
        return messages.get_many(c, caller.organization_id, ids)

    found = await ops.database.read(read)
    return [(message, place) for place, message in enumerate(found, start=1)]


async def change(ops: Operations, caller: Caller, agent_id: AgentId, message_id: MessageId, text: str) -> Message:
    """Put other words into a message of words.

    Raises:
        InvalidInput: calls and results are facts; they cannot be reworded.
    """
    caller.require(Scope.WRITE)

    def write(c: Connection) -> Message:
        message = messages.get(c, caller.organization_id, message_id)
        body = message.body
        match body:
            case UserBody() | AssistantBody() | SystemBody():
                changed = replace(message, body=replace(body, parts=text_parts(text)))
            case ReasoningBody():
                changed = replace(message, body=replace(body, text=text, signature=None))
            case PromptBody() | SummaryBody():
                changed = replace(message, body=replace(body, text=text))
            case _:
                raise InvalidInput(f"a message of kind {message.kind.value!r} cannot be changed; only words can")
        messages.replace_body(c, message_id, changed.body)
        return changed

    return await ops.database.write(write)


async def reset(
    ops: Operations, caller: Caller, agent_id: AgentId, *, add_default_initial_messages: bool = False
) -> AgentDetails:
    """Forget the agent's own thread: its messages are removed, memory and tools stay."""
    caller.require(Scope.WRITE)
    agent = await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    thread = ConversationId(agent.id)
    await ops.runs.cancel_active(caller.organization_id, conversation_id=thread)

    def write(c: Connection) -> AgentDetails:
        messages.delete_all(c, thread, keep_prompt=True)
        load_view(c, caller.organization_id, thread, ops.clock())
        return agents.get_whole(c, caller.organization_id, agent_id)

    return await ops.database.write(write)


async def cancel(
    ops: Operations, caller: Caller, agent_id: AgentId, run_ids: Sequence[RunId] | None = None
) -> dict[str, str]:
    """Stop runs of an agent: those named, or all that are active; run id to `cancelled` or `failed`.

    Raises:
        Conflict: nothing is active.
    """
    caller.require(Scope.WRITE)
    await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    if not run_ids:
        stopped = await ops.runs.cancel_agent(caller.organization_id, agent_id)
        if not stopped:
            raise Conflict(f"no run of agent {agent_id!r} is active, so there is nothing to cancel")
        return {run.id: "cancelled" for run in stopped}
    outcome: dict[str, str] = {}
    for run_id in run_ids:
        try:
            await ops.runs.cancel(caller.organization_id, run_id)
            outcome[run_id] = "cancelled"
        except ReverieError:
            outcome[run_id] = "failed"
    return outcome


async def preview(ops: Operations, caller: Caller, conversation_id: ConversationId, request: Request) -> JsonObject:
    """The body of the request that the model would be sent now; nothing is stored or sent."""
    view = await ops.database.write(lambda c: load_view(c, caller.organization_id, conversation_id, ops.clock()))
    options = request.options
    model = await (await ops.catalogs.of(caller.organization_id)).chat_model(
        options.override_model or view.model_handle
    )
    said = tuple(
        Message(
            id=MessageId("message-preview"),
            organization_id=caller.organization_id,
            agent_id=view.agent.id,
            conversation_id=conversation_id,
            body=UserBody(parts=item.parts),
            created_at=ops.clock(),
        )
        for item in request.inputs
        if hasattr(item, "parts")
    )
    system = options.override_system if options.override_system is not None else view.prompt
    return model.preview(
        Prompt(
            system=with_skills(system, options.client_skills),
            turns=turns_of((*view.context, *said)),
            tools=(*(tool.spec for tool in view.details.tools), *options.client_tools),
            settings=generation_settings(view, options, model.info),
        )
    )


async def conversation_of(ops: Operations, caller: Caller, conversation_id: ConversationId) -> Conversation:
    """The conversation, which may be an agent's own thread."""
    return await ops.database.read(lambda c: conversations.get(c, caller.organization_id, conversation_id))
