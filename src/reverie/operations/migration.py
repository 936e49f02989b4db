"""Agents brought to a version of their template: a rule that saving and migrating share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from reverie.auth.keys import Caller
from reverie.domain.agent import Agent
from reverie.domain.agent_file import AgentFile, FileBlock
from reverie.domain.block import Block
from reverie.domain.ids import FolderId
from reverie.domain.json import JsonObject
from reverie.domain.template import Deployment, MigrationRules, Template, TemplateVersion, filled_file
from reverie.domain.tool import Tool
from reverie.operations.adoption import store_folders, store_tools
from reverie.operations.assembly import rules_for, seal, tools_for
from reverie.operations.authorship import actor_of
from reverie.operations.base import Operations
from reverie.operations.unpacking import (
    PreparedAgent,
    UnpackOptions,
    folders_of,
    make_block,
    prepare_file,
    tools_of,
)
from reverie.storage import agents, blocks, file_views, folders, templates, tools
from reverie.tools.rules import check_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where agents are to be brought, made ready outside of any transaction."""

    template: Template
    version: TemplateVersion
    prepared: Sequence[PreparedAgent]
    secrets: Mapping[str, str]
    """The version's own, opened."""
    rules: MigrationRules


async def prepare_move(
    ops: Operations, caller: Caller, template: Template, version: TemplateVersion, rules: MigrationRules
) -> Move:
    """Ask the catalog for the version's models; errors as of `prepare_file`."""
    prepared = await prepare_file(ops, caller, version.file, UnpackOptions())
    return Move(
        template=template,
        version=version,
        prepared=prepared,
        secrets=opened_secrets(ops, version),
        rules=rules,
    )


def opened_secrets(ops: Operations, version: TemplateVersion) -> dict[str, str]:
    """What agents of a version start with."""
    return {name: ops.cipher.decrypt(sealed, version.template_id) for name, sealed in version.sealed_secrets.items()}


def move_deployment(
    c: Connection,
    ops: Operations,
    caller: Caller,
    deployment: Deployment,
    move: Move,
    variables: Mapping[str, str],
    now: datetime,
) -> int:
    """Bring the agents of a deployment to a version; returns how many there were."""
    values = {**deployment.memory_variables, **variables}
    file = filled_file(move.version.file, values)
    own_tools = store_tools(c, caller, file, now, override=False)
    own_folders = store_folders(c, caller, file, move.prepared[0].agent.embedding, now)
    found = agents.of_deployment(c, caller.organization_id, deployment.id)
    by_entity = {item.source.id: item for item in move.prepared}
    alone = move.prepared[0] if len(move.prepared) == 1 and len(found) == 1 else None
    moved = 0
    for agent in found:
        item = by_entity.get(agent.entity_id or "") or alone
        if item is None:  # the version has no such agent any more
            continue
        after = _move_agent(c, ops, caller, agent, item, own_tools, move, now)
        _move_folders(c, after, folders_of(item.source, own_folders), move.rules, now)
        _move_blocks(c, caller, after, file, item, deployment, move, now)
        moved += 1
    after_move = replace(
        deployment,
        version_id=move.version.id,
        memory_variables=values,
        updated_at=now,
        last_updated_by_id=caller.user_id,
    )
    templates.update_deployment(c, deployment, after_move)
    return moved


def _move_agent(
    c: Connection,
    ops: Operations,
    caller: Caller,
    before: Agent,
    item: PreparedAgent,
    own_tools: Mapping[str, Tool],
    move: Move,
    now: datetime,
) -> Agent:
    wanted = item.agent
    draft = replace(item.draft, tool_ids=tuple(tools_of(item.source, own_tools)))
    has_folders = bool(folders.of_agents(c, [before.id]).get(before.id))
    owned = tools_for(c, caller, draft, with_files=has_folders)
    rules = rules_for(draft, owned, wanted.approvals)
    check_rules(rules)
    tools.replace_attached(c, before.id, owned)
    after = replace(
        before,
        system=wanted.system,
        model=wanted.model,
        model_settings=wanted.model_settings,
        context_window_limit=wanted.context_window_limit,
        compaction_settings=wanted.compaction_settings,
        response_format=wanted.response_format,
        tool_rules=rules,
        approvals=wanted.approvals,
        description=wanted.description,
        tags=tuple(dict.fromkeys((*before.tags, *wanted.tags))),
        timezone=wanted.timezone,
        message_buffer_autoclear=wanted.message_buffer_autoclear,
        max_files_open=wanted.max_files_open,
        per_file_view_window_char_limit=wanted.per_file_view_window_char_limit,
        sealed_secrets=_moved_secrets(ops, before, move),
        template_id=move.version.id,
        base_template_id=move.template.id,
        updated_at=now,
        last_updated_by_id=caller.user_id,
    )
    agents.update_agent(c, before, after)
    return after


def _moved_secrets(ops: Operations, before: Agent, move: Move) -> dict[str, str]:
    fresh = seal(ops, before.id, dict(move.secrets))
    return {**fresh, **before.sealed_secrets} if move.rules.preserve_secrets else fresh


def _move_folders(
    c: Connection, agent: Agent, folder_ids: Sequence[FolderId], rules: MigrationRules, now: datetime
) -> None:
    wanted = folders.get_many(c, agent.organization_id, folder_ids)
    if rules.preserve_folders:
        file_views.attach(c, agent, wanted, now)
    else:
        file_views.replace_attached(c, agent, wanted, now)


def _move_blocks(
    c: Connection,
    caller: Caller,
    agent: Agent,
    file: AgentFile,
    item: PreparedAgent,
    deployment: Deployment,
    move: Move,
    now: datetime,
) -> None:
    options = UnpackOptions(
        project_id=deployment.project_id,
        template_id=move.version.id,
        base_template_id=move.template.id,
        deployment_id=deployment.id,
    )
    have = {block.label: block for block in blocks.of_agent(c, agent.organization_id, agent.id, lock=True)}
    wanted = {block.id: block for block in file.blocks}
    labels = set()
    for file_id in item.source.block_ids:
        entry = wanted[file_id]
        labels.add(entry.label)
        fresh = make_block(entry, caller, options, now)
        if entry.label in have:
            _move_block(c, have[entry.label], fresh, entry, move, _actor(caller, move), now)
        else:
            blocks.insert_blocks(c, [fresh])
            blocks.attach(c, agent.id, fresh)
    if move.rules.blocks == "reconcile-all":
        for label, block in have.items():
            if label in labels:
                continue
            # What somebody else made and attached is only taken off.
            if block.deployment_id == deployment.id:
                blocks.delete_block(c, block.id)
            else:
                blocks.detach(c, agent.id, block.id)


def _move_block(
    c: Connection, before: Block, fresh: Block, entry: FileBlock, move: Move, actor: JsonObject, now: datetime
) -> None:
    if before.template_id == move.version.id and before.updated_at == now:
        return  # shared with an agent that was moved just now
    kept = move.rules.preserve_memories or before.preserve_on_migration or entry.preserve_on_migration
    value = before.value if kept else fresh.value
    limit = max(fresh.limit, len(value))
    author = actor.get("user_id")
    stored = blocks.change_value(c, replace(before, limit=limit), value, actor, now, author)
    after = replace(
        stored,
        limit=limit,
        description=fresh.description,
        read_only=fresh.read_only,
        metadata=fresh.metadata,
        tags=fresh.tags,
        hidden=fresh.hidden,
        preserve_on_migration=fresh.preserve_on_migration,
        template_id=fresh.template_id,
        base_template_id=fresh.base_template_id,
        entity_id=fresh.entity_id,
        updated_at=now,
        last_updated_by_id=author,
    )
    blocks.change_rest(c, before, after)


def _actor(caller: Caller, move: Move) -> JsonObject:
    """Who is written into the past of blocks."""
    return {**actor_of(caller), "kind": "template", "template": f"{move.template.name}:{move.version.word}"}
