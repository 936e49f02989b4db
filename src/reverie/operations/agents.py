"""What callers can ask for about agents."""

import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from random import SystemRandom
from typing import Any, Final

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentChanges, AgentDetails, AgentDraft, AgentFilter, AgentType
from reverie.domain.block import Block, BlockChanges
from reverie.domain.conversation import Conversation
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.ids import AgentId, ArchiveId, BlockId, ConversationId, IdentityId, MessageId, ToolId, make_id
from reverie.domain.inputs import MessageInput, SayInput
from reverie.domain.instructions import instructions_of
from reverie.domain.json import JsonObject
from reverie.domain.message import AssistantBody, Body, Message, SystemBody, UserBody
from reverie.domain.names import make_name
from reverie.domain.paging import Page
from reverie.domain.tool import Tool, ToolType
from reverie.domain.tool_rule import ContinueToolRule, TerminalToolRule, ToolRule
from reverie.domain.unset import UNSET
from reverie.loop.state import load_view
from reverie.operations.authorship import actor_of
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.storage import agents, archives, blocks, conversations, identities, messages, tools
from reverie.storage.agents import EVERYTHING, Related
from reverie.storage.identities import AGENTS
from reverie.tools.base import ToolOutcome, ToolRun
from reverie.tools.builtin import BUILTIN, base_tools
from reverie.tools.rules import check_rules

_random: Final = SystemRandom()
_TERMINAL: Final = frozenset({"send_message", "send_message_to_agent_async", "memory_finish_edits"})
_MEMORY_TYPES: Final = frozenset({ToolType.CORE, ToolType.MEMORY_CORE, ToolType.SLEEPTIME_CORE})
_MULTI_AGENT: Final = ("send_message_to_agent_and_wait_for_reply", "send_message_to_agents_matching_tags")


async def create(ops: Operations, caller: Caller, draft: AgentDraft) -> AgentDetails:
    """Make an agent with all it shall be attached to, whole or not at all.

    Raises:
        NotFound: an unknown model, tool, block, identity or folder; the text names it.
        Conflict: two blocks of one label.
        InvalidInput: no model is configured, a value over its block's limit, a rule or time zone that cannot be.
    """
    caller.require(Scope.WRITE)
    if draft.folder_ids:
        raise NotFound("folder", draft.folder_ids[0])
    await ensure_builtin(ops, caller.organization_id)
    agent = await _make_agent(ops, caller, draft)
    wanted, now = _tool_names(draft), agent.created_at

    def store(c: Connection) -> AgentDetails:
        owners = identities.get_many(c, caller.organization_id, draft.identity_ids)
        own_blocks = [blocks.make_block(item, agent.organization_id, caller.user_id, now) for item in draft.blocks]
        shared = blocks.get_many(c, caller.organization_id, draft.block_ids)
        own_tools = _distinct(
            [
                *tools.get_named(c, caller.organization_id, wanted),
                *tools.get_many(c, caller.organization_id, draft.tool_ids),
            ]
        )
        whole = replace(agent, tool_rules=_with_base_rules(draft, own_tools))
        _check_rules(whole.tool_rules, own_tools)
        agents.insert_agent(c, whole)
        blocks.insert_blocks(c, own_blocks)
        blocks.attach(c, whole.id, *own_blocks, *shared)
        tools.attach(c, whole.id, own_tools)
        AGENTS.add(c, [whole.id], [owner.id for owner in owners])
        conversations.insert_conversation(c, _own_thread(whole))
        prompt = load_view(c, whole.organization_id, ConversationId(whole.id), now).context
        opening = _opening(whole, draft.initial_messages or ())
        messages.append(c, opening)
        return AgentDetails(
            agent=replace(whole, message_ids=tuple(message.id for message in (*prompt, *opening))),
            blocks=(*own_blocks, *shared),
            tools=tuple(own_tools),
            identities=tuple(owners),
        )

    return await ops.database.write(store)


async def retrieve(
    ops: Operations, caller: Caller, agent_id: AgentId, related: frozenset[Related] = EVERYTHING
) -> AgentDetails:
    """One agent with what `related` names of it."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: agents.get_whole(c, caller.organization_id, agent_id, related))


async def list_agents(
    ops: Operations, caller: Caller, where: AgentFilter, page: Page, related: frozenset[Related] = EVERYTHING
) -> list[AgentDetails]:
    """A page of agents with what `related` names of them."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: agents.list_page(c, caller.organization_id, where, page, related))


async def count(ops: Operations, caller: Caller, where: AgentFilter) -> int:
    """How many agents meet `where`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: agents.count(c, caller.organization_id, where))


async def update(ops: Operations, caller: Caller, agent_id: AgentId, changes: AgentChanges) -> AgentDetails:
    """Change what `changes` names, in one transaction; lists of ids replace what is attached."""
    caller.require(Scope.WRITE)
    if changes.folder_ids is not UNSET and changes.folder_ids:
        raise NotFound("folder", changes.folder_ids[0])
    if changes.timezone is not UNSET:
        _check_timezone(changes.timezone)
    if changes.model is not UNSET:
        await ops.catalog.chat_model(changes.model)
    if changes.embedding is not UNSET and changes.embedding is not None:
        await ops.catalog.embedder(changes.embedding)
    values = _plain_values(ops, agent_id, changes)
    now = ops.clock()

    def store(c: Connection) -> AgentDetails:
        before = agents.get(c, caller.organization_id, agent_id, lock=True)
        after = replace(before, **values, updated_at=now, last_updated_by_id=caller.user_id)
        agents.update_agent(c, before, after)
        _replace_attached(c, before, changes)
        if changes.tool_rules is not UNSET:
            _check_rules(after.tool_rules, tools.of_agent(c, before.id))
        if changes.message_ids is not UNSET:
            messages.set_context(c, ConversationId(before.id), changes.message_ids)
        return agents.get_whole(c, caller.organization_id, after.id)

    return await ops.database.write(store)


async def delete(ops: Operations, caller: Caller, agent_id: AgentId) -> None:
    """Remove an agent with its history and its own archive; its blocks and tools stay."""
    caller.require(Scope.WRITE)
    await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    await ops.runs.cancel_agent(caller.organization_id, agent_id)

    def remove(c: Connection) -> None:
        found = agents.get(c, caller.organization_id, agent_id, lock=True)
        archives.delete_owned(c, found.id)
        agents.delete_agent(c, found.id)

    await ops.database.write(remove)


async def list_blocks(ops: Operations, caller: Caller, agent_id: AgentId, page: Page) -> list[Block]:
    """A page of the agent's blocks."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: blocks.page_of_agent(c, agents.get(c, caller.organization_id, agent_id), page)
    )


async def retrieve_block(ops: Operations, caller: Caller, agent_id: AgentId, label: str) -> Block:
    """The agent's block of `label`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: blocks.of_label(c, agents.get(c, caller.organization_id, agent_id), label))


async def update_block(ops: Operations, caller: Caller, agent_id: AgentId, label: str, changes: BlockChanges) -> Block:
    """Change the agent's block of `label`, for every agent that has it."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> Block:
        before = blocks.of_label(c, agents.get(c, caller.organization_id, agent_id), label, lock=True)
        return blocks.apply_changes(c, before, changes, actor_of(caller), now)

    return await ops.database.write(store)


async def attach_block(ops: Operations, caller: Caller, agent_id: AgentId, block_id: BlockId) -> AgentDetails:
    """Put a block into the agent's context, after those it has.

    Raises:
        Conflict: it has another block of the same label.
    """

    def change(c: Connection, agent: Agent) -> None:
        blocks.attach(c, agent.id, blocks.get(c, caller.organization_id, block_id))

    return await _change_attached(ops, caller, agent_id, change)


async def detach_block(ops: Operations, caller: Caller, agent_id: AgentId, block_id: BlockId) -> AgentDetails:
    """Take a block out of the agent's context; the block stays."""
    return await _change_attached(ops, caller, agent_id, lambda c, agent: blocks.detach(c, agent.id, block_id))


async def list_tools(ops: Operations, caller: Caller, agent_id: AgentId, page: Page) -> list[Tool]:
    """A page of the agent's tools."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: tools.page_of_agent(c, agents.get(c, caller.organization_id, agent_id), page)
    )


async def attach_tool(ops: Operations, caller: Caller, agent_id: AgentId, tool_id: ToolId) -> AgentDetails:
    """Give the agent a tool."""

    def change(c: Connection, agent: Agent) -> None:
        tools.attach(c, agent.id, [tools.get(c, caller.organization_id, tool_id)])

    return await _change_attached(ops, caller, agent_id, change)


async def detach_tool(ops: Operations, caller: Caller, agent_id: AgentId, tool_id: ToolId) -> AgentDetails:
    """Take a tool away from the agent; the tool stays."""
    return await _change_attached(ops, caller, agent_id, lambda c, agent: tools.detach(c, agent, tool_id))


async def attach_archive(ops: Operations, caller: Caller, agent_id: AgentId, archive_id: ArchiveId) -> None:
    """Let the agent search an archive."""

    def change(c: Connection, agent: Agent) -> None:
        archives.attach(c, agent.id, archives.get(c, caller.organization_id, archive_id).id)

    await _change_attached(ops, caller, agent_id, change)


async def detach_archive(ops: Operations, caller: Caller, agent_id: AgentId, archive_id: ArchiveId) -> None:
    """Take an archive away from the agent; the archive stays."""
    await _change_attached(ops, caller, agent_id, lambda c, agent: archives.detach(c, agent.id, archive_id))


async def attach_identity(ops: Operations, caller: Caller, agent_id: AgentId, identity_id: IdentityId) -> None:
    """Say that the agent belongs to an identity; nothing happens when it does already."""

    def change(c: Connection, agent: Agent) -> None:
        AGENTS.add(c, [agent.id], [identities.get(c, caller.organization_id, identity_id).id])

    await _change_attached(ops, caller, agent_id, change)


async def detach_identity(ops: Operations, caller: Caller, agent_id: AgentId, identity_id: IdentityId) -> None:
    """Say that the agent does not belong to an identity; nothing happens when it does not."""

    def change(c: Connection, agent: Agent) -> None:
        AGENTS.remove(c, agent.id, identities.get(c, caller.organization_id, identity_id).id)

    await _change_attached(ops, caller, agent_id, change)


async def set_approval(
    ops: Operations, caller: Caller, agent_id: AgentId, tool_name: str, requires: bool | None
) -> AgentDetails:
    """Say whether a person must approve the agent's calls of a tool; None: the tool's own default holds."""

    def change(c: Connection, agent: Agent) -> None:
        tools.named_of_agent(c, agent, tool_name)
        approvals = {name: value for name, value in agent.approvals.items() if name != tool_name}
        if requires is not None:
            approvals[tool_name] = requires
        agents.update_agent(c, agent, replace(agent, approvals=approvals))

    return await _change_attached(ops, caller, agent_id, change)


async def run_tool(ops: Operations, caller: Caller, agent_id: AgentId, tool_name: str, args: JsonObject) -> ToolOutcome:
    """Run one of the agent's custom tools with its secrets, outside any conversation.

    Raises:
        NotFound: the agent has no tool of that name.
        InvalidInput: the tool edits the agent's memory, which happens in conversations only.
    """
    caller.require(Scope.WRITE)

    def read(c: Connection) -> tuple[Agent, Tool]:
        agent = agents.get(c, caller.organization_id, agent_id)
        return agent, tools.named_of_agent(c, agent, tool_name)

    agent, tool = await ops.database.read(read)
    if tool.source_code is None and tool_name in BUILTIN:
        raise InvalidInput(
            f"tool {tool_name!r} works on the agent's own memory and runs in its conversations only; "
            "edit blocks and passages over their own endpoints"
        )
    environment = {name: ops.cipher.decrypt(sealed, agent.id) for name, sealed in agent.sealed_secrets.items()}
    environment["LETTA_AGENT_ID"] = agent.id
    return await ops.executor.run(ToolRun(tool=tool, arguments=args, environment=environment, agent_id=agent.id))


async def _change_attached(
    ops: Operations, caller: Caller, agent_id: AgentId, change: Callable[[Connection, Agent], None]
) -> AgentDetails:
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> AgentDetails:
        # Locked, so that two attachments at once get places one after the other.
        before = agents.get(c, caller.organization_id, agent_id, lock=True)
        change(c, before)
        changed = agents.get(c, caller.organization_id, agent_id)
        after = replace(changed, updated_at=now, last_updated_by_id=caller.user_id)
        agents.update_agent(c, changed, after)
        return agents.get_whole(c, caller.organization_id, after.id)

    return await ops.database.write(store)


async def _make_agent(ops: Operations, caller: Caller, draft: AgentDraft) -> Agent:
    """The record, complete but for its tool rules; models and embedders are looked up here."""
    _check_timezone(draft.timezone)
    agent_id = AgentId(make_id("agent"))
    now = ops.clock()
    return Agent(
        id=agent_id,
        organization_id=caller.organization_id,
        name=draft.name or make_name(_random),
        agent_type=draft.agent_type,
        system=instructions_of(draft.agent_type) if draft.system is None else draft.system,
        model=await _chat_handle(ops, draft.model),
        embedding=await _embedding_handle(ops, draft.embedding),
        model_settings=draft.model_settings,
        context_window_limit=draft.context_window_limit,
        compaction_settings=draft.compaction_settings,
        response_format=draft.response_format,
        description=draft.description,
        metadata=draft.metadata,
        tags=tuple(dict.fromkeys(draft.tags)),
        sealed_secrets=_seal(ops, agent_id, draft.secrets),
        timezone=draft.timezone,
        # A workflow has no conversation to remember.
        message_buffer_autoclear=draft.message_buffer_autoclear or draft.agent_type is AgentType.WORKFLOW,
        enable_sleeptime=draft.enable_sleeptime,
        max_files_open=draft.max_files_open,
        per_file_view_window_char_limit=draft.per_file_view_window_char_limit,
        hidden=draft.hidden,
        project_id=draft.project_id,
        template_id=draft.template_id,
        base_template_id=draft.base_template_id,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


async def _chat_handle(ops: Operations, handle: str | None) -> str:
    if handle is None:
        handle = ops.default_model
    if handle is None:
        listed = await ops.catalog.list_models()
        if not listed:
            raise InvalidInput(
                "no model was named and no model provider is configured; name one as 'model', or set a provider's "
                "key (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, …) or OLLAMA_BASE_URL and restart the server"
            )
        return listed[0].handle
    await ops.catalog.chat_model(handle)
    return handle


async def _embedding_handle(ops: Operations, handle: str | None) -> str | None:
    if handle is not None:
        await ops.catalog.embedder(handle)
        return handle
    embedder = await ops.catalog.default_embedder()
    return None if embedder is None else embedder.info.handle


def _check_timezone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInput(f"time zone {name!r} is not known; use an IANA name such as 'Europe/Berlin'") from error


def _seal(ops: Operations, agent_id: AgentId, secrets: dict[str, str]) -> dict[str, str]:
    return {name: ops.cipher.encrypt(text, agent_id) for name, text in secrets.items()}


def _tool_names(draft: AgentDraft) -> list[str]:
    names = list(draft.tool_names)
    if draft.include_base_tools:
        names += base_tools(draft.agent_type, bool(draft.enable_sleeptime))
    if draft.include_multi_agent_tools:
        names += [name for name in _MULTI_AGENT if name in BUILTIN]
    return list(dict.fromkeys(names))


def _with_base_rules(draft: AgentDraft, own_tools: Sequence[Tool]) -> tuple[ToolRule, ...]:
    """The draft's rules, and for agents that act through tools alone what each base tool does to the turn."""
    wanted = draft.include_base_tool_rules
    if wanted is None:
        wanted = draft.agent_type not in (AgentType.LETTA_V1, AgentType.REACT, AgentType.WORKFLOW)
    if not wanted:
        return draft.tool_rules
    ruled = {rule.tool_name for rule in draft.tool_rules}
    base: list[ToolRule] = []
    for tool in own_tools:
        if tool.name in ruled:
            continue
        if tool.name in _TERMINAL:
            base.append(TerminalToolRule(tool_name=tool.name))
        elif tool.tool_type in _MEMORY_TYPES:
            base.append(ContinueToolRule(tool_name=tool.name))
    return (*draft.tool_rules, *base)


def _check_rules(rules: Sequence[ToolRule], own_tools: Sequence[Tool]) -> None:
    check_rules(rules, [tool.name for tool in own_tools])


def _distinct(found: Sequence[Tool]) -> list[Tool]:
    return list({tool.id: tool for tool in found}.values())


def _own_thread(agent: Agent) -> Conversation:
    return Conversation(
        id=ConversationId(agent.id),
        organization_id=agent.organization_id,
        agent_id=agent.id,
        created_at=agent.created_at,
        updated_at=agent.created_at,
        created_by_id=agent.created_by_id,
        last_updated_by_id=agent.created_by_id,
    )


def _opening(agent: Agent, inputs: Sequence[MessageInput]) -> list[Message]:
    """What was said before the first request."""
    return [
        Message(
            id=MessageId(make_id("message")),
            organization_id=agent.organization_id,
            agent_id=agent.id,
            conversation_id=ConversationId(agent.id),
            body=_body(item),
            created_at=agent.created_at,
            otid=item.otid,
            name=item.name,
            sender_id=item.sender_id,
            group_id=item.group_id,
        )
        for item in inputs
        if isinstance(item, SayInput)
    ]


def _body(word: SayInput) -> Body:
    match word.role:
        case "user":
            return UserBody(parts=word.parts)
        case "system":
            return SystemBody(parts=word.parts)
        case "assistant":
            return AssistantBody(parts=word.parts)


_APART: Final = frozenset({"block_ids", "tool_ids", "folder_ids", "message_ids", "secrets", "tags", "identity_ids"})
"""Changes that are not a column of the agent as they stand."""


def _replace_attached(c: Connection, agent: Agent, changes: AgentChanges) -> None:
    if changes.block_ids is not UNSET:
        blocks.replace_attached(c, agent.id, blocks.get_many(c, agent.organization_id, changes.block_ids))
    if changes.tool_ids is not UNSET:
        tools.replace_attached(c, agent.id, tools.get_many(c, agent.organization_id, changes.tool_ids))
    if changes.identity_ids is not UNSET:
        owners = identities.get_many(c, agent.organization_id, changes.identity_ids)
        AGENTS.clear(c, thing_id=agent.id)
        AGENTS.add(c, [agent.id], [owner.id for owner in owners])


def _plain_values(ops: Operations, agent_id: AgentId, changes: AgentChanges) -> dict[str, Any]:
    values = {
        item.name: value
        for item in fields(changes)
        if item.name not in _APART and (value := getattr(changes, item.name)) is not UNSET
    }
    if changes.tags is not UNSET:
        values["tags"] = tuple(dict.fromkeys(changes.tags))
    if changes.secrets is not UNSET:
        values["sealed_secrets"] = _seal(ops, agent_id, changes.secrets)
    return values
