"""Agent files to agents: a rule that imports and templates share.

In two parts, as with a single agent: `prepare_file` asks the catalog and stores nothing,
`store_file` writes everything inside the caller's transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from reverie.auth.keys import Caller
from reverie.domain.agent import Agent, AgentDetails, AgentDraft
from reverie.domain.agent_file import (
    AgentFile,
    FileAgent,
    FileBlock,
    FileGroup,
    FileMemory,
)
from reverie.domain.block import Block, BlockChange, BlockDraft
from reverie.domain.clock import aware
from reverie.domain.errors import Conflict, InvalidInput, MalformedInput, NotFound, ReverieError
from reverie.domain.file_messages import bodies_of, calls_in
from reverie.domain.folder import Folder
from reverie.domain.group import Group, GroupDraft, ManagerType
from reverie.domain.ids import (
    ConversationId,
    FolderId,
    IdentityId,
    MessageId,
    StepId,
    ToolId,
    make_id,
    make_otid,
)
from reverie.domain.inputs import MessageInput
from reverie.domain.message import ApprovalRequestBody, Message, calls_of
from reverie.domain.passage import PassageDraft
from reverie.domain.tool import Tool
from reverie.operations.adoption import check_servers, store_folders, store_tools
from reverie.operations.assembly import prepare, store_agent
from reverie.operations.base import Operations
from reverie.operations.membership import store_group
from reverie.storage import archives, block_history, blocks, messages, passages, vectors

_PASSAGES_AT_ONCE: Final = 500
"""Of one statement: databases take so many values and not more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackOptions:
    """How agents are to differ from what the file says, and where they are to lie."""

    name: str | None = None
    """None: the file's."""
    name_suffix: str = ""
    """Behind the file's name."""
    model: str | None = None
    embedding: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    override_existing_tools: bool = True
    """Whether custom tools of the same name get the file's source."""
    with_messages: bool = True
    tags: tuple[str, ...] = ()
    """Besides the file's."""
    identity_ids: tuple[IdentityId, ...] = ()
    own_identities: bool = False
    """Identities that the file names are of this server, and agents get them."""
    initial_messages: tuple[MessageInput, ...] | None = None
    adapt: Callable[[AgentDraft], AgentDraft] | None = None
    """The last word on the first agent."""
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    """Given: agents and blocks remember their ids in the file as `entity_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAgent:
    """An agent of a file, ready to be stored."""

    source: FileAgent
    agent: Agent
    draft: AgentDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What agents of a file are made with, by ids in the file."""

    blocks: Mapping[str, Block]
    tools: Mapping[str, Tool]
    folders: Mapping[str, Folder]


async def prepare_file(ops: Operations, caller: Caller, file: AgentFile, options: UnpackOptions) -> list[PreparedAgent]:
    """What `store_file` stores.

    Raises:
        NotFound: the model of `options` is not served here; the file's own need not be.
        InvalidInput: a time zone that cannot be.
    """
    await check_servers(ops, caller, file)
    first, *rest = file.agents
    plain = replace(options, adapt=None)
    return [
        await _prepared(ops, caller, first, options),
        *[await _prepared(ops, caller, source, plain) for source in rest],
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was made of a file, in its order."""

    agents: Sequence[AgentDetails]
    groups: Sequence[Group]


def store_file(
    c: Connection, caller: Caller, file: AgentFile, prepared: Sequence[PreparedAgent], options: UnpackOptions
) -> Unpacked:
    """Store the file's agents with their tools, blocks, messages and groups.

    Raises:
        InvalidInput: what cannot be stored, and where it stands in the file.
        NotFound: an identity of `options`, or a tool that the file only names.
    """
    now = prepared[0].agent.created_at
    own_tools = store_tools(c, caller, file, now, override=options.override_existing_tools)
    parts = _Parts(
        blocks=_store_blocks(c, caller, file.blocks, options, now),
        tools=own_tools,
        folders=store_folders(c, caller, file, prepared[0].agent.embedding, now),
    )
    made = {item.source.id: _store_agent(c, caller, item, parts, options) for item in prepared}
    made_groups = [_store_group(c, caller, item, made, parts, options, now) for item in file.groups]
    return Unpacked(agents=list(made.values()), groups=[group for group in made_groups if group is not None])


async def _prepared(ops: Operations, caller: Caller, source: FileAgent, options: UnpackOptions) -> PreparedAgent:
    draft = await _draft_of(ops, caller, source, options)
    if options.adapt is not None:
        draft = options.adapt(draft)
    # A model that the file names may be served elsewhere alone: whoever imports the agent gives it another.
    agent = await prepare(ops, caller, draft, any_model=options.model is None)
    placed = replace(agent, approvals=source.approvals)
    return PreparedAgent(source=source, agent=placed, draft=draft)


async def _draft_of(ops: Operations, caller: Caller, source: FileAgent, options: UnpackOptions) -> AgentDraft:
    named = source.name or None
    return AgentDraft(
        name=options.name or (None if named is None else named + options.name_suffix),
        agent_type=source.agent_type,
        system=source.system,
        model=options.model or await _model_of(ops, caller, source),
        embedding=options.embedding or await _served(ops, caller, source.embedding_handle),
        model_settings=source.settings,
        context_window_limit=source.window_limit,
        compaction_settings=source.compaction_settings,
        response_format=source.response_format,
        tool_names=source.tools,
        tool_rules=source.tool_rules,
        include_base_tools=source.include_base_tools,
        include_multi_agent_tools=source.include_multi_agent_tools,
        include_base_tool_rules=source.include_base_tool_rules,
        tags=(*source.tags, *options.tags),
        identity_ids=_owners(source, options),
        secrets={**source.tool_exec_environment_variables, **source.secrets, **options.secrets},
        initial_messages=options.initial_messages,
        description=source.description,
        metadata=source.metadata,
        timezone=source.timezone,
        message_buffer_autoclear=source.message_buffer_autoclear,
        enable_sleeptime=source.enable_sleeptime,
        max_files_open=source.max_files_open,
        per_file_view_window_char_limit=source.per_file_view_window_char_limit,
        hidden=source.hidden,
        project_id=options.project_id,
        template_id=options.template_id,
        base_template_id=options.base_template_id,
        deployment_id=options.deployment_id,
        entity_id=source.id if options.deployment_id else None,
    )


def _owners(source: FileAgent, options: UnpackOptions) -> tuple[IdentityId, ...]:
    own = tuple(IdentityId(item) for item in source.identity_ids) if options.own_identities else ()
    return tuple(dict.fromkeys((*own, *options.identity_ids)))


async def _model_of(ops: Operations, caller: Caller, source: FileAgent) -> str | None:
    """The handle in the file; where no provider here has that name, the model by its provider's type."""
    named, typed = source.model_handle, source.typed_model_handle
    if named is None or typed is None or named == typed:
        return named
    catalog = await ops.catalogs.of(caller.organization_id)
    for handle in (named, typed):
        try:
            await catalog.chat_model(handle)
        except ReverieError:  # what is wrong with the one that is named is said where the agent is made
            continue
        return handle
    return named


async def _served(ops: Operations, caller: Caller, handle: str | None) -> str | None:
    """`handle` where it is served here; else None, for the server's own: a file brings no vectors along."""
    if handle is None:
        return None
    try:
        await (await ops.catalogs.of(caller.organization_id)).embedder(handle)
    except NotFound:
        return None
    return handle


def _store_agent(
    c: Connection, caller: Caller, item: PreparedAgent, parts: _Parts, options: UnpackOptions
) -> AgentDetails:
    source = item.source
    draft = replace(
        item.draft,
        block_ids=(*(parts.blocks[file_id].id for file_id in source.block_ids), *item.draft.block_ids),
        tool_ids=(*tools_of(source, parts.tools), *item.draft.tool_ids),
        folder_ids=(*folders_of(source, parts.folders), *item.draft.folder_ids),
    )
    try:
        details = store_agent(c, caller, item.agent, draft)
    except (MalformedInput, Conflict) as error:
        raise InvalidInput(f"agent file: agent {source.id!r}: {error}") from error
    if options.with_messages:
        messages.append(c, _history(source, details.agent))
    _store_passages(c, caller, details.agent, source.passages)
    return details


def _store_passages(c: Connection, caller: Caller, agent: Agent, found: Sequence[FileMemory]) -> None:
    """Give the agent an archive of its own with what the file holds; the background makes the vectors."""
    if not found:
        return
    now = agent.created_at
    archive = archives.own_archive(c, agent, now, caller.user_id)
    for start in range(0, len(found), _PASSAGES_AT_ONCE):
        drafts = [
            PassageDraft(text=item.text, tags=item.tags, metadata=item.metadata, created_at=aware(item.created_at))
            for item in found[start : start + _PASSAGES_AT_ONCE]
        ]
        added = passages.insert_passages(c, archive, drafts, now, caller.user_id)
        if archive.embedding is not None:
            vectors.await_vectors(c, [item.id for item in added])


def _store_group(
    c: Connection,
    caller: Caller,
    item: FileGroup,
    made: Mapping[str, AgentDetails],
    parts: _Parts,
    options: UnpackOptions,
    now: datetime,
) -> Group | None:
    """A group of the file; None where those that look after an agent's memory were made with it already."""
    config = item.manager_config
    manager = config.get("manager_agent_id")
    try:
        manager_type = ManagerType(str(config.get("manager_type", ManagerType.ROUND_ROBIN)))
    except ValueError as error:
        raise InvalidInput(f"agent file: group {item.id!r}: manager_type: {error}") from error
    if manager is not None and manager not in made:
        raise InvalidInput(f"agent file: group {item.id!r}: manager_agent_id {manager!r} is not in the file")
    if manager is not None and manager_type.is_sleeptime and made[manager].managed_group is not None:
        return None
    numbers = {
        name: value
        for name in (
            "max_turns",
            "sleeptime_agent_frequency",
            "max_message_buffer_length",
            "min_message_buffer_length",
        )
        if isinstance(value := config.get(name), int)
    }
    token = config.get("termination_token")
    draft = GroupDraft(
        manager_type=manager_type,
        description=item.description,
        agent_ids=tuple(made[file_id].agent.id for file_id in item.agent_ids),
        shared_block_ids=tuple(parts.blocks[file_id].id for file_id in item.shared_block_ids),
        manager_agent_id=None if manager is None else made[manager].agent.id,
        termination_token=token if isinstance(token, str) else None,
        hidden=item.hidden,
        project_id=options.project_id,
        template_id=options.template_id,
        base_template_id=options.base_template_id,
        deployment_id=options.deployment_id,
        **numbers,
    )
    try:
        return store_group(c, caller, draft, now)
    except (MalformedInput, Conflict, InvalidInput) as error:
        raise InvalidInput(f"agent file: group {item.id!r}: {error}") from error


def tools_of(source: FileAgent, own_tools: Mapping[str, Tool]) -> list[ToolId]:
    """Ids of the agent's tools, without those that this server does not have."""
    return [own_tools[file_id].id for file_id in source.tool_ids if file_id in own_tools]


def folders_of(source: FileAgent, own_folders: Mapping[str, Folder]) -> list[FolderId]:
    """Ids of the agent's folders."""
    return [own_folders[file_id].id for file_id in dict.fromkeys((*source.source_ids, *source.folder_ids))]


def _store_blocks(
    c: Connection, caller: Caller, items: Sequence[FileBlock], options: UnpackOptions, now: datetime
) -> dict[str, Block]:
    found = {item.id: make_block(item, caller, options, now) for item in items}
    blocks.insert_blocks(c, found.values())
    for item in items:
        block_history.insert_past(
            c,
            found[item.id],
            [
                BlockChange(
                    version=change.version,
                    before=change.before,
                    after=change.after,
                    actor=change.actor,
                    created_at=aware(change.created_at) or now,
                )
                for change in item.history
            ],
        )
    return found


def make_block(item: FileBlock, caller: Caller, options: UnpackOptions, now: datetime) -> Block:
    """The record of a file's block, to be stored.

    Raises:
        InvalidInput: its value is longer than its limit, or its past does not lead to it.
    """
    versions = [change.version for change in item.history]
    if versions and (len({*versions}) < len(versions) or min(versions) < 2):
        raise InvalidInput(f"agent file: history of block {item.id!r}: versions must be different numbers from 2 on")
    draft = BlockDraft(
        label=item.label,
        value=item.value,
        limit=item.limit,
        description=item.description,
        read_only=item.read_only,
        hidden=item.hidden,
        metadata=item.metadata,
        tags=item.tags,
        is_template=item.is_template,
        template_name=item.template_name,
        preserve_on_migration=item.preserve_on_migration,
        project_id=options.project_id,
        template_id=options.template_id,
        base_template_id=options.base_template_id,
        deployment_id=options.deployment_id,
        entity_id=item.id if options.deployment_id else None,
    )
    try:
        block = blocks.make_block(draft, caller.organization_id, caller.user_id, now)
    except InvalidInput as error:
        raise InvalidInput(f"agent file: block {item.id!r}: {error}") from error
    return replace(block, version=max(versions, default=1))


def _history(source: FileAgent, agent: Agent) -> list[Message]:
    """The file's messages as rows of the agent's own thread.

    The first system message is the prompt as it was compiled elsewhere; here it is compiled anew.
    """
    in_context = set(source.in_context_message_ids)
    names: dict[str, str] = {}
    asked: tuple[str, ...] = ()
    found: list[Message] = []
    for place, message in enumerate(source.messages):
        if place == 0 and message.role == "system":
            continue
        names |= calls_in(message)
        bodies = bodies_of(message, names, asked)
        step = StepId(make_id("step")) if len(bodies) > 1 else None
        for number, body in enumerate(bodies):
            if isinstance(body, ApprovalRequestBody):
                asked = tuple(call.id for call in calls_of(body))
            found.append(
                Message(
                    id=MessageId(make_id("message")),
                    organization_id=agent.organization_id,
                    agent_id=agent.id,
                    conversation_id=ConversationId(agent.id),
                    body=body,
                    created_at=aware(message.created_at) or agent.created_at,
                    in_context=not in_context or message.id in in_context,
                    step_id=step,
                    otid=(message.otid if number == 0 else None) or make_otid(),
                    name=message.name,
                    sender_id=message.sender_id,
                    model=message.model,
                )
            )
    return found
