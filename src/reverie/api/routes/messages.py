"""Messages of all agents."""

from reverie.api.context import Ask, MessagePath, Newest100, Routes
from reverie.api.encode.json import Json
from reverie.api.encode.messages import (
    LIST_VIEW,
    MessageHit,
    View,
    WireMessage,
    kinds_of,
    message_hit,
    wire_list,
    wire_messages,
)
from reverie.api.routes.agent_messages import Types
from reverie.api.wire.messages import MessageSearch
from reverie.domain.clock import aware
from reverie.domain.ids import AgentId, ConversationId, MessageId, check_id
from reverie.domain.passage import SearchQuery
from reverie.operations import messages

routes = Routes("messages")


@routes.get("/v1/messages")
async def list_messages(
    call: Ask,
    page: Newest100,
    conversation_id: str | None = None,
    include_return_message_types: Types = None,
) -> Json[list[WireMessage]]:
    """List messages of all agents, or of one conversation."""
    types = include_return_message_types
    thread = None if conversation_id is None else messages.thread_of(conversation_id)
    found = await messages.list_messages(
        call.ops, call.caller, page.page(), conversation_id=thread, kinds=kinds_of(types)
    )
    view = View(types=None if types is None else frozenset(types))
    return Json(wire_list(found, view, newest_first=page.order == "desc"))


@routes.post("/v1/messages/search")
@routes.post("/v1/agents/messages/search")
async def search_messages(body: MessageSearch, call: Ask) -> Json[list[MessageHit]]:
    """Find messages by words and by meaning."""
    thread: ConversationId | None = None
    if body.conversation_id is not None:
        thread = messages.thread_of(body.conversation_id, body.agent_id)
    agent_id = None if body.agent_id is None else AgentId(check_id(body.agent_id, "agent", "agent_id"))
    query = SearchQuery(
        text=body.query,
        mode="text" if body.search_mode == "fts" else body.search_mode,
        limit=body.limit,
        start=aware(body.start_date),
        end=aware(body.end_date),
    )
    found = await messages.search_messages(call.ops, call.caller, query, agent_id=agent_id, conversation_id=thread)
    hits = (message_hit(message) for message, _ in found)
    return Json([hit for hit in hits if hit is not None])


@routes.get("/v1/messages/{message_id}")
async def retrieve_message(message_id: MessagePath, call: Ask) -> Json[list[WireMessage]]:
    """Retrieve what a message is on the wire, which may be more than one."""
    return Json(wire_messages(await messages.retrieve(call.ops, call.caller, MessageId(message_id)), LIST_VIEW))
