"""What an agent file brings along, as this server has it: tools, MCP servers, folders.

A rule that imports, templates and migrations share.
"""

from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent_file import (
    AgentFile,
    FileFile,
    FileMcpServer,
    FileSource,
    FileTool,
)
from reverie.domain.errors import InvalidInput
from reverie.domain.folder import File, Folder, clean_file_path
from reverie.domain.ids import (
    FileId,
    FolderId,
    McpServerId,
    ToolId,
    make_id,
)
from reverie.domain.mcp_server import McpServer, McpServerDraft, McpServerType, McpToolLink
from reverie.domain.tool import NOT_BUILTIN, Tool, ToolType
from reverie.operations.base import Operations
from reverie.operations.mcp_access import target_of_draft
from reverie.storage import files, folders, mcp_servers, tools
from reverie.tools.source_schema import derive_schema

log = structlog.get_logger(__name__)


async def check_servers(ops: Operations, caller: Caller, file: AgentFile) -> None:
    """Look whether the addresses of the file's MCP servers may be opened from here.

    Raises:
        InvalidInput: one may not.
    """
    for item in file.mcp_servers:
        if (draft := _server_draft(item)) is not None:
            await ops.mcp.check(target_of_draft(caller, draft))


def store_tools(c: Connection, caller: Caller, file: AgentFile, now: datetime, *, override: bool) -> dict[str, Tool]:
    """The file's tools as this server has them, by their ids in the file, made or brought up to date where needed.

    Built-in tools that this server does not have are left out: they cannot be made from a file. So are tools
    of an MCP server that is a process and is not configured here: a file must not name commands to run.
    """
    found: dict[str, Tool] = {}
    for item in file.tools:
        if item.tool_type is ToolType.EXTERNAL_MCP:
            tool = _stored_mcp_tool(c, caller, item, file, now)
        else:
            tool = _stored_tool(c, caller, item, now, override=override)
        if tool is None:
            log.warning("tool_left_out", tool=item.name, tool_type=item.tool_type.value)
        else:
            found[item.id] = tool
    return found


def _stored_tool(c: Connection, caller: Caller, item: FileTool, now: datetime, *, override: bool) -> Tool | None:
    known = tools.find_named(c, caller.organization_id, item.name, lock=True)
    if known is not None and (known.is_builtin or not override):
        return known
    if item.tool_type not in NOT_BUILTIN:
        return known
    fresh = _made_tool(caller, item, now)
    if known is None:
        caller.require(Scope.TOOLS)
        tools.insert_tool(c, fresh)
        return fresh
    if known.tool_type is not ToolType.CUSTOM or known.source_type != fresh.source_type:
        return known
    after = replace(
        fresh,
        id=known.id,
        project_id=known.project_id,
        created_at=known.created_at,
        updated_at=known.updated_at,
        created_by_id=known.created_by_id,
        last_updated_by_id=known.last_updated_by_id,
    )
    if after == known:
        return known
    caller.require(Scope.TOOLS)
    after = replace(after, updated_at=now, last_updated_by_id=caller.user_id)
    tools.update_tool(c, known, after)
    return after


def _stored_mcp_tool(c: Connection, caller: Caller, item: FileTool, file: AgentFile, now: datetime) -> Tool | None:
    """A tool of an MCP server, which is made as well where its address is in the file; without what opens it."""
    about = item.metadata_.get("mcp")
    about = about if isinstance(about, dict) else {}
    server_name = str(about.get("server_name") or "")
    remote_name = str(about.get("tool_name") or item.name)
    server = next(
        (known for known in mcp_servers.list_all(c, caller.organization_id) if known.server_name == server_name), None
    )
    if server is not None:
        own = [tool for tool, link in mcp_servers.tools_of(c, server) if link.tool_name == remote_name]
        if own:
            return own[0]
    elif (server := _made_server(caller, server_name, file, now)) is not None:
        mcp_servers.insert_server(c, server)
    if server is None:
        return None
    caller.require(Scope.TOOLS)
    taken = tools.find_named(c, caller.organization_id, item.name) is not None
    name = f"{server_name}_{item.name}"[:60] if taken else item.name
    schema = {"description": item.description or "", "parameters": {}, **(item.json_schema or {}), "name": name}
    tool = Tool(
        id=ToolId(make_id("tool")),
        organization_id=caller.organization_id,
        name=name,
        tool_type=ToolType.EXTERNAL_MCP,
        description=item.description or "",
        json_schema=schema,
        source_type="json",
        tags=(f"mcp:{server_name}",),
        metadata={"mcp": {"server_name": server_name, "server_id": server.id, "tool_name": remote_name}},
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    mcp_servers.insert_tool(c, tool, McpToolLink(tool_id=tool.id, server_id=server.id, tool_name=remote_name))
    return tool


def _made_server(caller: Caller, server_name: str, file: AgentFile, now: datetime) -> McpServer | None:
    item = next((item for item in file.mcp_servers if item.server_name == server_name), None)
    draft = None if item is None else _server_draft(item)
    if draft is None:
        return None
    caller.require(Scope.TOOLS)
    return McpServer(
        id=McpServerId(make_id("mcp_server")),
        organization_id=caller.organization_id,
        server_name=draft.server_name,
        server_type=draft.server_type,
        server_url=draft.server_url,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def _server_draft(item: FileMcpServer) -> McpServerDraft | None:
    """What a server over HTTP is made of; None for processes and what is no server."""
    if item.server_url is None or item.server_type not in (McpServerType.SSE, McpServerType.STREAMABLE_HTTP):
        return None
    return McpServerDraft(
        server_name=item.server_name, server_type=McpServerType(item.server_type), server_url=item.server_url
    )


def _made_tool(caller: Caller, item: FileTool, now: datetime) -> Tool:
    if not item.source_code:
        raise InvalidInput(
            f"agent file: tool {item.name!r} ({item.tool_type.value}) has no source_code and is not here"
        )
    try:
        schema = derive_schema(
            item.source_code,
            source_type=item.source_type,
            args_json_schema=item.args_json_schema,
            json_schema=item.json_schema,
            description=item.description,
        )
    except InvalidInput as error:
        raise InvalidInput(f"agent file: tool {item.name!r}: {error}") from error
    return Tool(
        id=ToolId(make_id("tool")),
        organization_id=caller.organization_id,
        name=schema["name"],
        description=item.description or schema.get("description") or "",
        json_schema=schema,
        args_json_schema=item.args_json_schema,
        source_code=item.source_code,
        source_type=item.source_type,
        tags=item.tags,
        return_char_limit=item.return_char_limit,
        default_requires_approval=item.default_requires_approval,
        enable_parallel_execution=item.enable_parallel_execution,
        pip_requirements=item.pip_requirements,
        npm_requirements=item.npm_requirements,
        metadata=item.metadata_,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def store_folders(
    c: Connection, caller: Caller, file: AgentFile, embedding: str | None, now: datetime
) -> dict[str, Folder]:
    """The file's folders by their ids in the file: those that are here already, else made with their files.

    Whoever calls rings for the files to be read, once they are committed.
    """
    here = {folder.id: folder for folder in folders.find_many(c, caller.organization_id, [s.id for s in file.sources])}
    found: dict[str, Folder] = {str(folder_id): folder for folder_id, folder in here.items()}
    for source in file.sources:
        if source.id in found:
            continue
        folder = _made_folder(c, caller, source, embedding, now)
        folders.insert_folder(c, folder)
        for item in file.files:
            if item.source_id == source.id and item.content is not None:
                _store_text(c, caller, folder, item, now)
        found[source.id] = folder
    return found


def _made_folder(c: Connection, caller: Caller, source: FileSource, embedding: str | None, now: datetime) -> Folder:
    folder_id = FolderId(make_id("source"))
    taken = folders.find_named(c, caller.organization_id, source.name) is not None
    return Folder(
        id=folder_id,
        organization_id=caller.organization_id,
        name=f"{source.name} {folder_id[7:15]}" if taken else source.name,
        description=source.description,
        instructions=source.instructions,
        embedding=embedding,
        metadata=source.metadata,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def _store_text(c: Connection, caller: Caller, folder: Folder, item: FileFile, now: datetime) -> None:
    """A file of a folder, of which the agent file has the text alone."""
    name = clean_file_path(item.original_file_name or (item.file_name or item.id).rpartition("/")[2])
    data = (item.content or "").encode()
    files.insert_file(
        c,
        File(
            id=FileId(make_id("file")),
            organization_id=folder.organization_id,
            folder_id=folder.id,
            file_name=files.free_name(c, folder, name),
            original_file_name=name,
            file_type="text/plain",
            file_size=len(data),
            created_at=now,
            updated_at=now,
            created_by_id=caller.user_id,
            last_updated_by_id=caller.user_id,
        ),
        data,
    )
