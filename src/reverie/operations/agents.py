"""What callers can ask for about agents."""

from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentChanges, AgentDetails, AgentDraft, AgentFilter
from reverie.domain.errors import NotAllowed
from reverie.domain.folder import file_limits
from reverie.domain.ids import AgentId, ConversationId, IdentityId
from reverie.domain.paging import Page
from reverie.domain.unset import UNSET
from reverie.operations.assembly import (
    check_timezone,
    give_companion,
    prepare,
    remove_agent,
    remove_companions,
    seal,
    store_agent,
)
from reverie.operations.attaching import change_agent
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.operations.companions import check_may_have_companion
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
    vectors,
)
from reverie.storage.agents import EVERYTHING, Related
from reverie.storage.identities import AGENTS
from reverie.tools.rules import check_rules, with_default_approvals


async def create(ops: Operations, caller: Caller, draft: AgentDraft) -> AgentDetails:
    """Make an agent with all it shall be attached to, whole or not at all.

    Raises:
        NotFound: an unknown model, tool, block, identity or folder; the text names it.
        Conflict: two blocks of one label.
        InvalidInput: no model is configured, a value over its block's limit, a rule or time zone that cannot be.
    """
    caller.require(Scope.WRITE)
    agent = await prepare(ops, caller, draft)
    return await ops.database.write(lambda c: store_agent(c, caller, agent, draft))


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
    _check_policy(caller, changes)
    if changes.timezone is not UNSET:
        check_timezone(changes.timezone)
    window = None
    if changes.model is not UNSET:
        model = await (await ops.catalogs.of(caller.organization_id)).chat_model(changes.model)
        window = model.info.context_window
    if changes.folder_ids is not UNSET:
        await ensure_builtin(ops, caller.organization_id)
    if changes.embedding is not UNSET and changes.embedding is not None:
        await (await ops.catalogs.of(caller.organization_id)).embedder(changes.embedding)
    await _ready_for_sleeptime(ops, caller, agent_id, changes)
    values = _plain_values(ops, agent_id, changes)
    now = ops.clock()

    def store(c: Connection) -> AgentDetails:
        before = agents.get(c, caller.organization_id, agent_id, lock=True)
        after = replace(
            before,
            **values,
            model_settings=changes.settings_over(before),
            compaction_settings=changes.compaction_over(before),
            updated_at=now,
            last_updated_by_id=caller.user_id,
        )
        after = _with_fitting_files(before, after, changes, window)
        if changes.tool_ids is not UNSET:
            added = tools.get_many(c, caller.organization_id, changes.tool_ids)
            after = replace(after, tool_rules=with_default_approvals(after.tool_rules, added, after.approvals))
        agents.update_agent(c, before, after)
        _follow_embedding(c, before, after, now)
        _replace_attached(c, after, changes, now)
        if _files_of(before) != _files_of(after):
            file_views.refit(c, after)
        if changes.tool_rules is not UNSET:
            check_rules(after.tool_rules, [tool.name for tool in tools.of_agent(c, before.id)])
        if changes.enable_sleeptime is not UNSET:
            _set_sleeptime(c, caller, after, now)
        return agents.get_whole(c, caller.organization_id, after.id)

    updated = await ops.database.write(store)
    ops.ring("vectors")
    return updated


def _follow_embedding(c: Connection, before: Agent, after: Agent, now: datetime) -> None:
    """The archives that were made for an agent go with its embedding model."""
    if after.embedding != before.embedding:
        for archive in archives.owned_by(c, after.id):
            vectors.change_model(c, archive, after.embedding, now)


_OPEN_TO_PAGES: Final = frozenset(
    "name description system metadata tags timezone model model_settings embedding context_window_limit "
    "compaction_settings response_format message_buffer_autoclear max_files_open per_file_view_window_char_limit "
    "hidden".split()
)
"""What of an agent a page with `write_agent` may change: nothing that reaches other things, secrets or approvals."""


def _check_policy(caller: Caller, changes: AgentChanges) -> None:
    if caller.policy is None:
        return
    for item in fields(changes):
        if getattr(changes, item.name) is not UNSET and item.name not in _OPEN_TO_PAGES:
            raise NotAllowed(
                f"access tokens of pages do not change {item.name!r} of an agent; change it from your own server, "
                "with a key"
            )


async def delete(ops: Operations, caller: Caller, agent_id: AgentId) -> None:
    """Remove an agent with its history, its own archive and its sleeptime agent; its blocks and tools stay."""
    caller.require(Scope.WRITE)
    await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    await ops.runs.cancel_agent(caller.organization_id, agent_id)
    await _cancel_companions(ops, caller, agent_id)

    def remove(c: Connection) -> None:
        conversations.hold_all_of(c, agent_id)
        remove_agent(c, agents.get(c, caller.organization_id, agent_id, lock=True))

    await ops.database.write(remove)


async def attach_identity(ops: Operations, caller: Caller, agent_id: AgentId, identity_id: IdentityId) -> None:
    """Say that the agent belongs to an identity; nothing happens when it does already."""

    def change(c: Connection, agent: Agent) -> None:
        AGENTS.add(c, [agent.id], [identities.get(c, caller.organization_id, identity_id).id])

    await change_agent(ops, caller, agent_id, change)


async def detach_identity(ops: Operations, caller: Caller, agent_id: AgentId, identity_id: IdentityId) -> None:
    """Say that the agent does not belong to an identity; nothing happens when it does not."""

    def change(c: Connection, agent: Agent) -> None:
        AGENTS.remove(c, agent.id, identities.get(c, caller.organization_id, identity_id).id)

    await change_agent(ops, caller, agent_id, change)


_APART: Final = frozenset(
    {"block_ids", "tool_ids", "folder_ids", "message_ids", "secrets", "tags", "identity_ids"}
    | {"model_settings", "compaction_settings"}
)
"""Changes that are not a column of the agent as they stand."""


def _with_fitting_files(before: Agent, after: Agent, changes: AgentChanges, window: int | None) -> Agent:
    """With less to see of files where the window gets smaller, unless the change itself says how much."""
    windows = [item for item in (window, after.context_window_limit) if item]
    if not windows or (window is None and before.context_window_limit == after.context_window_limit):
        return after
    most, chars = file_limits(min(windows))
    if changes.max_files_open is UNSET and after.max_files_open is not None:
        after = replace(after, max_files_open=min(after.max_files_open, most))
    if changes.per_file_view_window_char_limit is UNSET and after.per_file_view_window_char_limit is not None:
        after = replace(after, per_file_view_window_char_limit=min(after.per_file_view_window_char_limit, chars))
    return after


def _files_of(agent: Agent) -> tuple[int | None, int | None]:
    return agent.max_files_open, agent.per_file_view_window_char_limit


def _replace_attached(c: Connection, agent: Agent, changes: AgentChanges, now: datetime) -> None:
    if changes.message_ids is not UNSET:
        messages.set_context(c, ConversationId(agent.id), changes.message_ids)
    if changes.block_ids is not UNSET:
        wanted = blocks.get_many(c, agent.organization_id, changes.block_ids)
        if agent.enable_sleeptime:
            had = blocks.of_agent(c, agent.organization_id, agent.id)
            groups.unshare_block(c, agent.id, *(block.id for block in had if block.id not in changes.block_ids))
            groups.share_block(c, agent.id, *wanted)
        blocks.replace_attached(c, agent.id, wanted)
    if changes.tool_ids is not UNSET:
        tools.replace_attached(c, agent.id, tools.get_many(c, agent.organization_id, changes.tool_ids))
    if changes.identity_ids is not UNSET:
        owners = identities.get_many(c, agent.organization_id, changes.identity_ids)
        AGENTS.clear(c, thing_id=agent.id)
        AGENTS.add(c, [agent.id], [owner.id for owner in owners])
    if changes.folder_ids is not UNSET:
        file_views.replace_attached(c, agent, folders.get_many(c, agent.organization_id, changes.folder_ids), now)


async def _ready_for_sleeptime(ops: Operations, caller: Caller, agent_id: AgentId, changes: AgentChanges) -> None:
    """What must be done outside the transaction that gives the agent a sleeptime agent, or takes it away."""
    if changes.enable_sleeptime is UNSET:
        return
    agent = await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    if changes.enable_sleeptime:
        check_may_have_companion(agent.agent_type)
        await ensure_builtin(ops, caller.organization_id)
    else:
        await _cancel_companions(ops, caller, agent_id)


async def _cancel_companions(ops: Operations, caller: Caller, agent_id: AgentId) -> None:
    group = await ops.database.read(lambda c: groups.sleeptime_of(c, agent_id))
    for companion in () if group is None else group.agent_ids:
        await ops.runs.cancel_agent(caller.organization_id, companion)


def _set_sleeptime(c: Connection, caller: Caller, agent: Agent, now: datetime) -> None:
    if not agent.enable_sleeptime:
        remove_companions(c, agent)
    elif groups.sleeptime_of(c, agent.id) is None:
        own = blocks.of_agent(c, agent.organization_id, agent.id)
        give_companion(c, caller, AgentDetails(agent=agent, blocks=own, tools=()), now)


def _plain_values(ops: Operations, agent_id: AgentId, changes: AgentChanges) -> dict[str, Any]:
    values = {
        item.name: value
        for item in fields(changes)
        if item.name not in _APART and (value := getattr(changes, item.name)) is not UNSET
    }
    if changes.tags is not UNSET:
        values["tags"] = tuple(dict.fromkeys(changes.tags))
    if changes.secrets is not UNSET:
        values["sealed_secrets"] = seal(ops, agent_id, changes.secrets)
    return values
