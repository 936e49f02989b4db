"""Templates of one organisation are nothing to another, and what fails leaves nothing, on both databases."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import AgentDraft, AgentFilter
from reverie.domain.block import BlockDraft
from reverie.domain.errors import NotAllowed, NotFound
from reverie.domain.ids import IdentityId, OrganizationId, UserId
from reverie.domain.paging import Page
from reverie.domain.template import MigrationRules, TemplateFilter, TemplateRef
from reverie.operations import agent_exports, agents, deployments, projects, templates
from reverie.operations.base import Operations
from reverie.operations.deployments import DeploymentDraft, MigrationWish
from reverie.operations.unpacking import UnpackOptions
from reverie.storage.agents import count

STRANGER = Caller(
    organization_id=OrganizationId("org-other"), user_id=UserId("user-other"), scopes=frozenset(Scope), key_id=None
)
TALKER = Caller(organization_id=ME.organization_id, user_id=ME.user_id, scopes=frozenset({Scope.WRITE}), key_id="key")
HELPER = TemplateRef(name="helper")


async def helper(ops: Operations) -> templates.TemplateView:
    agent = await agents.create(ops, ME, AgentDraft(blocks=(BlockDraft(label="human", value="{{name}}"),)))
    return await templates.create_from_agent(ops, ME, agent.agent.id, "helper", None)


async def test_a_stranger_sees_no_template_version_deployment_or_project(ops: Operations) -> None:
    view = await helper(ops)
    deployment, made = await deployments.create(ops, ME, HELPER, DeploymentDraft())
    agent = made.agents[0].agent
    placed = TemplateRef(name="helper", project=view.template.project_id)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: templates.save(ops, STRANGER, HELPER, None, MigrationRules(), migrate=True),
        lambda: templates.rollback(ops, STRANGER, placed, "1"),
        lambda: templates.rename(ops, STRANGER, placed, "theirs"),
        lambda: templates.delete(ops, STRANGER, HELPER),
        lambda: templates.fork(ops, STRANGER, placed, "theirs"),
        lambda: templates.snapshot(ops, STRANGER, placed),
        lambda: templates.list_versions(ops, STRANGER, placed, offset=0, limit=9),
        lambda: templates.move_to_default_project(ops, STRANGER, view.template.id),
        lambda: templates.create_from_agent(ops, STRANGER, agent.id, None, None),
        lambda: deployments.create(ops, STRANGER, HELPER, DeploymentDraft()),
        lambda: deployments.migrate(ops, STRANGER, placed, deployment.id, MigrationWish(version="1")),
        lambda: deployments.variables(ops, STRANGER, agent.id),
        lambda: deployments.list_entities(ops, STRANGER, deployment.id),
        lambda: deployments.delete(ops, STRANGER, deployment.id),
        lambda: projects.delete(ops, STRANGER, view.template.project_id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt()
    assert await templates.list_templates(ops, STRANGER, TemplateFilter(), None, offset=0, limit=9) == ([], False)
    where = AgentFilter(template_version="helper:1", also=(AgentFilter(template_name="helper"),))
    assert await agents.count(ops, STRANGER, where) == 0
    assert await agents.count(ops, ME, where) == 1


async def test_agents_of_a_template_are_made_all_or_none(ops: Operations) -> None:
    await helper(ops)
    before = await agents.count(ops, ME, AgentFilter())
    lost = DeploymentDraft(identity_ids=(IdentityId("identity-lost"),))
    with pytest.raises(NotFound, match="identity-lost"):
        await deployments.create(ops, ME, HELPER, lost)
    assert await agents.count(ops, ME, AgentFilter()) == before
    rows = await ops.database.read(lambda c: c.execute(text("SELECT count(*) FROM deployments")).scalar_one())
    blocks = await ops.database.read(
        lambda c: c.execute(text("SELECT count(*) FROM blocks WHERE deployment_id IS NOT NULL")).scalar_one()
    )
    assert (rows, blocks) == (0, 0)


async def test_variables_outlive_the_template(ops: Operations) -> None:
    await helper(ops)
    await deployments.create(ops, ME, HELPER, DeploymentDraft(memory_variables={"name": "Ada"}))
    await templates.delete(ops, ME, HELPER)
    [made] = await agents.list_agents(ops, ME, AgentFilter(), Page(limit=1))
    assert made.agent.deployment_id is not None
    assert await deployments.variables(ops, ME, made.agent.id) == {"name": "Ada"}


@pytest.mark.one_database("sqlite")  # PostgreSQL reads small tables whole
@pytest.mark.parametrize(
    ("where", "index"),
    [
        (AgentFilter(project_id="p"), "ix_agents_organization_id_project_id_seq"),
        (AgentFilter(template_name="helper"), "ix_agents_organization_id_base_template_id"),
        (AgentFilter(template_version="helper:1"), "ix_agents_organization_id_template_id"),
        (AgentFilter(also=(AgentFilter(agent_id="agent-1"),)), "uq_agents_id|sqlite_autoindex_agents_1"),
    ],
)
async def test_a_search_does_not_read_all_agents(ops: Operations, where: AgentFilter, index: str) -> None:
    seen: list[tuple[str, Any]] = []

    def explained(c: Connection) -> str:
        def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
            seen.append((statement, parameters))

        event.listen(c, "before_cursor_execute", note)
        count(c, ME.organization_id, where)
        event.remove(c, "before_cursor_execute", note)
        statement, parameters = seen[0]
        return str(c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())

    plan = await ops.database.read(explained)
    assert re.search(index, plan), plan


async def test_who_may_not_bring_code_cannot_bring_it_in_a_file(ops: Operations) -> None:
    source = 'def twice(x: int) -> int:\n    """Double it."""\n    return 2 * x\n'
    file = (
        b'{"agents": [{"id": "agent-0", "model": "toy/parrot", "tool_ids": ["tool-0"]}],'
        b' "tools": [{"id": "tool-0", "name": "twice", "source_code": %s}]}'
    ) % json.dumps(source).encode()
    with pytest.raises(NotAllowed, match="tools"):
        await agent_exports.import_file(ops, TALKER, file, UnpackOptions())
    assert len(await agent_exports.import_file(ops, ME, file, UnpackOptions())) == 1
    assert len(await agent_exports.import_file(ops, TALKER, file, UnpackOptions())) == 1, "it is here already"
