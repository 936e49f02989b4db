"""Messages to and from an agent's own thread."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Body, Query

from reverie.api.context import FROM_MODELS, AgentPath, Ask, Call, MessagePath, Newest100, PageQuery
from reverie.api.declaring import Routes
from reverie.api.encode.fold import LettaResponse, fold
from reverie.api.encode.json import Json
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import in_order, kinds_of, wire_messages
from reverie.api.encode.sse import EventStream, StreamView
from reverie.api.encode.views import MessageType, View
from reverie.api.images import with_images, with_parts
from reverie.api.routes.agents import answer_agent
from reverie.api.wire.agents import AgentState
from reverie.api.wire.conversations import Compact, CompactionState, compaction_state
from reverie.api.wire.history import CaptureMessages, CaptureState, MessageUpdate
from reverie.api.wire.messages import AgentMessages, AsyncMessages, CancelRuns, ResetMessages, StreamMessages
from reverie.api.wire.runs import RunState, run_state
from reverie.domain.ids import AgentId, ConversationId, MessageId, RunId
from reverie.domain.message import Message, MessageFilter
from reverie.operations import conversations, messages, prompts

routes = Routes("messages")

Types = Annotated[list[MessageType] | None, Query()]


async def answer_turn(
    call: Call, thread: ConversationId, body: StreamMessages, *, streaming: bool
) -> Json[LettaResponse] | EventStream:
    """Send a message and answer with the whole reply, or with a stream of it."""
    body.checked(streaming)
    request = await with_images(body.to_domain(background=body.background, tokens=body.stream_tokens), call.options)
    handle = await messages.send(call.ops, call.caller, thread, request, again=call.again)
    if not streaming:
        try:
            return Json(await fold(handle.events(), body.view()))
        finally:
            handle.settle(await call.is_there())
    handle.settle(await call.is_there())
    reader = StreamView(
        view=body.view(),
        tokens=body.stream_tokens,
        numbered=handle.run.background,
        pings=body.include_pings,
        ping_interval_s=call.options.ping_interval_s,
    )
    return EventStream(handle.events(), reader)


def view_of_types(types: list[MessageType] | None) -> View:
    """The view of a reader who wants only these message types; None: all."""
    return View(types=None if types is None else frozenset(types))


async def answer_messages(
    call: Call, where: MessageFilter, page: PageQuery, view: View, *, of_agent: AgentId | None = None
) -> Json[list[WireMessage]]:
    """A page of messages as `view` shows them.

    `before` means earlier messages in both orders, unlike in other lists: chat programs scroll back by it, with the
    oldest message of a page that begins with the newest.
    """
    if page.order == "desc" and page.before is not None and page.after is None:
        page = replace(page, after=page.before, before=None)
    shown: dict[MessageId, list[WireMessage]] = {}

    def shows(message: Message) -> bool:
        shown[message.id] = wire_messages(message, view)
        return bool(shown[message.id])

    found = await messages.list_messages(call.ops, call.caller, where, page.page(), of_agent=of_agent, shows=shows)
    return Json(in_order((shown[message.id] for message in found), newest_first=page.order == "desc"))


async def answer_update(call: Call, agent_id: AgentId, message_id: MessageId, body: MessageUpdate) -> Json[WireMessage]:
    """Put other words into a message, and answer with it."""
    wish = body.to_domain()
    parts = await with_parts(wish.parts, call.options)
    found = await messages.change(call.ops, call.caller, agent_id, message_id, replace(wish, parts=parts))
    return Json(wire_messages(found, View())[0])


@routes.get("/v1/agents/{agent_id}/messages")
async def list_messages(
    agent_id: AgentPath,
    call: Ask,
    page: Newest100,
    conversation_id: str | None = None,
    group_id: str | None = None,
    include_err: bool | None = None,
    use_assistant_message: bool = True,
    assistant_message_tool_name: str = "send_message",
    assistant_message_tool_kwarg: str = "message",
    include_return_message_types: Types = None,
) -> Json[list[WireMessage]]:
    """List messages of the agent's own thread, or of one of its conversations."""
    thread = messages.thread_of(conversation_id or "default", agent_id)
    where = MessageFilter(
        conversation_id=thread,
        group_id=group_id,
        kinds=kinds_of(include_return_message_types),
        include_err=include_err,
    )
    view = replace(
        view_of_types(include_return_message_types),
        use_assistant_message=use_assistant_message,
        tool_name=assistant_message_tool_name,
        tool_kwarg=assistant_message_tool_kwarg,
    )
    return await answer_messages(call, where, page, view, of_agent=AgentId(agent_id))


@routes.post("/v1/agents/{agent_id}/messages", responses=FROM_MODELS)
async def send_message(agent_id: AgentPath, body: AgentMessages, call: Ask) -> Json[LettaResponse] | EventStream:
    """Send a message and wait for the reply; `streaming` sends the reply as it is made."""
    return await answer_turn(call, ConversationId(agent_id), body, streaming=bool(body.streaming))


@routes.post("/v1/agents/{agent_id}/messages/stream", responses=FROM_MODELS)
async def stream_message(agent_id: AgentPath, body: AgentMessages, call: Ask) -> EventStream:
    """Send a message and stream the reply."""
    answer = await answer_turn(call, ConversationId(agent_id), body, streaming=True)
    assert isinstance(answer, EventStream)
    return answer


@routes.post("/v1/agents/{agent_id}/messages/async")
async def send_message_async(agent_id: AgentPath, body: AsyncMessages, call: Ask) -> Json[RunState]:
    """Send a message and return its run at once; the run goes on by itself."""
    request = await with_images(body.to_domain(background=True, callback_url=body.callback_url), call.options)
    handle = await messages.send(call.ops, call.caller, ConversationId(agent_id), request, again=call.again)
    handle.settle(await call.is_there())
    return Json(run_state(handle.run))


@routes.post("/v1/agents/{agent_id}/messages/cancel")
async def cancel_message(
    agent_id: AgentPath, call: Ask, body: Annotated[CancelRuns | None, Body()] = None
) -> Json[dict[str, str]]:
    """Cancel the agent's runs: those named, or all that are live."""
    run_ids = None if body is None or body.run_ids is None else [RunId(item) for item in body.run_ids]
    return Json(await messages.cancel(call.ops, call.caller, AgentId(agent_id), run_ids))


@routes.post("/v1/agents/{agent_id}/messages/preview-raw-payload")
async def preview_payload(agent_id: AgentPath, body: AgentMessages, call: Ask) -> Json[dict[str, Any]]:
    """What the model would be sent for this message; nothing is sent or stored."""
    request = await with_images(body.to_domain(), call.options)
    return Json(await prompts.preview(call.ops, call.caller, ConversationId(agent_id), request))


@routes.patch("/v1/agents/{agent_id}/messages/{message_id}")
async def update_message(
    agent_id: AgentPath, message_id: MessagePath, body: MessageUpdate, call: Ask
) -> Json[WireMessage]:
    """Put other words into a stored message."""
    return await answer_update(call, AgentId(agent_id), MessageId(message_id), body)


@routes.post("/v1/agents/{agent_id}/messages/capture")
async def capture_messages(agent_id: AgentPath, body: CaptureMessages, call: Ask) -> Json[CaptureState]:
    """Add an exchange with a model that happened elsewhere to the agent's own thread."""
    added = await messages.capture(call.ops, call.caller, AgentId(agent_id), body.to_domain())
    return Json({"success": True, "messages_created": len(added), "run_ids": []})


@routes.patch("/v1/agents/{agent_id}/reset-messages")
async def reset_messages(
    agent_id: AgentPath, call: Ask, body: Annotated[ResetMessages | None, Body()] = None
) -> Json[AgentState]:
    """Forget the agent's own thread; memory and tools stay."""
    again = body is not None and body.add_default_initial_messages
    found = await messages.reset(call.ops, call.caller, AgentId(agent_id), add_default_initial_messages=again)
    return await answer_agent(call, found)


@routes.post("/v1/agents/{agent_id}/summarize", responses=FROM_MODELS)
async def summarize(
    agent_id: AgentPath, call: Ask, body: Annotated[Compact | None, Body()] = None
) -> Json[CompactionState]:
    """Summarise the older part of the agent's own thread now."""
    wish = body or Compact()
    done = await conversations.compact(call.ops, call.caller, ConversationId(agent_id), wish.changes())
    return Json(compaction_state(done))
