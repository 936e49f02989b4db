"""What callers can ask for about tools."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict, InvalidInput, ModelError, NotFound, ToolError
from reverie.domain.ids import ToolId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.paging import Page
from reverie.domain.passage import SearchHit, SearchQuery
from reverie.domain.tool import Tool, ToolChanges, ToolDraft, ToolFilter, ToolType
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.storage import search as search_rows
from reverie.storage import tools
from reverie.tools.arguments import fit_arguments
from reverie.tools.base import ToolOutcome, ToolRun
from reverie.tools.limits import cut_whole
from reverie.tools.source_schema import derive_schema, entry_function

log = structlog.get_logger(__name__)

_EMBEDDED_PER_SEARCH: Final = 256
"""Tools that get their vector in one search, which waits for it; others are found by words until the next."""


async def create(ops: Operations, caller: Caller, draft: ToolDraft) -> Tool:
    """Make a custom tool; what the draft leaves out is read from its source.

    Raises:
        InvalidInput: no schema can be made of it.
        Conflict: a tool of that name exists.
    """
    caller.require(Scope.TOOLS)
    await ensure_builtin(ops, caller.organization_id)
    tool = _make_tool(ops, caller, draft)
    await ops.database.write(lambda c: tools.insert_tool(c, tool))
    return tool


async def upsert(ops: Operations, caller: Caller, draft: ToolDraft) -> Tool:
    """Make a custom tool, or put the draft in the place of the one that has its name, whose settings it takes over.

    Raises:
        InvalidInput: no schema can be made of it.
        Conflict: the name belongs to a built-in tool.
    """
    caller.require(Scope.TOOLS)
    await ensure_builtin(ops, caller.organization_id)
    tool = _make_tool(ops, caller, draft)

    def store(c: Connection) -> Tool:
        before = tools.find_named(c, caller.organization_id, tool.name, lock=True)
        if before is None:
            tools.insert_tool(c, tool)
            return tool
        if before.tool_type is not ToolType.CUSTOM:
            raise Conflict(f"{tool.name!r} is the name of a tool that is not custom; give the function another name")
        after = replace(
            tool,
            id=before.id,
            project_id=before.project_id,
            created_at=before.created_at,
            created_by_id=before.created_by_id,
            **{name: getattr(before, name) for name in draft.unsaid},
        )
        tools.update_tool(c, before, after)
        return after

    return await ops.database.write(store)


async def retrieve(ops: Operations, caller: Caller, tool_id: ToolId) -> Tool:
    """One tool."""
    caller.require(Scope.READ)
    await ensure_builtin(ops, caller.organization_id)
    return await ops.database.read(lambda c: tools.get(c, caller.organization_id, tool_id))


async def list_tools(ops: Operations, caller: Caller, where: ToolFilter, page: Page) -> list[Tool]:
    """A page of tools, built-in ones among them."""
    caller.require(Scope.READ)
    await ensure_builtin(ops, caller.organization_id)
    return await ops.database.read(lambda c: tools.list_page(c, caller.organization_id, where, page))


async def count(ops: Operations, caller: Caller, where: ToolFilter) -> int:
    """How many tools meet `where`."""
    caller.require(Scope.READ)
    await ensure_builtin(ops, caller.organization_id)
    return await ops.database.read(lambda c: tools.count(c, caller.organization_id, where))


async def update(ops: Operations, caller: Caller, tool_id: ToolId, changes: ToolChanges) -> Tool:
    """Change what `changes` names. New source without a schema has its schema derived anew.

    Raises:
        InvalidInput: no schema can be made of it, or a built-in tool was given source.
        Conflict: another tool has the new name.
    """
    caller.require(Scope.TOOLS)
    now = ops.clock()

    def store(c: Connection) -> Tool:
        before = tools.get(c, caller.organization_id, tool_id, lock=True)
        after = replace(_changed(before, changes), updated_at=now, last_updated_by_id=caller.user_id)
        tools.update_tool(c, before, after)
        return after

    return await ops.database.write(store)


async def delete(ops: Operations, caller: Caller, tool_id: ToolId) -> None:
    """Remove a tool from every agent and for good.

    Raises:
        InvalidInput: it is built in.
    """
    caller.require(Scope.TOOLS)

    def remove(c: Connection) -> None:
        found = tools.get(c, caller.organization_id, tool_id, lock=True)
        if found.is_builtin:
            raise InvalidInput(f"tool {found.name!r} is built in and cannot be deleted; detach it from agents instead")
        tools.delete_tool(c, found.id)

    await ops.database.write(remove)


async def add_base_tools(ops: Operations, caller: Caller) -> list[Tool]:
    """All built-in tools. They are there from the start; old clients ask for them to be made."""
    caller.require(Scope.WRITE)
    await ensure_builtin(ops, caller.organization_id)
    everything = Page(limit=None, order="asc")
    only_builtin = ToolFilter(only_builtin=True)
    return await ops.database.read(lambda c: tools.list_page(c, caller.organization_id, only_builtin, everything))


async def run(
    ops: Operations,
    caller: Caller,
    draft: ToolDraft,
    args: JsonObject,
    environment: Mapping[str, str],
    name: str | None = None,
) -> ToolOutcome:
    """Run source code as a tool without storing it; `name` is the function to call.

    Raises:
        InvalidInput: no schema can be made of it.
    """
    caller.require(Scope.TOOLS)
    return await _run(ops, caller, _make_tool(ops, caller, draft, name), args, environment)


async def run_stored(
    ops: Operations, caller: Caller, tool_id: ToolId, args: JsonObject, environment: Mapping[str, str]
) -> ToolOutcome:
    """Run a custom tool that is stored, outside any conversation and for no agent.

    Raises:
        NotFound: there is none of that id.
        InvalidInput: it is built in, or belongs to an MCP server.
    """
    caller.require(Scope.TOOLS)
    await ensure_builtin(ops, caller.organization_id)
    tool = await ops.database.read(lambda c: tools.get(c, caller.organization_id, tool_id))
    if tool.source_code is None:
        raise InvalidInput(f"tool {tool.name!r} has no source of its own; run it for an agent, or on its MCP server")
    return await _run(ops, caller, tool, args, environment)


async def _run(
    ops: Operations, caller: Caller, tool: Tool, args: JsonObject, environment: Mapping[str, str]
) -> ToolOutcome:
    try:
        arguments = fit_arguments(args, tool.spec)
    except ToolError as error:
        return ToolOutcome.error(str(error))
    outcome = await ops.executor.run(
        ToolRun(
            tool=tool,
            arguments=arguments,
            environment=environment,
            user_id=caller.user_id,
            scopes=frozenset(caller.scopes),
        )
    )
    return cut_whole(outcome, tool.return_char_limit)


async def search(
    ops: Operations, caller: Caller, query: SearchQuery, *, tool_types: tuple[ToolType, ...] | None = None
) -> list[tuple[Tool, SearchHit]]:
    """Tools whose name and description fit the query, best first; without words the newest."""
    caller.require(Scope.READ)
    organization = caller.organization_id
    await ensure_builtin(ops, organization)
    where = ToolFilter(tool_types=tool_types, tags=query.tags)
    vector = await _search_vector(ops, caller, query.text) if query.text and query.mode != "text" else None
    whole = replace(query, vector=vector)
    return await ops.database.read(lambda c: tools.search(c, organization, whole, where))


async def _search_vector(ops: Operations, caller: Caller, text: str) -> Sequence[float] | None:
    """What to search with; the tools that have no vector yet get one. None: words must do."""
    organization = caller.organization_id
    try:
        embedder = await (await ops.catalogs.of(organization)).default_embedder()
        if embedder is None:
            return None
        wish = await ops.database.read(lambda c: search_rows.tool_wish(c, organization, text))
        (vector,) = await embedder.embed([wish])
        bare = await ops.database.read(
            lambda c: tools.without_vector(c, organization, len(vector), _EMBEDDED_PER_SEARCH)
        )
        if bare:
            made = await embedder.embed([said for _, said in bare])
            placed = [(place, vector) for (place, _), vector in zip(bare, made, strict=True)]
            await ops.database.write(lambda c: tools.add_vectors(c, organization, placed))
    except (ModelError, NotFound) as error:
        log.warning("embedding_failed", error=str(error))
        return None
    return vector


def _make_tool(ops: Operations, caller: Caller, draft: ToolDraft, name: str | None = None) -> Tool:
    schema = derive_schema(
        draft.source_code,
        source_type=draft.source_type,
        args_json_schema=draft.args_json_schema,
        json_schema=draft.json_schema,
        name=name,
        description=draft.description,
    )
    now = ops.clock()
    return Tool(
        id=ToolId(make_id("tool")),
        organization_id=caller.organization_id,
        name=schema["name"],
        description=draft.description or schema.get("description") or "",
        json_schema=schema,
        args_json_schema=draft.args_json_schema,
        source_code=draft.source_code,
        source_type=draft.source_type,
        tags=tuple(dict.fromkeys(draft.tags)),
        return_char_limit=draft.return_char_limit,
        default_requires_approval=draft.default_requires_approval,
        enable_parallel_execution=draft.enable_parallel_execution,
        pip_requirements=draft.pip_requirements,
        npm_requirements=draft.npm_requirements,
        metadata=draft.metadata,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def _changed(before: Tool, changes: ToolChanges) -> Tool:
    given: dict[str, Any] = {
        item.name: value for item in fields(changes) if (value := getattr(changes, item.name)) is not UNSET
    }
    if "tags" in given:
        given["tags"] = tuple(dict.fromkeys(given["tags"]))
    after = replace(before, **given)
    if not given.keys() & {"source_code", "json_schema", "args_json_schema", "name", "source_type"}:
        if "description" in given:
            after = replace(after, json_schema={**after.json_schema, "description": after.description})
        return after
    if before.tool_type is ToolType.EXTERNAL_MCP:
        return _renamed(before, after, given)
    if before.source_code is None:
        raise InvalidInput(f"tool {before.name!r} is built in; its source, name and schema cannot be changed")
    schema = derive_schema(
        after.source_code or "",
        source_type=after.source_type,
        args_json_schema=after.args_json_schema,
        json_schema=given.get("json_schema"),
        name=given.get("name"),
        description=given.get("description"),
    )
    if {"source_code", "json_schema"} <= given.keys() and after.source_type == "python":
        function = entry_function(after.source_code or "", schema["name"])
        if function != schema["name"]:
            raise InvalidInput(
                f"json_schema: its name is {schema['name']!r}, but the function in source_code is {function!r}; "
                "give both the same name, or leave the schema out"
            )
    return replace(
        after, name=schema["name"], description=schema.get("description") or after.description, json_schema=schema
    )


def _renamed(before: Tool, after: Tool, given: Mapping[str, Any]) -> Tool:
    """An MCP tool under another name, by which models and rules know it; its server goes on calling it its own."""
    if given.keys() & {"source_code", "json_schema", "args_json_schema"}:
        raise InvalidInput(f"tool {before.name!r} belongs to an MCP server, which alone says what it takes and does")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", after.name):
        raise InvalidInput(f"name: {after.name!r} is not 1 to 64 letters, digits, '_' or '-', as models need it")
    schema = {**before.json_schema, "name": after.name, "description": after.description}
    return replace(after, source_type=before.source_type, json_schema=schema)
