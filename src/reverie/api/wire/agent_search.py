"""Searches among agents on the wire. Source: `POST /v1/agents/search`, API description, read 2026-11."""

from typing import Annotated, Any, Literal, TypeAlias, assert_never

import orjson
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from reverie.api.wire.agents import AgentState
from reverie.api.wire.base import Body
from reverie.domain.agent import AgentFilter
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import is_id


class ByVersion(Body):
    """Agents of a version of a template."""

    field: Literal["version"]
    value: str


class ByName(Body):
    """Agents of a name, or with a part of it."""

    field: Literal["name"]
    operator: Literal["eq", "contains"]
    value: str


class ByTags(Body):
    """Agents that have all of these tags."""

    field: Literal["tags"]
    operator: Literal["contains"]
    value: list[str]


class ByIdentity(Body):
    """Agents of an identity, by its id or its key."""

    field: Literal["identity"]
    operator: Literal["eq"]
    value: str


class ByTemplateName(Body):
    """Agents of any version of a template."""

    field: Literal["templateName"]
    operator: Literal["eq"]
    value: str


class ByAgentId(Body):
    """One agent."""

    field: Literal["agentId"]
    operator: Literal["eq"]
    value: str


Condition: TypeAlias = Annotated[
    ByVersion | ByName | ByTags | ByIdentity | ByTemplateName | ByAgentId, Field(discriminator="field")
]


class AgentSearch(Body):
    """Which agents are wanted; every condition must hold."""

    search: list[Condition] | None = Field(default=None, max_length=50)
    project_id: str | None = None
    combinator: Literal["AND"] | None = None
    limit: int | None = Field(default=None, ge=1, le=1000)
    after: str | None = Field(default=None, min_length=1, max_length=200)
    sort_by: Literal["created_at", "last_run_completion", "updated_at"] | None = Field(default=None, alias="sortBy")
    ascending: bool | None = None

    def to_domain(self, project_id: str | None) -> AgentFilter:
        """The filter; `project_id` where the body names no other."""
        return filter_of(self.search or [], self.project_id or project_id)


class FoundAgents(TypedDict):
    """Agents, and where the next page starts."""

    agents: list[AgentState]
    nextCursor: str | None


class AgentCount(TypedDict):
    """How many agents there are."""

    count: int


def filter_of(conditions: list[Condition], project_id: str | None) -> AgentFilter:
    """The filter that all of `conditions` make."""
    return AgentFilter(project_id=project_id, also=tuple(_filter(item) for item in conditions))


def _filter(item: Condition) -> AgentFilter:
    match item:
        case ByVersion():
            return AgentFilter(template_version=item.value)
        case ByName():
            return AgentFilter(name=item.value) if item.operator == "eq" else AgentFilter(query_text=item.value)
        case ByTags():
            return AgentFilter(tags=tuple(item.value), match_all_tags=True)
        case ByIdentity():
            if is_id(item.value, "identity"):
                return AgentFilter(identity_id=item.value)
            return AgentFilter(identifier_keys=(item.value,))
        case ByTemplateName():
            return AgentFilter(template_name=item.value)
        case ByAgentId():
            return AgentFilter(agent_id=item.value)
        case impossible:
            assert_never(impossible)


_conditions: TypeAdapter[list[Condition]] = TypeAdapter(list[Condition], config={"defer_build": True})


def conditions_in(query: list[tuple[str, str]]) -> list[Condition]:
    """The conditions of a query: JSON, a list of it or one object each time, or `search[0][field]=name&…`.

    Raises:
        MalformedInput: they are none.
    """
    found: list[Any] = []
    spread: dict[str, dict[str, Any]] = {}
    for key, value in query:
        if key in ("search", "search[]"):
            found += _parsed(value)
        elif key.startswith("search["):
            place, *path = key.removeprefix("search[").rstrip("]").split("][")
            item = spread.setdefault(place, {})
            if len(path) == 1:
                item[path[0]] = value
            elif len(path) == 2 and path[0] == "value":
                item.setdefault("value", []).append(value)
    try:
        return _conditions.validate_python([*found, *spread.values()])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in ("search", *first["loc"]))
        raise MalformedInput(place, first["msg"]) from error


def _parsed(text: str) -> list[Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedInput(
            "search", 'must be JSON such as [{"field":"name","operator":"eq","value":"Ada"}]'
        ) from error
    return found if isinstance(found, list) else [found]
