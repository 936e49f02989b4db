"""Agents."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from reverie.api.context import (
    AgentPath,
    Ask,
    Call,
    CursorQuery,
    FromProject,
    IdentityQuery,
    IntoProject,
    LimitQuery,
    ListQuery,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.images import with_said
from reverie.api.wire.agent_drafts import AgentCreate, AgentUpdate
from reverie.api.wire.agents import AgentState, SecretName, agent_state
from reverie.api.wire.base import Order
from reverie.api.wire.relationships import ALL_RELATIONSHIPS, Relationship, wanted_relationships
from reverie.domain.agent import AgentDetails, AgentFilter
from reverie.domain.ids import AgentId, ConversationId
from reverie.domain.paging import Page
from reverie.domain.stop_reason import StopReason
from reverie.domain.template import TemplateRef
from reverie.domain.unset import UNSET
from reverie.operations import agents, conversations, deployments, projects
from reverie.storage.agents import Related

routes = Routes("agents")

Include = Annotated[list[Relationship] | None, Query()]


def related_of(wanted: frozenset[str]) -> frozenset[Related]:
    """What must be read for an answer with these relationships."""
    return frozenset(item for item in Related if item in wanted or item is Related.MESSAGE_IDS)


async def answer_agent(
    call: Call, details: AgentDetails, wanted: frozenset[str] = ALL_RELATIONSHIPS
) -> Json[AgentState]:
    """One agent as the answer."""
    return Json(agent_state(details, await call.facts(), wanted))


async def answer_agents(call: Call, found: list[AgentDetails], wanted: frozenset[str]) -> Json[list[AgentState]]:
    """Agents as the answer."""
    facts = await call.facts()
    return Json([agent_state(details, facts, wanted) for details in found])


async def _filter(
    project: FromProject,
    name: str | None = None,
    tags: ListQuery = None,
    match_all_tags: bool = False,
    query_text: str | None = None,
    project_id: str | None = None,
    template_id: str | None = None,
    base_template_id: str | None = None,
    identity_id: IdentityQuery = None,
    identifier_keys: ListQuery = None,
    created_by_id: str | None = None,
    last_stop_reason: StopReason | None = None,
) -> AgentFilter:
    return AgentFilter(
        name=name,
        tags=tuple(tags or ()),
        match_all_tags=match_all_tags,
        query_text=query_text,
        project_id=project_id or project,
        template_id=template_id,
        base_template_id=base_template_id,
        identity_id=identity_id,
        identifier_keys=tuple(identifier_keys or ()),
        created_by_id=created_by_id,
        last_stop_reason=last_stop_reason,
    )


Where = Annotated[AgentFilter, Depends(_filter)]
SortBy = Literal["created_at", "updated_at", "last_run_completion"]


@routes.post("/v1/agents")
async def create_agent(body: AgentCreate, call: Ask, project: IntoProject) -> Json[AgentState]:
    """Make an agent with all it is attached to, whole or not at all."""
    if body.project_id is None and body.project:
        project = await projects.settle(call.ops, call.caller, body.project)
    draft = body.to_domain(project)
    if draft.initial_messages:
        draft = replace(draft, initial_messages=await with_said(draft.initial_messages, call.options))
    if body.from_template:
        ref = TemplateRef.parse(body.from_template, project)
        _, made = await deployments.create(call.ops, call.caller, ref, body.to_deployment(draft))
        return await answer_agent(call, made.agents[0])
    return await answer_agent(call, await agents.create(call.ops, call.caller, draft))


@routes.get("/v1/agents")
async def list_agents(
    call: Ask,
    where: Where,
    limit: LimitQuery = 50,
    after: CursorQuery = None,
    before: CursorQuery = None,
    order: Order = "desc",
    order_by: SortBy = "created_at",
    ascending: bool | None = None,
    sort_by: SortBy | None = None,
    include: Include = None,
    include_relationships: ListQuery = None,
) -> Json[list[AgentState]]:
    """List agents; every given condition must hold."""
    page = Page(
        limit=limit,
        after=after,
        before=before,
        order="asc" if ascending else order,
        order_by=sort_by or order_by,
    )
    wanted = wanted_relationships(include, include_relationships, call.is_sdk)
    found = await agents.list_agents(call.ops, call.caller, where, page, related_of(wanted))
    return await answer_agents(call, found, wanted)


@routes.get("/v1/agents/count")
async def count_agents(call: Ask, where: Where) -> Json[int]:
    """Count agents; every given condition must hold."""
    return Json(await agents.count(call.ops, call.caller, where))


@routes.get("/v1/_internal_agents/count", include_in_schema=False)
async def count_all_agents(call: Ask, where: Where, exclude_hidden: bool = True) -> Json[int]:
    """Count agents, hidden ones too where they are not excluded."""
    return Json(await agents.count(call.ops, call.caller, replace(where, include_hidden=not exclude_hidden)))


@routes.get("/v1/agents/{agent_id}")
async def retrieve_agent(
    agent_id: AgentPath, call: Ask, include: Include = None, include_relationships: ListQuery = None
) -> Json[AgentState]:
    """Retrieve an agent."""
    wanted = wanted_relationships(include, include_relationships, call.is_sdk)
    # Files are blocks of its memory, too, where only blocks are asked for.
    related = related_of(wanted | {"sources"} if "blocks" in wanted else wanted)
    found = await agents.retrieve(call.ops, call.caller, AgentId(agent_id), related)
    return await answer_agent(call, found, wanted)


@routes.patch("/v1/agents/{agent_id}")
async def update_agent(
    agent_id: AgentPath, body: AgentUpdate, call: Ask, include: Include = None, include_relationships: ListQuery = None
) -> Json[AgentState]:
    """Change what is given; lists replace what is attached.

    The SDKs cannot say here what they want to see, so that they are shown all.
    """
    wanted = wanted_relationships(include, include_relationships, is_sdk=False)
    changes = body.to_domain()
    if body.model_settings is None and changes.model_settings is not UNSET:
        # Deprecated fields such as max_tokens each change one setting; the others stay.
        now = (await agents.retrieve(call.ops, call.caller, AgentId(agent_id), frozenset())).agent
        changes = replace(changes, model_settings=now.model_settings | changes.model_settings)
    found = await agents.update(call.ops, call.caller, AgentId(agent_id), changes)
    return await answer_agent(call, found, wanted)


@routes.delete("/v1/agents/{agent_id}")
async def delete_agent(agent_id: AgentPath, call: Ask) -> Json[dict[str, Any]]:
    """Delete an agent with what is its own; a running turn is cancelled first."""
    await agents.delete(call.ops, call.caller, AgentId(agent_id))
    return Json({"message": f"agent {agent_id} is deleted"})


@routes.post("/v1/agents/{agent_id}/recompile")
@routes.post("/v1/agents/{agent_id}/system-prompt/recompile")
async def recompile_agent(
    agent_id: AgentPath, call: Ask, dry_run: bool = False, update_timestamp: bool = False
) -> Json[str]:
    """Compile the system prompt of the agent's own thread anew and return it."""
    thread = ConversationId(agent_id)
    prompt = await conversations.recompile(
        call.ops, call.caller, thread, dry_run=dry_run, update_timestamp=update_timestamp
    )
    return Json(prompt)


@routes.get("/v1/agents/{agent_id}/secrets")
async def list_secrets(agent_id: AgentPath, call: Ask) -> Json[list[SecretName]]:
    """List the names of the secrets that the agent's tools are given; values are not told here."""
    found = await agents.retrieve(call.ops, call.caller, AgentId(agent_id), frozenset())
    return Json([{"key": name} for name in sorted(found.agent.sealed_secrets)])
