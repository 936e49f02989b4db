"""What callers can ask for about tools."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict, InvalidInput
from reverie.domain.ids import ToolId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.paging import Page
from reverie.domain.passage import SearchHit
from reverie.domain.tool import Tool, ToolChanges, ToolDraft, ToolFilter, ToolType
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.storage import tools
from reverie.tools.base import ToolOutcome, ToolRun
from reverie.tools.source_schema import derive_schema


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
    """Make a custom tool, or put the draft in the place of the one that has its name.

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
    tool = _make_tool(ops, caller, draft, name)
    return await ops.executor.run(
        ToolRun(
            tool=tool,
            arguments=args,
            environment=environment,
            user_id=caller.user_id,
            scopes=frozenset(caller.scopes),
        )
    )


async def search(
    ops: Operations,
    caller: Caller,
    query: str | None,
    *,
    tool_types: tuple[ToolType, ...] | None = None,
    tags: tuple[str, ...] = (),
    limit: int = 50,
) -> list[tuple[Tool, SearchHit]]:
    """Tools whose name or description holds words of `query`, best first; without words the newest."""
    caller.require(Scope.READ)
    await ensure_builtin(ops, caller.organization_id)
    where = ToolFilter(tool_types=tool_types, tags=tags)
    found = await ops.database.read(lambda c: tools.list_page(c, caller.organization_id, where, Page(limit=None)))
    words = frozenset(_words(query or ""))
    scored = [(tool, _score(tool, words)) for tool in found]
    best = sorted((item for item in scored if item[1] > 0 or not words), key=lambda item: -item[1])[:limit]
    return [(tool, SearchHit(id=tool.id, score=score, text_rank=rank)) for rank, (tool, score) in enumerate(best, 1)]


def _score(tool: Tool, words: frozenset[str]) -> float:
    """The share of `words` that the tool speaks of; its name counts for more than its description."""
    if not words:
        return 0.0
    in_name = len(words & frozenset(_words(tool.name)))
    in_description = len(words & frozenset(_words(tool.description)))
    return (2 * in_name + in_description) / (3 * len(words))


def _words(text: str) -> list[str]:
    # Underscores part words in names; a trailing s is the plural that descriptions differ by most.
    return [word.rstrip("s") for word in re.findall(r"[^\W_]+", text.lower())]


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
