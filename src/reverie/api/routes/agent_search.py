"""Search among agents, those made of templates above all."""

from typing import Annotated, Literal

from fastapi import Query, Request

from reverie.api.context import Ask, FromProject
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import related_of
from reverie.api.wire.agent_search import AgentCount, AgentSearch, FoundAgents, conditions_in, filter_of
from reverie.api.wire.agents import agent_state
from reverie.api.wire.relationships import ALL_RELATIONSHIPS
from reverie.domain.paging import Page
from reverie.operations import agents

routes = Routes("agents")


@routes.post("/v1/agents/search")
async def search_agents(call: Ask, project: FromProject, body: AgentSearch | None = None) -> Json[FoundAgents]:
    """Find agents; every given condition must hold. `nextCursor` is the `after` of the next page."""
    wish = body or AgentSearch()
    limit = wish.limit or 50
    page = Page(
        limit=limit + 1,
        after=wish.after,
        order="asc" if wish.ascending else "desc",
        order_by=wish.sort_by or "created_at",
    )
    related = related_of(ALL_RELATIONSHIPS)
    found = await agents.list_agents(call.ops, call.caller, wish.to_domain(project), page, related)
    shown = found[:limit]
    facts = await call.facts()
    return Json(
        {
            "agents": [agent_state(details, facts, ALL_RELATIONSHIPS) for details in shown],
            "nextCursor": shown[-1].agent.id if len(found) > limit else None,
        }
    )


@routes.get("/v1/agents/search/count")
async def count_found_agents(
    call: Ask,
    request: Request,
    project: FromProject,
    search: Annotated[list[str] | None, Query(description="Conditions as JSON.")] = None,
    project_id: str | None = None,
    combinator: Literal["AND"] | None = None,
) -> Json[AgentCount]:
    """Count agents; every given condition must hold."""
    where = filter_of(conditions_in(request.query_params.multi_items()), project_id or project)
    return Json({"count": await agents.count(call.ops, call.caller, where)})
