"""Agents for clients that speak OpenAI's chat format: the agent's id stands for the model."""

from reverie.api.context import FROM_MODELS, AgentPath, Ask, Call
from reverie.api.declaring import Routes
from reverie.api.encode.chat import ChatCompletion, ChatStream, ChatView, fold_chat
from reverie.api.encode.json import Json
from reverie.api.images import with_images
from reverie.api.wire.chat import ChatRequest
from reverie.domain.ids import ConversationId
from reverie.operations import messages

routes = Routes("chat")


async def _answer(call: Call, agent_id: str, body: ChatRequest, *, stream: bool) -> Json[ChatCompletion] | ChatStream:
    request = await with_images(body.to_domain(), call.options)
    handle = await messages.send(call.ops, call.caller, ConversationId(agent_id), request, again=call.again)
    options = body.stream_options
    reader = ChatView(model=body.model or agent_id, usage=options is not None and options.include_usage)
    if stream:
        handle.settle(await call.is_there())
        return ChatStream(handle.events(), handle.run, reader)
    try:
        return Json(await fold_chat(handle.events(), handle.run, reader))
    finally:
        handle.settle(await call.is_there())


@routes.post("/v1/chat/completions", responses=FROM_MODELS)
async def create_chat_completion(body: ChatRequest, call: Ask) -> Json[ChatCompletion] | ChatStream:
    """Send what is new in the messages to the agent that `model` names, in its own thread."""
    return await _answer(call, body.agent_id(), body, stream=bool(body.stream))


@routes.post("/v1/voice-beta/{agent_id}/chat/completions", responses=FROM_MODELS)
async def create_voice_chat_completion(
    agent_id: AgentPath, body: ChatRequest, call: Ask
) -> Json[ChatCompletion] | ChatStream:
    """The same for the agent of the path, as voice services call it: a stream unless it is declined."""
    return await _answer(call, agent_id, body, stream=body.stream is not False)
