"""Conversations. The id `default`, or an agent's id, stands for the agent's own thread."""

from typing import Annotated, Any, Literal

from fastapi import Body, Query

from reverie.api.context import (
    FROM_MODELS,
    AgentQuery,
    Ask,
    Call,
    ConversationPath,
    CountQuery,
    CursorQuery,
    Newest100,
)
from reverie.api.declaring import Routes
from reverie.api.encode.fold import LettaResponse
from reverie.api.encode.json import Json
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import kinds_of
from reverie.api.encode.sse import EventStream
from reverie.api.images import with_images
from reverie.api.routes.agent_messages import Types, answer_messages, answer_turn, view_of_types
from reverie.api.routes.runs import LastEvent, follow
from reverie.api.wire.base import Order
from reverie.api.wire.conversations import (
    Compact,
    CompactionState,
    ConversationCreate,
    ConversationState,
    ConversationUpdate,
    compaction_state,
    conversation_state,
)
from reverie.api.wire.messages import ConversationMessages, RetrieveStream
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import AgentId, MessageId, RunId, check_id
from reverie.domain.message import MessageFilter
from reverie.domain.paging import Page
from reverie.operations import conversations, messages, prompts, runs
from reverie.operations.conversations import ConversationView

routes = Routes("conversations")


async def _state(call: Call, view: ConversationView) -> ConversationState:
    conversation = view.conversation
    model = None
    if conversation.model is not None and conversation.model_settings is not None:
        model = (await call.facts(embedders=False)).models.get(conversation.model)
    return conversation_state(conversation, view.message_ids, model)


@routes.post("/v1/conversations")
async def create_conversation(
    call: Ask, body: Annotated[ConversationCreate | None, Body()] = None, agent_id: AgentQuery = None
) -> Json[ConversationState]:
    """Open a thread of an agent, with a context of its own."""
    wish = body or ConversationCreate()
    owner = agent_id or wish.agent_id
    if owner is None:
        raise MalformedInput("agent_id", "name the agent, in the query")
    draft = wish.to_domain()
    made = await conversations.create(call.ops, call.caller, AgentId(check_id(owner, "agent", "agent_id")), draft)
    return Json(await _state(call, made))


@routes.get("/v1/conversations")
async def list_conversations(
    call: Ask,
    agent_id: AgentQuery = None,
    limit: CountQuery = 50,
    after: CursorQuery = None,
    before: CursorQuery = None,
    summary_search: str | None = None,
    archive_status: Literal["unarchived", "archived", "all"] = "unarchived",
    order: Order = "desc",
    order_by: Literal["created_at", "last_run_completion", "last_message_at"] = "created_at",
) -> Json[list[ConversationState]]:
    """List conversations; agents' own threads are not among them."""
    page = Page(
        limit=limit,
        after=after,
        before=before,
        order=order,
        # A conversation's last run ends with its last message.
        order_by="last_message_at" if order_by == "last_run_completion" else order_by,
    )
    found = await conversations.list_conversations(
        call.ops,
        call.caller,
        page,
        agent_id=None if agent_id is None else AgentId(agent_id),
        summary_search=summary_search,
        archived=None if archive_status == "all" else archive_status == "archived",
    )
    return Json([await _state(call, view) for view in found])


@routes.get("/v1/conversations/{conversation_id}")
async def retrieve_conversation(
    conversation_id: ConversationPath, call: Ask, agent_id: AgentQuery = None
) -> Json[ConversationState]:
    """Retrieve a conversation."""
    thread = messages.thread_of(conversation_id, agent_id)
    return Json(await _state(call, await conversations.retrieve(call.ops, call.caller, thread)))


@routes.patch("/v1/conversations/{conversation_id}")
async def update_conversation(
    conversation_id: ConversationPath, body: ConversationUpdate, call: Ask, agent_id: AgentQuery = None
) -> Json[ConversationState]:
    """Change what is given."""
    thread = messages.thread_of(conversation_id, agent_id)
    return Json(await _state(call, await conversations.update(call.ops, call.caller, thread, body.to_domain())))


@routes.delete("/v1/conversations/{conversation_id}")
async def delete_conversation(
    conversation_id: ConversationPath, call: Ask, agent_id: AgentQuery = None
) -> Json[dict[str, Any]]:
    """Delete a conversation with its messages; a running turn is cancelled first."""
    await conversations.delete(call.ops, call.caller, messages.thread_of(conversation_id, agent_id))
    return Json({"message": f"conversation {conversation_id} is deleted"})


@routes.post("/v1/conversations/{conversation_id}/fork")
async def fork_conversation(
    conversation_id: ConversationPath,
    call: Ask,
    agent_id: AgentQuery = None,
    message_id: Annotated[str | None, Query(pattern=r"^message-")] = None,
    hidden: bool = False,
) -> Json[ConversationState]:
    """Open a new conversation that begins with a copy of this one's context, or of it up to a message."""
    thread = messages.thread_of(conversation_id, agent_id)
    last = None if message_id is None else MessageId(check_id(message_id, "message", "message_id"))
    twin = await conversations.fork(call.ops, call.caller, thread, up_to=last, hidden=hidden)
    return Json(await _state(call, twin))


@routes.post("/v1/conversations/{conversation_id}/cancel")
async def cancel_conversation(
    conversation_id: ConversationPath, call: Ask, agent_id: AgentQuery = None
) -> Json[dict[str, str]]:
    """Cancel what runs in the conversation; run ids to what became of them."""
    thread = messages.thread_of(conversation_id, agent_id)
    stopped = await conversations.cancel(call.ops, call.caller, thread)
    return Json(dict.fromkeys(stopped, "cancelled"))


@routes.post("/v1/conversations/{conversation_id}/compact", responses=FROM_MODELS)
async def compact_conversation(
    conversation_id: ConversationPath,
    call: Ask,
    body: Annotated[Compact | None, Body()] = None,
    agent_id: AgentQuery = None,
) -> Json[CompactionState]:
    """Summarise the older part of the context now."""
    thread = messages.thread_of(conversation_id, _owner(agent_id, body))
    wish = body or Compact()
    return Json(compaction_state(await conversations.compact(call.ops, call.caller, thread, wish.changes())))


@routes.post("/v1/conversations/{conversation_id}/recompile")
async def recompile_conversation(
    conversation_id: ConversationPath,
    call: Ask,
    body: Annotated[Compact | None, Body()] = None,
    dry_run: bool = False,
    agent_id: AgentQuery = None,
) -> Json[str]:
    """Compile the system prompt anew and return it."""
    thread = messages.thread_of(conversation_id, _owner(agent_id, body))
    return Json(await conversations.recompile(call.ops, call.caller, thread, dry_run=dry_run))


def _owner(in_query: str | None, body: Compact | None) -> str | None:
    return in_query or (None if body is None else body.agent_id)


@routes.get("/v1/conversations/{conversation_id}/messages")
async def list_conversation_messages(
    conversation_id: ConversationPath,
    call: Ask,
    page: Newest100,
    agent_id: AgentQuery = None,
    group_id: str | None = None,
    include_err: bool | None = None,
    include_return_message_types: Types = None,
) -> Json[list[WireMessage]]:
    """List messages of a conversation."""
    view = view_of_types(include_return_message_types)
    where = MessageFilter(
        conversation_id=messages.thread_of(conversation_id, agent_id),
        group_id=group_id,
        kinds=kinds_of(include_return_message_types),
        include_err=include_err,
    )
    return await answer_messages(call, where, page, view)


@routes.post("/v1/conversations/{conversation_id}/messages", responses=FROM_MODELS)
async def send_conversation_message(
    conversation_id: ConversationPath, body: ConversationMessages, call: Ask, agent_id: AgentQuery = None
) -> Json[LettaResponse] | EventStream:
    """Send a message and stream the reply; `streaming: false` waits for the whole of it."""
    thread = messages.thread_of(conversation_id, body.agent_id or agent_id)
    return await answer_turn(call, thread, body, streaming=body.streaming is not False)


@routes.post("/v1/conversations/{conversation_id}/messages/preview-raw-payload")
async def preview_conversation_payload(
    conversation_id: ConversationPath, body: ConversationMessages, call: Ask, agent_id: AgentQuery = None
) -> Json[dict[str, Any]]:
    """What the model would be sent for this message; nothing is sent or stored."""
    thread = messages.thread_of(conversation_id, body.agent_id or agent_id)
    request = await with_images(body.to_domain(), call.options)
    return Json(await prompts.preview(call.ops, call.caller, thread, request))


@routes.post("/v1/conversations/{conversation_id}/stream", responses={410: {}})
async def stream_conversation(
    conversation_id: ConversationPath,
    call: Ask,
    body: Annotated[RetrieveStream | None, Body()] = None,
    agent_id: AgentQuery = None,
    last_event: LastEvent = None,
) -> EventStream:
    """Follow the conversation's run: the one named, the one that was sent a message of `otid`, or the latest."""
    wish = body or RetrieveStream()
    thread = messages.thread_of(conversation_id, wish.agent_id or agent_id)
    run_id = None if wish.run_id is None else RunId(check_id(wish.run_id, "run", "run_id"))
    run = await runs.to_follow(call.ops, call.caller, thread, run_id=run_id, otid=wish.otid)
    return await follow(call, run.id, wish, last_event)
