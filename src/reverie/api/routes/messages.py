"""Messages of all agents."""

from reverie.api.context import Ask, MessagePath, Newest100
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.encode.message_hits import MessageHit, message_hit
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import kinds_of, wire_messages
from reverie.api.encode.raw import RankedMessage, ranked_message
from reverie.api.encode.views import LIST_VIEW
from reverie.api.routes.agent_messages import Types, answer_messages, view_of_types
from reverie.api.wire.history import MessageSearch
from reverie.domain.ids import MessageId
from reverie.domain.message import MessageFilter
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
    where = MessageFilter(
        conversation_id=None if conversation_id is None else messages.thread_of(conversation_id),
        kinds=kinds_of(include_return_message_types),
    )
    return await answer_messages(call, where, page, view_of_types(include_return_message_types))


@routes.post("/v1/messages/search")
async def search_messages(body: MessageSearch, call: Ask) -> Json[list[MessageHit]]:
    """Find messages by words and by meaning."""
    found = await messages.search_messages(call.ops, call.caller, body.to_domain(), body.scope())
    hits = (message_hit(message) for message, _ in found)
    return Json([hit for hit in hits if hit is not None])


@routes.post("/v1/agents/messages/search")
async def search_agents_messages(body: MessageSearch, call: Ask) -> Json[list[RankedMessage]]:
    """Find messages by words and by meaning, and tell what made each rank where it does."""
    found = await messages.search_messages(call.ops, call.caller, body.to_domain(), body.scope())
    return Json([ranked_message(message, hit) for message, hit in found])


@routes.get("/v1/messages/{message_id}")
async def retrieve_message(message_id: MessagePath, call: Ask) -> Json[list[WireMessage]]:
    """Retrieve what a message is on the wire, which may be more than one."""
    return Json(wire_messages(await messages.retrieve(call.ops, call.caller, MessageId(message_id)), LIST_VIEW))
