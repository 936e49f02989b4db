"""What becomes of an agent's draft: a rule that all operations share which make or remove agents.

Making goes in two parts. `prepare` asks the catalog, outside any transaction; `store_agent`
writes inside one, so that agents of one request are stored all or none.
"""

import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from random import SystemRandom
from typing import Final

from sqlalchemy import Connection

from reverie.auth.keys import Caller
from reverie.domain.agent import Agent, AgentDetails, AgentDraft, AgentType
from reverie.domain.conversation import Conversation
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.folder import DEFAULT_CHUNK_TOKENS, Folder, file_limits
from reverie.domain.group import Group, ManagerType
from reverie.domain.ids import AgentId, ConversationId, FolderId, MessageId, make_id
from reverie.domain.inputs import SayInput
from reverie.domain.instructions import instructions_of
from reverie.domain.message import AssistantBody, Body, Message, SystemBody, UserBody
from reverie.domain.names import make_name
from reverie.domain.tool import Tool, ToolType
from reverie.domain.tool_rule import ContinueToolRule, TerminalToolRule, ToolRule
from reverie.loop.state import View, refresh_prompt
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.operations.companions import (
    PERSONA_LABEL,
    SLEEPTIME_TYPES,
    check_may_have_companion,
    companion_of,
    group_of,
)
from reverie.storage import (
    agents,
    archives,
    blocks,
    conversations,
    file_views,
    folders,
    groups,
    identities,
    messages,
    tools,
)
from reverie.storage.identities import AGENTS
from reverie.tools.builtin import FILE_TOOLS, base_tools
from reverie.tools.rules import check_rules, with_default_approvals

_random: Final = SystemRandom()
_UNKNOWN_WINDOW: Final = 32_768
"""Tokens of context of a model that is not served here."""
_TERMINAL: Final = frozenset(
    {"send_message", "send_message_to_agent_async", "memory_finish_edits", "finish_rethinking_memory"}
)
_MEMORY_TYPES: Final = frozenset({ToolType.CORE, ToolType.MEMORY_CORE, ToolType.SLEEPTIME_CORE})
_MULTI_AGENT: Final = (
    "send_message_to_agent_and_wait_for_reply",
    "send_message_to_agent_async",
    "send_message_to_agents_matching_tags",
)


async def prepare(ops: Operations, caller: Caller, draft: AgentDraft, *, any_model: bool = False) -> Agent:
    """The record of the agent to be, complete but for its tool rules; nothing is stored.

    `any_model`: its model need not be served here, so that it can be changed afterwards.

    Raises:
        NotFound: an unknown model; the text names it.
        InvalidInput: no model is configured, or a time zone that cannot be.
    """
    await ensure_builtin(ops, caller.organization_id)
    return await _make_agent(ops, caller, draft, any_model=any_model)


def store_agent(c: Connection, caller: Caller, agent: Agent, draft: AgentDraft) -> AgentDetails:
    """Store a prepared agent with all that its draft says it is attached to, its sleeptime agent included.

    Raises:
        NotFound: an unknown tool, block, identity or folder; the text names it.
        Conflict: two blocks of one label.
        InvalidInput: a value over its block's limit, or a rule that cannot be.
    """
    details = _store_alone(c, caller, agent, draft)
    if not draft.enable_sleeptime:
        return details
    return replace(details, managed_group=give_companion(c, caller, details, agent.created_at))


def give_companion(c: Connection, caller: Caller, main: AgentDetails, now: datetime) -> Group:
    """Make the agent that looks after the memory of `main`, and their group; it has the blocks of `main`."""
    agent, draft = companion_of(main.agent, now)
    companion = _store_alone(c, caller, agent, draft).agent
    group = group_of(main.agent, companion, now)
    groups.insert_group(c, group)
    groups.share_block(c, main.agent.id, *main.blocks)
    if group.manager_type is ManagerType.VOICE_SLEEPTIME:
        # What leaves the voice agent's context is stored where that agent searches.
        archives.attach(c, companion.id, archives.own_archive(c, main.agent, now, caller.user_id).id)
    return group


def remove_companions(c: Connection, main: Agent) -> None:
    """Remove those that look after the memory of an agent, read with `lock`, with their groups; its blocks stay."""
    while (group := groups.sleeptime_of(c, main.id)) is not None:
        for agent in agents.get_many(c, main.organization_id, group.agent_ids):
            if agent.agent_type in SLEEPTIME_TYPES and len(groups.served_by(c, agent.id)) == 1:
                _remove_alone(c, agent)
        groups.delete_group(c, group.id)


def companions_in(c: Connection, group: Group) -> list[Agent]:
    """Members that were made for this group alone, with `enable_sleeptime`: such have a persona of their own."""
    if not group.manager_type.is_sleeptime:
        return []
    return [
        agent
        for agent in agents.get_many(c, group.organization_id, group.agent_ids)
        if agent.agent_type in SLEEPTIME_TYPES
        and len(groups.served_by(c, agent.id)) == 1
        and any(block.label == PERSONA_LABEL for block in blocks.of_agent(c, agent.organization_id, agent.id))
    ]


def _store_alone(c: Connection, caller: Caller, agent: Agent, draft: AgentDraft) -> AgentDetails:
    now = agent.created_at
    owners = identities.get_many(c, caller.organization_id, draft.identity_ids)
    own_blocks = [blocks.make_block(item, agent.organization_id, caller.user_id, now) for item in draft.blocks]
    own_folders = folders.get_many(c, caller.organization_id, draft.folder_ids)
    if draft.include_default_source:
        own_folders.append(_default_folder(c, agent, draft.embedding_chunk_size))
    shared = blocks.get_many(c, caller.organization_id, draft.block_ids)
    own_tools = tools_for(c, caller, draft, with_files=bool(own_folders))
    whole = replace(agent, tool_rules=rules_for(draft, own_tools, agent.approvals))
    check_rules(whole.tool_rules, [tool.name for tool in own_tools])
    agents.insert_agent(c, whole)
    blocks.insert_blocks(c, own_blocks)
    blocks.attach_first(c, whole.id, (*own_blocks, *shared))
    tools.attach_first(c, whole.id, own_tools)
    AGENTS.add(c, [whole.id], [owner.id for owner in owners])
    file_views.attach(c, whole, own_folders, now)
    thread = _own_thread(whole)
    conversations.insert_conversation(c, thread)
    details = AgentDetails(
        agent=whole,
        blocks=(*own_blocks, *shared),
        tools=tuple(own_tools),
        identities=tuple(owners),
        folders=file_views.of_agent(c, whole.id) if own_folders else (),
    )
    view = refresh_prompt(c, View(details=details, conversation=thread, context=()), now)
    said = [item for item in draft.initial_messages or () if isinstance(item, SayInput)]
    agents.keep_opening(c, whole.id, said)
    opening = opening_messages(whole, said, now)
    messages.append(c, opening)
    in_context = tuple(message.id for message in (*view.context, *opening))
    return replace(details, agent=replace(whole, message_ids=in_context))


def tools_for(c: Connection, caller: Caller, draft: AgentDraft, *, with_files: bool) -> list[Tool]:
    """All tools that a draft asks for, in order; with those for files where the agent has some.

    Raises:
        NotFound: an unknown tool; the text names it.
    """
    return _distinct(
        [
            *tools.get_named(c, caller.organization_id, _tool_names(draft)),
            *tools.get_many(c, caller.organization_id, draft.tool_ids),
            *(tools.get_named(c, caller.organization_id, FILE_TOOLS) if with_files else ()),
        ]
    )


def remove_agent(c: Connection, agent: Agent) -> None:
    """Remove an agent, read with `lock`, with its history and its own archive; its blocks and tools stay.

    Its sleeptime agents go with it. A sleeptime agent that goes leaves its main agent without one.
    """
    remove_companions(c, agent)
    for group in groups.served_by(c, agent.id):
        if group.agent_ids == (agent.id,) and group.manager_agent_id is not None:
            groups.delete_group(c, group.id)
            main = agents.get(c, agent.organization_id, group.manager_agent_id, lock=True)
            agents.update_agent(c, main, replace(main, enable_sleeptime=None))
    _remove_alone(c, agent)


def _remove_alone(c: Connection, agent: Agent) -> None:
    if agent.agent_type in SLEEPTIME_TYPES:
        blocks.delete_own(c, agent.id, PERSONA_LABEL)
    archives.delete_owned(c, agent.id)
    blocks.delete_many(c, conversations.isolated_block_ids_of(c, agent.id))
    agents.delete_agent(c, agent.id)


def check_timezone(name: str) -> None:
    """Refuse what is no IANA name.

    Raises:
        InvalidInput: it is not known.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInput(f"time zone {name!r} is not known; use an IANA name such as 'Europe/Berlin'") from error


def seal(ops: Operations, agent_id: AgentId, secrets: dict[str, str]) -> dict[str, str]:
    """The secrets as they are stored, bound to their agent."""
    return {name: ops.cipher.encrypt(text, agent_id) for name, text in secrets.items()}


async def _make_agent(ops: Operations, caller: Caller, draft: AgentDraft, *, any_model: bool) -> Agent:
    """The record, complete but for its tool rules; models and embedders are looked up here."""
    check_timezone(draft.timezone)
    if draft.enable_sleeptime:
        check_may_have_companion(draft.agent_type)
    try:
        model, window = await _chat_model(ops, caller, draft.model)
    except NotFound:
        if draft.model is None or not any_model:
            raise
        model, window = draft.model, draft.context_window_limit or _UNKNOWN_WINDOW
    most_open, view_chars = file_limits(min(window, draft.context_window_limit or window))
    agent_id = AgentId(make_id("agent"))
    now = ops.clock()
    return Agent(
        id=agent_id,
        organization_id=caller.organization_id,
        name=draft.name or make_name(_random),
        agent_type=draft.agent_type,
        system=instructions_of(draft.agent_type) if draft.system is None else draft.system,
        model=model,
        embedding=await _embedding_handle(ops, caller, draft.embedding),
        model_settings=draft.model_settings,
        context_window_limit=draft.context_window_limit,
        compaction_settings=draft.compaction_settings,
        response_format=draft.response_format,
        description=draft.description,
        metadata=draft.metadata,
        tags=tuple(dict.fromkeys(draft.tags)),
        sealed_secrets=seal(ops, agent_id, draft.secrets),
        timezone=draft.timezone,
        # A workflow has no conversation to remember.
        message_buffer_autoclear=draft.message_buffer_autoclear or draft.agent_type is AgentType.WORKFLOW,
        enable_sleeptime=draft.enable_sleeptime,
        max_files_open=most_open if draft.max_files_open is None else draft.max_files_open,
        per_file_view_window_char_limit=view_chars
        if draft.per_file_view_window_char_limit is None
        else draft.per_file_view_window_char_limit,
        hidden=draft.hidden,
        project_id=draft.project_id,
        template_id=draft.template_id,
        base_template_id=draft.base_template_id,
        deployment_id=draft.deployment_id,
        entity_id=draft.entity_id,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


async def _chat_model(ops: Operations, caller: Caller, handle: str | None) -> tuple[str, int]:
    """The handle to use, and the context window of its model."""
    if handle is None:
        handle = ops.default_model
    if handle is None:
        listed = await (await ops.catalogs.of(caller.organization_id)).list_models()
        if not listed:
            raise InvalidInput(
                "no model was named and no model provider is configured; name one as 'model', or set a provider's "
                "key (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, …) or OLLAMA_BASE_URL and restart the server"
            )
        return listed[0].handle, listed[0].context_window
    model = await (await ops.catalogs.of(caller.organization_id)).chat_model(handle)
    return handle, model.info.context_window


async def _embedding_handle(ops: Operations, caller: Caller, handle: str | None) -> str | None:
    if handle is not None:
        await (await ops.catalogs.of(caller.organization_id)).embedder(handle)
        return handle
    embedder = await (await ops.catalogs.of(caller.organization_id)).default_embedder()
    return None if embedder is None else embedder.info.handle


def _default_folder(c: Connection, agent: Agent, chunk_tokens: int | None) -> Folder:
    name = f"{agent.name} files"
    folder = Folder(
        id=FolderId(make_id("source")),
        organization_id=agent.organization_id,
        # Agents may share a name, folders may not.
        name=name if folders.find_named(c, agent.organization_id, name) is None else f"{name} {agent.id[6:14]}",
        embedding=agent.embedding,
        embedding_chunk_size=chunk_tokens or DEFAULT_CHUNK_TOKENS,
        created_at=agent.created_at,
        updated_at=agent.created_at,
        created_by_id=agent.created_by_id,
        last_updated_by_id=agent.created_by_id,
    )
    folders.insert_folder(c, folder)
    return folder


def _tool_names(draft: AgentDraft) -> list[str]:
    names = list(draft.tool_names)
    if draft.include_base_tools:
        names += base_tools(draft.agent_type, bool(draft.enable_sleeptime))
    if draft.include_multi_agent_tools:
        names += _MULTI_AGENT
    return list(dict.fromkeys(names))


def rules_for(draft: AgentDraft, own_tools: Sequence[Tool], approvals: Mapping[str, bool]) -> tuple[ToolRule, ...]:
    """The draft's rules, what base tools do to the turn where an agent acts through tools alone, what asks first."""
    wanted = draft.include_base_tool_rules
    if wanted is None:
        wanted = draft.agent_type not in (AgentType.LETTA_V1, AgentType.REACT, AgentType.WORKFLOW)
    base = _base_rules(draft, own_tools) if wanted else []
    return with_default_approvals((*draft.tool_rules, *base), own_tools, approvals)


def _base_rules(draft: AgentDraft, own_tools: Sequence[Tool]) -> list[ToolRule]:
    ruled = {rule.tool_name for rule in draft.tool_rules}
    base: list[ToolRule] = []
    for tool in own_tools:
        if tool.name in ruled:
            continue
        if tool.name in _TERMINAL:
            base.append(TerminalToolRule(tool_name=tool.name))
        elif tool.tool_type in _MEMORY_TYPES:
            base.append(ContinueToolRule(tool_name=tool.name))
    return base


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


def opening_messages(agent: Agent, inputs: Sequence[SayInput], now: datetime) -> list[Message]:
    """What was said before the first request."""
    return [
        Message(
            id=MessageId(make_id("message")),
            organization_id=agent.organization_id,
            agent_id=agent.id,
            conversation_id=ConversationId(agent.id),
            body=_body(item),
            created_at=now,
            otid=item.otid,
            name=item.name,
            sender_id=item.sender_id,
            group_id=item.group_id,
        )
        for item in inputs
    ]


def _body(word: SayInput) -> Body:
    match word.role:
        case "user":
            return UserBody(parts=word.parts)
        case "system":
            return SystemBody(parts=word.parts)
        case "assistant":
            return AssistantBody(parts=word.parts)
