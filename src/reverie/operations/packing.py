"""Agents to agent files: a rule that exports and templates share.

Nothing secret goes into a file: of secrets it has the names alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import Connection

from reverie import __version__
from reverie.auth.keys import Caller
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.agent_file import (
    AgentFile,
    FileAgent,
    FileBlock,
    FileBlockChange,
    FileFile,
    FileGroup,
    FileMcpServer,
    FileMemory,
    FileSource,
    FileTool,
    check_references,
)
from reverie.domain.block import Block, BlockChange
from reverie.domain.errors import InvalidInput
from reverie.domain.file_messages import file_message, turns_of_history
from reverie.domain.group import Group
from reverie.domain.ids import AgentId, ConversationId, FolderId, OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.message import Message
from reverie.domain.paging import Page
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.domain.provider_words import embedding_endpoint_word, llm_endpoint_word, settings_word
from reverie.domain.template import SnapshotAgent, SnapshotDraft
from reverie.domain.tool import Tool, ToolType
from reverie.operations.base import Operations
from reverie.storage import (
    agents,
    archives,
    block_history,
    files,
    folders,
    identities,
    mcp_servers,
    messages,
    passages,
    tools,
)

T = TypeVar("T")
UNKNOWN_WINDOW = 32_000
"""Written for a model whose window nobody knows; a file must name one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOptions:
    """What a file is to hold besides the agents themselves."""

    past: bool = True
    """Messages, archival memory, and what blocks held before."""
    conversation_id: ConversationId | None = None
    """None: messages of the agent's own thread."""
    folders_by_id: bool = False
    """Folders are only named, by their ids here, and their files stay where they are; else both go along."""
    max_turns: int = 100
    """So many last messages of the user with all that followed them; what is in context comes along in any case."""


@dataclass(slots=True)
class _Numbered:
    """Ids in a file, given in the order of first use."""

    kind: str
    known: dict[str, str] = field(default_factory=dict)

    def of(self, stored_id: str) -> str:
        return self.known.setdefault(stored_id, f"{self.kind}-{len(self.known)}")


def with_members(c: Connection, organization_id: OrganizationId, agent_id: AgentId) -> list[AgentDetails]:
    """An agent, and behind it the members of the group that it manages.

    Those that look after its memory are not among them: whoever reads a file makes them anew.

    Raises:
        NotFound: the agent does not exist.
    """
    first = agents.get_whole(c, organization_id, agent_id)
    group = first.managed_group
    if group is None or group.manager_type.is_sleeptime:
        return [first]
    others = [item for item in group.agent_ids if item != agent_id]
    return [first, *(agents.get_whole(c, organization_id, item) for item in others)]


def pack(c: Connection, found: Sequence[AgentDetails], options: PackOptions, now: datetime) -> AgentFile:
    """The file of these agents, with the groups that they manage; `with_configs` completes it for other servers."""
    agent_ids, block_ids, tool_ids = _Numbered("agent"), _Numbered("block"), _Numbered("tool")
    blocks = _distinct((block for details in found for block in details.blocks), lambda block: block.id)
    own_tools = _distinct((tool for details in found for tool in details.tools), lambda tool: tool.id)
    sources, files, source_ids = _packed_folders(c, found, options)
    past = block_history.of_blocks(c, blocks) if options.past else {}
    packed = []
    for details in found:
        agent = _packed_agent(details, agent_ids, block_ids, tool_ids)
        agent = replace(agent, source_ids=tuple(source_ids[item.folder.id] for item in details.folders))
        if options.past:
            agent = replace(agent, passages=_packed_passages(c, details.agent))
            agent = _with_messages(c, agent, details.agent, options)
        packed.append(agent)
    return AgentFile(
        agents=tuple(packed),
        blocks=tuple(_packed_block(block, block_ids, past.get(block.id, ())) for block in blocks),
        tools=tuple(_packed_tool(tool, tool_ids) for tool in own_tools),
        groups=_packed_groups(found, agent_ids, block_ids),
        sources=sources,
        files=files,
        mcp_servers=_packed_servers(c, own_tools),
        metadata={"exported_by": f"reverie {__version__}"},
        created_at=now,
    )


def snapshot_file(c: Connection, organization_id: OrganizationId, draft: SnapshotDraft, before: AgentFile) -> AgentFile:
    """What a client makes of a working version that held `before`; agents keep what the draft does not speak of.

    Raises:
        InvalidInput: the parts do not fit together.
        NotFound: a tool, folder or identity that is not here.
    """
    numbers = _Numbered("tool")
    tool_ids = [item for agent in draft.agents for item in agent.tool_ids]
    folder_ids = [item for agent in draft.agents for item in agent.folder_ids]
    own_tools = tools.get_many(c, organization_id, tool_ids)
    own_folders = folders.get_many(c, organization_id, [FolderId(item) for item in folder_ids])
    identities.get_many(c, organization_id, [item for agent in draft.agents for item in agent.identity_ids])
    known = {agent.id: agent for agent in before.agents}
    entities = {agent.entity_id for agent in draft.agents}
    shared = {block.id for block in draft.blocks}
    file = AgentFile(
        groups=tuple(
            replace(group, shared_block_ids=tuple(item for item in group.shared_block_ids if item in shared))
            for group in before.groups
            if {*group.agent_ids, group.manager_config.get("manager_agent_id") or group.agent_ids[0]} <= entities
        ),
        agents=tuple(_snapshot_agent(agent, draft, known, numbers) for agent in draft.agents),
        blocks=draft.blocks,
        tools=tuple(_packed_tool(tool, numbers) for tool in own_tools),
        sources=tuple(FileSource(id=folder.id, name=folder.name) for folder in own_folders),
    )
    check_references(file)
    if lost := next((agent for agent, _ in draft.attached if agent not in entities), None):
        raise InvalidInput(f"relationships: agentEntityId {lost!r} is none of the snapshot's agents")
    return file


def _snapshot_agent(
    wanted: SnapshotAgent, draft: SnapshotDraft, known: Mapping[str, FileAgent], numbers: _Numbered
) -> FileAgent:
    before = known.get(wanted.entity_id) or FileAgent(
        id=wanted.entity_id, include_base_tools=False, include_base_tool_rules=False
    )
    names = dict.fromkeys(wanted.secrets, "")
    return replace(
        before,
        name=wanted.name,
        agent_type=wanted.agent_type,
        model=wanted.model,
        system=wanted.system,
        tools=(),
        include_base_tools=False,
        tool_ids=tuple(numbers.of(item) for item in wanted.tool_ids),
        source_ids=wanted.folder_ids,
        folder_ids=(),
        identity_ids=wanted.identity_ids,
        tool_rules=wanted.tool_rules,
        tags=wanted.tags,
        block_ids=tuple(block for agent, block in draft.attached if agent == wanted.entity_id),
        secrets=names,
        tool_exec_environment_variables=names,
        model_settings=before.settings | wanted.settings,
        context_window_limit=wanted.context_window_limit,
        max_files_open=wanted.max_files_open,
        per_file_view_window_char_limit=wanted.per_file_view_window_char_limit,
        message_buffer_autoclear=wanted.message_buffer_autoclear,
    )


async def with_configs(ops: Operations, caller: Caller, file: AgentFile) -> AgentFile:
    """`file` with what other servers want to know of its models."""
    catalog = await ops.catalogs.of(caller.organization_id)
    models = {model.handle: model for model in await catalog.list_models()}
    embedders = {model.handle: model for model in await catalog.list_embedders()}
    return replace(file, agents=tuple(_configured(agent, models, embedders) for agent in file.agents))


def _packed_agent(details: AgentDetails, agents: _Numbered, blocks: _Numbered, tools: _Numbered) -> FileAgent:
    agent = details.agent
    secrets = dict.fromkeys(agent.sealed_secrets, "")
    return FileAgent(
        id=agents.of(agent.id),
        name=agent.name,
        agent_type=agent.agent_type,
        system=agent.system,
        model=agent.model,
        embedding=agent.embedding,
        model_settings=agent.model_settings,
        context_window_limit=agent.context_window_limit,
        compaction_settings=agent.compaction_settings,
        response_format=agent.response_format,
        block_ids=tuple(blocks.of(block.id) for block in details.blocks),
        tool_ids=tuple(tools.of(tool.id) for tool in details.tools),
        tool_rules=agent.tool_rules,
        include_base_tools=False,
        include_base_tool_rules=False,
        tags=agent.tags,
        description=agent.description,
        metadata=agent.metadata,
        tool_exec_environment_variables=secrets,
        secrets=secrets,
        timezone=agent.timezone,
        message_buffer_autoclear=agent.message_buffer_autoclear,
        enable_sleeptime=agent.enable_sleeptime,
        max_files_open=agent.max_files_open,
        per_file_view_window_char_limit=agent.per_file_view_window_char_limit,
        hidden=agent.hidden,
        approvals=agent.approvals,
    )


def _with_messages(c: Connection, packed: FileAgent, agent: Agent, options: PackOptions) -> FileAgent:
    thread = options.conversation_id or ConversationId(agent.id)
    history: list[Message] = messages.recent(c, thread, options.max_turns)
    turns = turns_of_history(history)
    ids = [f"message-{place}" for place in range(len(turns))]
    return replace(
        packed,
        messages=tuple(file_message(turn, file_id, packed.id) for turn, file_id in zip(turns, ids, strict=True)),
        in_context_message_ids=tuple(
            file_id for turn, file_id in zip(turns, ids, strict=True) if any(message.in_context for message in turn)
        ),
    )


def _packed_passages(c: Connection, agent: Agent) -> tuple[FileMemory, ...]:
    """Passages of the archive that was made for the agent; those it shares are others' as well, and stay."""
    own = [archive.id for archive in archives.owned_by(c, agent.id)]
    found = passages.list_page(c, agent.organization_id, own, Page(limit=None, order="asc")) if own else ()
    return tuple(
        FileMemory(text=item.text, tags=item.tags, metadata=item.metadata, created_at=item.created_at) for item in found
    )


def _packed_groups(found: Sequence[AgentDetails], agent_ids: _Numbered, block_ids: _Numbered) -> tuple[FileGroup, ...]:
    """The groups whose members are all in the file."""
    own = [details.managed_group for details in found if details.managed_group is not None]
    whole = [group for group in own if all(item in agent_ids.known for item in group.everyone)]
    return tuple(
        FileGroup(
            id=f"group-{place}",
            agent_ids=tuple(agent_ids.of(item) for item in group.agent_ids),
            description=group.description,
            manager_config=_manager_config(group, agent_ids),
            shared_block_ids=tuple(block_ids.of(item) for item in group.shared_block_ids if item in block_ids.known),
            hidden=group.hidden,
        )
        for place, group in enumerate(whole)
    )


def _manager_config(group: Group, agent_ids: _Numbered) -> JsonObject:
    manager = None if group.manager_agent_id is None else agent_ids.of(group.manager_agent_id)
    config: JsonObject = {
        "manager_type": group.manager_type.value,
        "manager_agent_id": manager,
        "termination_token": group.termination_token,
        "max_turns": group.max_turns,
    }
    return {key: value for key, value in config.items() if value is not None}


def _packed_servers(c: Connection, own_tools: Sequence[Tool]) -> tuple[FileMcpServer, ...]:
    """The servers that tools come from. What opens them stays here: tokens, headers, variables, parts of addresses."""
    external = [tool for tool in own_tools if tool.tool_type is ToolType.EXTERNAL_MCP]
    found = [known[0] for tool in external if (known := mcp_servers.server_of(c, tool)) is not None]
    return tuple(
        FileMcpServer(
            id=f"mcp_server-{place}",
            server_type=server.server_type.value,
            server_name=server.server_name,
            server_url=None if server.server_url is None else _without_secrets(server.server_url),
            stdio_config=None
            if server.command is None
            else {
                "server_name": server.server_name,
                "type": "stdio",
                "command": server.command,
                "args": list(server.args),
            },
        )
        for place, server in enumerate(_distinct(found, lambda server: server.id))
    )


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _packed_folders(
    c: Connection, found: Sequence[AgentDetails], options: PackOptions
) -> tuple[tuple[FileSource, ...], tuple[FileFile, ...], dict[str, str]]:
    """The folders of all agents, their files as texts, and each folder's id in the file."""
    own = _distinct((item.folder for details in found for item in details.folders), lambda folder: folder.id)
    ids = {folder.id: folder.id if options.folders_by_id else f"source-{place}" for place, folder in enumerate(own)}
    sources = tuple(
        FileSource(
            id=ids[folder.id],
            name=folder.name,
            description=folder.description,
            instructions=folder.instructions,
            metadata=folder.metadata,
            embedding=folder.embedding,
        )
        for folder in own
    )
    packed: list[FileFile] = []
    for folder in () if options.folders_by_id else own:
        listed = files.list_page(c, folder, Page(limit=None, order="asc"))
        texts = files.texts(c, [item.id for item in listed])
        packed += [
            FileFile(
                id=f"file-{len(packed) + place}",
                source_id=ids[folder.id],
                file_name=item.file_name,
                original_file_name=item.original_file_name,
                file_type=item.file_type,
                file_size=item.file_size,
                content=texts.get(item.id),
            )
            for place, item in enumerate(listed)
        ]
    return sources, tuple(packed), {str(key): value for key, value in ids.items()}


def _packed_block(block: Block, ids: _Numbered, past: Sequence[BlockChange]) -> FileBlock:
    return FileBlock(
        id=ids.of(block.id),
        label=block.label,
        value=block.value,
        limit=block.limit,
        description=block.description,
        read_only=block.read_only,
        hidden=block.hidden,
        metadata=block.metadata,
        tags=block.tags,
        is_template=block.is_template,
        template_name=block.template_name,
        preserve_on_migration=block.preserve_on_migration,
        history=tuple(
            FileBlockChange(
                version=item.version, before=item.before, after=item.after, actor=item.actor, created_at=item.created_at
            )
            for item in past
        ),
    )


def _packed_tool(tool: Tool, ids: _Numbered) -> FileTool:
    return FileTool(
        id=ids.of(tool.id),
        name=tool.name,
        tool_type=tool.tool_type,
        description=tool.description,
        source_code=tool.source_code,
        source_type=tool.source_type,
        json_schema=tool.json_schema,
        args_json_schema=tool.args_json_schema,
        tags=tool.tags,
        return_char_limit=tool.return_char_limit,
        default_requires_approval=tool.default_requires_approval,
        enable_parallel_execution=tool.enable_parallel_execution,
        pip_requirements=tool.pip_requirements,
        npm_requirements=tool.npm_requirements,
        metadata_=tool.metadata,
    )


def _configured(agent: FileAgent, models: Mapping[str, ModelInfo], embedders: Mapping[str, EmbedderInfo]) -> FileAgent:
    handle = agent.model or ""
    model = models.get(handle)
    provider_type = handle.split("/")[0] if model is None else model.provider_type
    return replace(
        agent,
        model_settings=None
        if agent.model_settings is None
        else {**agent.model_settings, "provider_type": settings_word(provider_type)},
        llm_config=_llm_config(agent, model, provider_type),
        embedding_config=_embedding_config(agent.embedding, embedders),
    )


def _llm_config(agent: FileAgent, model: ModelInfo | None, provider_type: str) -> JsonObject:
    """The least that other servers make a model of."""
    provider, _, name = (agent.model or "").partition("/")
    window = UNKNOWN_WINDOW if model is None else model.context_window
    config: JsonObject = {
        "model": name if model is None else model.name,
        "handle": agent.model,
        "provider_name": provider,
        "model_endpoint_type": llm_endpoint_word(provider_type),
        "model_endpoint": None,
        "context_window": agent.context_window_limit or window,
        "put_inner_thoughts_in_kwargs": False,
    }
    wanted = {"temperature": agent.settings.get("temperature"), "max_tokens": agent.settings.get("max_output_tokens")}
    return config | {key: value for key, value in wanted.items() if value is not None}


def _embedding_config(handle: str | None, embedders: Mapping[str, EmbedderInfo]) -> JsonObject | None:
    if handle is None:
        return None
    model = embedders.get(handle)
    provider, _, name = handle.partition("/")
    return {
        "embedding_model": name if model is None else model.name,
        "embedding_endpoint_type": embedding_endpoint_word(provider if model is None else model.provider_type),
        "embedding_endpoint": None,
        "embedding_dim": 0 if model is None else model.dimensions,
        "embedding_chunk_size": 300,
        "handle": handle,
    }


def _distinct(items: Iterable[T], key: Callable[[T], str]) -> list[T]:
    found: dict[str, T] = {}
    for item in items:
        found.setdefault(key(item), item)
    return list(found.values())
