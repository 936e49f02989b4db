"""What a model is sent, without sending it for an agent: requests shown, contexts measured, one-off generations."""

from contextlib import aclosing
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.context.prompt import PromptSections, sections_of
from reverie.context.tokens import estimate_prompt, estimate_text, estimate_tools, estimate_turn
from reverie.context.turns import turns_of
from reverie.domain.content import TextPart
from reverie.domain.errors import ModelBadReply, NotFound, ToolError
from reverie.domain.ids import AgentId, ConversationId
from reverie.domain.inputs import Request, SayInput, TurnOptions
from reverie.domain.json import JsonObject
from reverie.domain.message import Message, MessageKind, SummaryBody
from reverie.domain.run import Usage
from reverie.domain.tool import ToolSpec
from reverie.loop.generation import settings_of
from reverie.loop.offer import compile_request
from reverie.loop.state import View, prompt_inputs, read_view, said
from reverie.models.base import CallChunk, Prompt, TextChunk, ToolChoice, UsageChunk, UserTurn
from reverie.models.retry import stream_with_retries
from reverie.operations.base import Operations
from reverie.storage import agents, messages
from reverie.tools.arguments import parse_arguments


async def preview(ops: Operations, caller: Caller, conversation_id: ConversationId, request: Request) -> JsonObject:
    """The body of the request that the model would be sent now; nothing is stored or sent."""
    caller.require(Scope.READ)
    now = ops.clock()
    view = await ops.database.read(lambda c: read_view(c, caller.organization_id, conversation_id, now))
    words = (said(view, None, item, now) for item in request.inputs if isinstance(item, SayInput))
    model = await (await ops.catalogs.of(caller.organization_id)).chat_model(
        request.options.override_model or view.model_handle
    )
    after = replace(view, context=(*view.context, *words))
    return model.preview(compile_request(after, request.options, model.info))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOverview:
    """What the next request holds and what lies outside of it; sizes are estimated tokens."""

    window: int
    total: int
    sections: PromptSections
    context: tuple[Message, ...]
    summary: str | None
    tools: tuple[ToolSpec, ...]
    instructions_tokens: int
    memory_tokens: int
    folders_tokens: int
    rules_tokens: int
    outside_tokens: int
    summary_tokens: int
    tools_tokens: int
    messages_tokens: int
    passage_count: int
    message_count: int
    """Messages that the conversation ever had."""


async def overview(
    ops: Operations, caller: Caller, agent_id: AgentId, conversation_id: ConversationId | None = None
) -> ContextOverview:
    """Measure the next request of the agent's own thread, or of one of its conversations.

    Raises:
        NotFound: the agent has no such conversation.
    """
    caller.require(Scope.READ)
    thread = conversation_id or ConversationId(agent_id)
    now = ops.clock()

    def read(c: Connection) -> tuple[View, int]:
        agents.get(c, caller.organization_id, agent_id)
        view = read_view(c, caller.organization_id, thread, now)
        if view.agent.id != agent_id:
            raise NotFound("conversation", thread, f"it is not one of agent {agent_id!r}")
        return view, messages.count(c, thread)

    view, count = await ops.database.read(read)
    model = await (await ops.catalogs.of(caller.organization_id)).chat_model(view.model_handle)
    request = compile_request(view, TurnOptions(), model.info)
    sections = sections_of(prompt_inputs(view, now, message_count=count))
    summaries = [message for message in view.context if message.kind is MessageKind.SUMMARY]
    summary_tokens = sum(estimate_turn(turn) for turn in turns_of(summaries))
    limit = view.window_limit
    ratio = await ops.ratios.of(caller.organization_id, model.info.handle)
    return ContextOverview(
        window=min(limit, model.info.context_window) if limit else model.info.context_window,
        total=ratio.counted(estimate_prompt(request)),
        sections=sections,
        context=view.context,
        summary="\n\n".join(item.body.text for item in summaries if isinstance(item.body, SummaryBody)) or None,
        tools=request.tools,
        instructions_tokens=ratio.counted(estimate_text(sections.instructions)),
        memory_tokens=ratio.counted(estimate_text(sections.memory)),
        folders_tokens=ratio.counted(estimate_text(sections.folders)),
        rules_tokens=ratio.counted(estimate_text(sections.rules)),
        outside_tokens=ratio.counted(estimate_text(sections.outside)),
        summary_tokens=ratio.counted(summary_tokens),
        tools_tokens=ratio.counted(estimate_tools(request.tools)),
        messages_tokens=ratio.counted(sum(estimate_turn(turn) for turn in request.turns) - summary_tokens),
        passage_count=view.details.passage_count,
        message_count=count,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a model answered to a request of its own."""

    text: str
    model: str
    usage: Usage


async def generate(
    ops: Operations,
    caller: Caller,
    agent_id: AgentId,
    prompt: str,
    *,
    system: str | None = None,
    override_model: str | None = None,
    schema: JsonObject | None = None,
) -> Generation:
    """Ask the agent's model, with the agent's settings and nothing else of the agent; nothing is stored.

    With `schema` the answer is JSON that fits it.

    Raises:
        NotFound: an unknown agent or model.
        ModelError: the provider failed, or its answer does not fit `schema`.
    """
    caller.require(Scope.WRITE)
    agent = await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    model = await (await ops.catalogs.of(caller.organization_id)).chat_model(override_model or agent.model)
    answer = ToolSpec(name="answer", description="Give the answer.", parameters=schema or {})
    request = Prompt(
        system=system or "",
        turns=(UserTurn(parts=(TextPart(text=prompt),)),),
        tools=() if schema is None else (answer,),
        tool_choice=ToolChoice() if schema is None else ToolChoice(mode="named", name=answer.name),
        settings=settings_of(agent.model_settings, model.info),
    )
    text: list[str] = []
    arguments: list[str] = []
    usage = Usage(step_count=1)
    async with aclosing(stream_with_retries(model, request)) as chunks:
        async for chunk in chunks:
            match chunk:
                case TextChunk():
                    text.append(chunk.text)
                case CallChunk():
                    arguments.append(chunk.arguments)
                case UsageChunk():
                    usage = _usage(chunk)
                case _:
                    pass
    if schema is None:
        return Generation(text="".join(text), model=model.info.handle, usage=usage)
    # Some models write the object as text although they were told to call.
    found = "".join(arguments) or "".join(text)
    try:
        parse_arguments(found, answer)
    except ToolError as error:
        raise ModelBadReply(f"{model.info.handle} gave an answer that does not fit response_schema: {error}") from error
    return Generation(text=found, model=model.info.handle, usage=usage)


def _usage(chunk: UsageChunk) -> Usage:
    return Usage(
        prompt_tokens=chunk.prompt_tokens,
        completion_tokens=chunk.completion_tokens,
        total_tokens=chunk.prompt_tokens + chunk.completion_tokens,
        step_count=1,
        cached_input_tokens=chunk.cached_input_tokens,
        cache_write_tokens=chunk.cache_write_tokens,
        reasoning_tokens=chunk.reasoning_tokens,
        context_tokens=chunk.prompt_tokens + chunk.completion_tokens,
    )
