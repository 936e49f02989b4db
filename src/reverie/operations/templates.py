"""What callers can ask for about templates and their versions."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from random import SystemRandom
from typing import Final

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent_file import AgentFile
from reverie.domain.errors import Conflict, InvalidInput
from reverie.domain.ids import AgentId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.names import make_name
from reverie.domain.template import (
    CURRENT,
    CURRENT_WORDS,
    MigrationRules,
    SnapshotDraft,
    Template,
    TemplateFilter,
    TemplateRef,
    TemplateVersion,
    check_template_name,
    kept_file,
)
from reverie.operations.adoption import check_servers, store_folders, store_tools
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.operations.migration import move_deployment, prepare_move
from reverie.operations.packing import PackOptions, pack, snapshot_file, with_members
from reverie.operations.placement import default_project
from reverie.storage import projects, templates, tools
from reverie.storage.agent_file_codec import decode

_random: Final = SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateView:
    """A template as clients see it."""

    template: Template
    project_slug: str
    shown_version: int
    """The newest one, or the one that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A version with the ids of its tools here, by their ids in the file."""

    version: TemplateVersion
    tool_ids: dict[str, str]


async def create_from_agent(
    ops: Operations, caller: Caller, agent_id: AgentId, name: str | None, project: str | None
) -> TemplateView:
    """Make a template of an agent as it stands; its first version is saved at once.

    Raises:
        NotFound: no such agent.
        Conflict: the project has a template of that name.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> TemplateView:
        found = with_members(c, caller.organization_id, agent_id)
        file = kept_file(pack(c, found, PackOptions(past=False, folders_by_id=True), now))
        secrets = {
            key: ops.cipher.decrypt(sealed, details.agent.id)
            for details in reversed(found)  # where two have the same name, the first one's counts
            for key, sealed in details.agent.sealed_secrets.items()
        }
        return _store_template(c, ops, caller, file, secrets, name, project, now)

    return await ops.database.write(store)


async def create_from_file(
    ops: Operations, caller: Caller, data: JsonObject, name: str | None, project: str | None, *, override_tools: bool
) -> TemplateView:
    """Make a template of an agent file, whose tools and folders are made with it or not at all.

    Raises:
        InvalidInput: what is wrong with the file.
        Conflict: the project has a template of that name.
    """
    caller.require(Scope.WRITE)
    file = await asyncio.to_thread(decode, data)
    await check_servers(ops, caller, file)
    await ensure_builtin(ops, caller.organization_id)
    now = ops.clock()

    def store(c: Connection) -> TemplateView:
        settled = _settled(c, caller, file, now, override_tools=override_tools)
        return _store_template(c, ops, caller, settled, _secrets_in(file), name, project, now)

    made = await ops.database.write(store)
    if file.files:
        ops.ring("ingest")
    return made


async def list_templates(
    ops: Operations, caller: Caller, where: TemplateFilter, project: str | None, *, offset: int, limit: int
) -> tuple[list[TemplateView], bool]:
    """Templates that meet `where` and lie in `project`, newest first, and whether there are more."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[list[TemplateView], bool]:
        placed = where
        if project is not None:
            placed = replace(where, project_id=templates.project_id_of(c, caller.organization_id, project))
        found = templates.list_some(c, caller.organization_id, placed, offset=offset, limit=limit + 1)
        slugs = templates.slugs(c, caller.organization_id, found)
        shown = [
            TemplateView(
                template=item,
                project_slug=slugs[item.project_id],
                shown_version=item.latest_version if where.version is None else where.version,
            )
            for item in found[:limit]
        ]
        return shown, len(found) > limit

    return await ops.database.read(read)


async def list_versions(
    ops: Operations, caller: Caller, ref: TemplateRef, *, offset: int, limit: int
) -> tuple[Template, list[TemplateVersion], int]:
    """The template, a part of its saved versions, newest first, and how many there are."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[Template, list[TemplateVersion], int]:
        template = templates.find(c, caller.organization_id, ref)
        found = templates.list_versions(c, template, offset=offset, limit=limit)
        return template, found, templates.count_versions(c, template)

    return await ops.database.read(read)


async def save(
    ops: Operations, caller: Caller, ref: TemplateRef, message: str | None, rules: MigrationRules, *, migrate: bool
) -> TemplateView:
    """Save the working version under the next number; with `migrate` all that was made of the template goes along."""
    caller.require(Scope.WRITE)
    now = ops.clock()
    # Models are asked before the transaction, so the working version may have changed meanwhile; then it is refused.
    template, current = await ops.database.read(
        lambda c: templates.find_version(c, caller.organization_id, replace(ref, version="current"))
    )
    fresh = _numbered(current, template.latest_version + 1, message, rules, now)
    move = await prepare_move(ops, caller, template, fresh, rules) if migrate else None

    def store(c: Connection) -> TemplateView:
        held = templates.get(c, caller.organization_id, template.id, lock=True)
        now_current = templates.get_version(c, held, "current")
        if held.latest_version != template.latest_version or not now_current.holds_the_same_as(current):
            raise Conflict(f"template {held.name!r} was changed by somebody else meanwhile; save it again")
        saved = _store_version(c, caller, held, fresh, now)
        if move is not None:
            for deployment in templates.deployments_of(c, held):
                move_deployment(c, ops, caller, deployment, replace(move, template=saved), {}, now)
        return _view(c, saved)

    return await ops.database.write(store)


async def update_from_file(
    ops: Operations, caller: Caller, ref: TemplateRef, data: JsonObject, *, override_tools: bool, save_first: bool
) -> None:
    """Make a file the working version; `save_first` saves what it held before as a version, where it is none yet."""
    caller.require(Scope.WRITE)
    file = await asyncio.to_thread(decode, data)
    await check_servers(ops, caller, file)
    await ensure_builtin(ops, caller.organization_id)
    now = ops.clock()

    def store(c: Connection) -> None:
        template = templates.find(c, caller.organization_id, ref, lock=True)
        settled = _settled(c, caller, file, now, override_tools=override_tools)
        if save_first:
            template = _save_unsaved(c, caller, template, "saved before an update from a file", now)
        _set_current(c, ops, caller, template, settled, _secrets_in(file), now)

    await ops.database.write(store)
    if file.files:
        ops.ring("ingest")


async def rollback(ops: Operations, caller: Caller, ref: TemplateRef, word: str) -> int:
    """Make a saved version the working one; unsaved changes are saved first. Returns the version's number.

    Raises:
        InvalidInput: `word` names the working version.
        NotFound: there is no such version.
    """
    caller.require(Scope.WRITE)
    if word in CURRENT_WORDS:
        raise InvalidInput(f"version: {word!r} is the working version itself; name a saved one such as '1' or 'latest'")
    now = ops.clock()

    def store(c: Connection) -> int:
        template = templates.find(c, caller.organization_id, ref, lock=True)
        target = templates.get_version(c, template, word)
        template = _save_unsaved(c, caller, template, f"saved before a rollback to {target.number}", now)
        current = templates.get_version(c, template, "current")
        after = replace(current, file=target.file, sealed_secrets=target.sealed_secrets, rules=target.rules)
        templates.update_version(c, current, after)
        _touch(c, caller, template, now)
        return target.number

    return await ops.database.write(store)


async def delete(ops: Operations, caller: Caller, ref: TemplateRef) -> None:
    """Remove a template with all its versions; what was made of them stays."""
    caller.require(Scope.WRITE)
    await ops.database.write(
        lambda c: templates.delete_template(c, templates.find(c, caller.organization_id, ref, lock=True))
    )


async def rename(ops: Operations, caller: Caller, ref: TemplateRef, name: str) -> None:
    """Give a template another name.

    Raises:
        Conflict: the project has a template of that name.
    """
    check_template_name(name)
    await _change(ops, caller, ref, lambda template: replace(template, name=name))


async def describe(ops: Operations, caller: Caller, ref: TemplateRef, description: str | None) -> None:
    """Give a template another description."""
    await _change(ops, caller, ref, lambda template: replace(template, description=description))


async def fork(ops: Operations, caller: Caller, ref: TemplateRef, name: str | None) -> TemplateView:
    """Make a template of one's version, in the same project."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> TemplateView:
        template, version = templates.find_version(c, caller.organization_id, ref)
        secrets = {key: ops.cipher.decrypt(sealed, template.id) for key, sealed in version.sealed_secrets.items()}
        return _store_template(c, ops, caller, version.file, secrets, name, template.project_id, now)

    return await ops.database.write(store)


async def move_to_default_project(ops: Operations, caller: Caller, template_id: str) -> None:
    """Bring a template into the default project out of one that does not exist here any more.

    Raises:
        InvalidInput: its project exists.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> None:
        template = templates.get(c, caller.organization_id, template_id, lock=True)
        known = projects.of_ids(c, caller.organization_id, [template.project_id]).get(template.project_id)
        if known is not None:
            raise InvalidInput(f"template {template.name!r} lies in project {known.name!r}, which is in use; fork it")
        after = replace(template, project_id=default_project(c, caller, now).id, updated_at=now)
        templates.update_template(c, template, after)

    await ops.database.write(store)


async def snapshot(ops: Operations, caller: Caller, ref: TemplateRef) -> Snapshot:
    """A version as it stands."""
    caller.require(Scope.READ)
    await ensure_builtin(ops, caller.organization_id)

    def read(c: Connection) -> Snapshot:
        _, version = templates.find_version(c, caller.organization_id, ref)
        found = {
            item.id: str(tool.id)
            for item in version.file.tools
            if (tool := tools.find_named(c, caller.organization_id, item.name)) is not None
        }
        return Snapshot(version=version, tool_ids=found)

    return await ops.database.read(read)


async def set_snapshot(ops: Operations, caller: Caller, ref: TemplateRef, draft: SnapshotDraft) -> None:
    """Make `draft` the working version; what it does not speak of stays as it was.

    Raises:
        InvalidInput: `ref` names a saved version, which never changes, or the parts do not fit together.
        NotFound: a tool, folder or identity that is not here.
    """
    caller.require(Scope.WRITE)
    if ref.version is not None and ref.version not in CURRENT_WORDS:
        raise InvalidInput(f"version {ref.version!r} is saved and never changes; name '{ref.name}:current'")
    await ensure_builtin(ops, caller.organization_id)
    now = ops.clock()

    def store(c: Connection) -> None:
        template = templates.find(c, caller.organization_id, ref, lock=True)
        file = snapshot_file(c, caller.organization_id, draft, templates.get_version(c, template, "current").file)
        given = {name: text for agent in draft.agents for name, text in agent.secrets.items() if text is not None}
        _set_current(c, ops, caller, template, file, given, now)

    await ops.database.write(store)


async def _change(ops: Operations, caller: Caller, ref: TemplateRef, change: Callable[[Template], Template]) -> None:
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> None:
        before = templates.find(c, caller.organization_id, ref, lock=True)
        after = replace(change(before), updated_at=now, last_updated_by_id=caller.user_id)
        templates.update_template(c, before, after)

    await ops.database.write(store)


def _settled(c: Connection, caller: Caller, file: AgentFile, now: datetime, *, override_tools: bool) -> AgentFile:
    """`file` as a template keeps it, with its tools and folders made here: folders have their ids from now on."""
    store_tools(c, caller, file, now, override=override_tools)
    own = {key: str(folder.id) for key, folder in store_folders(c, caller, file, None, now).items()}
    return kept_file(
        replace(
            file,
            files=(),
            sources=tuple(replace(source, id=own[source.id]) for source in file.sources),
            agents=tuple(
                replace(
                    agent,
                    source_ids=tuple(own[item] for item in (*agent.source_ids, *agent.folder_ids)),
                    folder_ids=(),
                )
                for agent in file.agents
            ),
        )
    )


def _secrets_in(file: AgentFile) -> dict[str, str]:
    """Values of secrets that a file holds after all, as hand-written ones may."""
    found: dict[str, str] = {}
    for agent in file.agents:
        found |= {**agent.tool_exec_environment_variables, **agent.secrets}
    return {name: text for name, text in found.items() if text}


def _store_template(
    c: Connection,
    ops: Operations,
    caller: Caller,
    file: AgentFile,
    secrets: dict[str, str],
    name: str | None,
    project: str | None,
    now: datetime,
) -> TemplateView:
    wanted = name or make_name(_random)
    check_template_name(wanted)
    place = default_project(c, caller, now).id if project is None else project
    template = Template(
        id=make_id("template"),
        organization_id=caller.organization_id,
        project_id=templates.project_id_of(c, caller.organization_id, place),
        name=wanted,
        latest_version=1,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    sealed = {key: ops.cipher.encrypt(text, template.id) for key, text in secrets.items()}
    versions = [
        TemplateVersion(
            id=make_id("template_version"),
            organization_id=caller.organization_id,
            template_id=template.id,
            number=number,
            file=file,
            sealed_secrets=sealed,
            created_at=now,
        )
        for number in (CURRENT, 1)
    ]
    templates.insert_template(c, template, *versions)
    return _view(c, template)


def _view(c: Connection, template: Template) -> TemplateView:
    slug = templates.slugs(c, template.organization_id, [template])[template.project_id]
    return TemplateView(template=template, project_slug=slug, shown_version=template.latest_version)


def _numbered(
    current: TemplateVersion, number: int, message: str | None, rules: MigrationRules, now: datetime
) -> TemplateVersion:
    return replace(current, id=make_id("template_version"), number=number, message=message, rules=rules, created_at=now)


def _store_version(
    c: Connection, caller: Caller, template: Template, version: TemplateVersion, now: datetime
) -> Template:
    templates.insert_version(c, version)
    after = replace(template, latest_version=version.number, updated_at=now, last_updated_by_id=caller.user_id)
    templates.update_template(c, template, after)
    return after


def _save_unsaved(c: Connection, caller: Caller, template: Template, message: str, now: datetime) -> Template:
    """Save the working version where it differs from the newest saved one."""
    current = templates.get_version(c, template, "current")
    latest = templates.get_version(c, template, None)
    if current.holds_the_same_as(latest):
        return template
    version = _numbered(current, template.latest_version + 1, message, current.rules, now)
    return _store_version(c, caller, template, version, now)


def _set_current(
    c: Connection,
    ops: Operations,
    caller: Caller,
    template: Template,
    file: AgentFile,
    secrets: dict[str, str],
    now: datetime,
) -> None:
    """Make `file` the working version; secrets that it names and that were not given keep what they had."""
    current = templates.get_version(c, template, "current")
    named = {name for agent in file.agents for name in agent.secret_names}
    kept = {name: sealed for name, sealed in current.sealed_secrets.items() if name in named and name not in secrets}
    fresh = {name: ops.cipher.encrypt(text, template.id) for name, text in secrets.items()}
    templates.update_version(c, current, replace(current, file=file, sealed_secrets=kept | fresh))
    _touch(c, caller, template, now)


def _touch(c: Connection, caller: Caller, template: Template, now: datetime) -> None:
    before = templates.get(c, caller.organization_id, template.id)
    templates.update_template(c, before, replace(before, updated_at=now, last_updated_by_id=caller.user_id))
