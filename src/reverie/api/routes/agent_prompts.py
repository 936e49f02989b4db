"""What an agent's model is sent: contexts measured, and generations beside every conversation."""

from typing import Annotated

from fastapi import Query

from reverie.api.context import FROM_MODELS, AgentPath, Ask
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.prompts import ContextState, Generate, GenerationState, context_state, generation_state
from reverie.domain.ids import AgentId
from reverie.operations import messages, prompts

routes = Routes("agents")


@routes.get("/v1/agents/{agent_id}/context")
async def retrieve_context(
    agent_id: AgentPath, call: Ask, conversation_id: Annotated[str | None, Query(min_length=1)] = None
) -> Json[ContextState]:
    """Measure what the next request holds, of the agent's own thread or of one of its conversations."""
    thread = None if conversation_id is None else messages.thread_of(conversation_id, agent_id)
    return Json(context_state(await prompts.overview(call.ops, call.caller, AgentId(agent_id), thread)))


@routes.post("/v1/agents/{agent_id}/generate", responses=FROM_MODELS)
async def generate(agent_id: AgentPath, body: Generate, call: Ask) -> Json[GenerationState]:
    """Ask the agent's model something beside every conversation; nothing is stored."""
    done = await prompts.generate(
        call.ops,
        call.caller,
        AgentId(agent_id),
        body.prompt,
        system=body.system_prompt,
        override_model=body.override_model,
        schema=body.response_schema,
    )
    return Json(generation_state(done))
