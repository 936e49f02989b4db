"""The history of the schema, on both databases."""

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.agent import AgentDraft
from reverie.domain.block import BlockDraft
from reverie.domain.errors import Unavailable
from reverie.domain.ids import DEFAULT_ORGANIZATION, ConversationId
from reverie.domain.paging import Page
from reverie.operations import agents, keys
from reverie.storage import messages
from reverie.storage.database import Database, DatabaseOptions
from reverie.storage.migrate import bring_up_to_date, schema_version
from reverie.storage.migrations import known_revisions
from reverie.storage.migrations.history import differences
from tests.support.databases import database_urls, opened
from tests.support.operations import operations_on


async def test_the_history_ends_at_the_schema_of_the_code(db: Database) -> None:
    assert await db.read(differences) == []


async def test_servers_that_start_at_once_migrate_once(database: str) -> None:
    seen: list[str] = []
    with database_urls(database, migrated=False) as url:
        options = DatabaseOptions(url=url)
        assert await schema_version(options) is None
        await asyncio.gather(*(bring_up_to_date(options, seen.append) for _ in range(3)))
        assert await schema_version(options) == known_revisions()[-1]
    assert seen == [f"database schema: making it, as of {known_revisions()[-1]}"]


async def test_a_current_database_is_left_alone(url: str) -> None:
    seen: list[str] = []
    await bring_up_to_date(DatabaseOptions(url=url), seen.append)
    assert seen == []


async def test_a_newer_database_is_refused(url: str) -> None:
    async with opened(url) as db:
        await db.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(Unavailable, match="newer version of this program"):
        await bring_up_to_date(DatabaseOptions(url=url))


async def test_a_sqlite_file_is_copied_before_it_changes(tmp_path: Path) -> None:
    options = DatabaseOptions(url=f"sqlite:///{tmp_path}/reverie.db")
    await bring_up_to_date(options)
    assert _copies(tmp_path) == []
    async with opened(options.url) as db:
        await db.write(_back_to_the_first_revision)
    await bring_up_to_date(options)
    copies = _copies(tmp_path)
    assert [path.name for path in copies] == [f"reverie.db.before-{known_revisions()[-1]}"]
    assert await schema_version(DatabaseOptions(url=f"sqlite:///{copies[0]}")) == "0001"
    async with opened(options.url) as db:
        assert await db.read(lambda c: c.execute(text("SELECT name FROM organizations")).scalar_one()) == "kept"


async def test_a_key_that_could_make_tools_still_can(tmp_path: Path) -> None:
    options = DatabaseOptions(url=f"sqlite:///{tmp_path}/reverie.db")
    await bring_up_to_date(options)
    async with opened(options.url) as db:
        await db.write(_back_to_the_first_revision)
        await db.write(_insert_old_keys)
    await bring_up_to_date(options)
    async with opened(options.url) as db:
        found = await keys.list_keys(operations_on(db), LOCAL_CALLER, Page(order="asc"))
    assert [sorted(key.scopes) for key in found] == [["tools", "write"], ["read"], ["admin"]]


def _insert_old_keys(c: Connection) -> None:
    for scope in ("write", "read", "admin"):
        c.execute(text(_OLD_KEY), {"scopes": f'["{scope}"]', "id": scope})


_OLD_KEY = f"""
    INSERT INTO api_keys (id, organization_id, user_id, name, digest, hint, scopes, created_at)
    VALUES (:id, '{DEFAULT_ORGANIZATION}', 'user-1', :id, :id, '', :scopes, 0)
"""


async def test_a_change_of_a_table_keeps_what_hangs_on_its_rows(tmp_path: Path) -> None:
    options = DatabaseOptions(url=f"sqlite:///{tmp_path}/reverie.db")
    await bring_up_to_date(options)
    async with opened(options.url) as db:
        made = await agents.create(operations_on(db), LOCAL_CALLER, AgentDraft(blocks=(BlockDraft(label="kept"),)))
        await db.write(_back_to_the_first_revision)
    await bring_up_to_date(options)
    async with opened(options.url) as db:
        assert await agents.retrieve(operations_on(db), LOCAL_CALLER, made.agent.id) == made


def _copies(directory: Path) -> list[Path]:
    return list(directory.glob("*.before-*"))


def _back_to_the_first_revision(c: Connection) -> None:
    for statement in (
        "DROP TRIGGER messages_want_vectors",
        "ALTER TABLE agents DROP COLUMN finds_by_meaning",
        *(f"DROP TRIGGER {name}_index_words" for name in ("passages", "file_passages", "tools")),
        "DROP TRIGGER tools_forget_words",
        "DROP TRIGGER tools_change_words",
        *(f"DROP VIEW {name}_texts" for name in ("passage", "file_passage", "tool")),
        *(
            f"DROP TABLE {name}"
            for name in (
                "waiting",
                "passage_blocks",
                "file_passage_blocks",
                "message_blocks",
                "tool_blocks",
                "tool_bits",
                "tool_vectors",
                "tool_words",
                "passage_bits",
                "passage_vectors_due",
                "file_passage_bits",
                "message_bits",
                "message_vectors",
                "message_vectors_due",
                "open_approvals",
            )
        ),
        "DROP INDEX ix_passages_archive_id_seq",
        "DROP INDEX uq_organizations_name",
        "DROP TABLE mcp_sessions",
        "DROP TABLE mcp_tools",
        "DROP TABLE mcp_servers",
        "DROP TABLE schedules",
        "DROP TABLE provider_traces",
        "DROP TABLE sandbox_variables",
        "DROP TABLE sandbox_configs",
        "DROP TABLE batch_items",
        "DROP TABLE batches",
        "DROP TABLE callbacks",
        "ALTER TABLE steps DROP COLUMN tool_times",
        "DROP TABLE agent_openings",
        *(f"ALTER TABLE conversations DROP COLUMN {name}" for name in ("archived_at", "hidden")),
        *(
            f"ALTER TABLE runs DROP COLUMN {name}"
            for name in ("tools_used", "project_id", "template_id", "base_template_id")
        ),
        "DROP INDEX ix_messages_group",
        "DROP INDEX ix_messages_group_otid",
        "DROP TABLE group_turns",
        "DROP TABLE group_blocks",
        "DROP TABLE group_agents",
        "DROP TABLE groups",
        "DROP TABLE environment_deliveries",
        "DROP TABLE environments",
        "DROP TABLE access_grants",
        "DROP TABLE access_tokens",
        "INSERT INTO organizations (id, name, created_at) VALUES ('org-1', 'kept', 0)",
        "DROP TRIGGER file_passages_forget_words",
        "DROP TABLE file_passage_words",
        "DROP TABLE file_passage_vectors",
        "DROP TABLE file_passages",
        "DROP TABLE file_contents",
        "DROP TABLE agent_files",
        "DROP TABLE agent_folders",
        "DROP TABLE files",
        "DROP TABLE folders",
        "DROP TRIGGER passages_forget_words",
        "DROP TRIGGER messages_forget_words",
        "DROP TABLE passage_words",
        "DROP TABLE message_words",
        "DROP TABLE agent_identities",
        "DROP TABLE block_identities",
        "DROP TABLE identities",
        "DROP TABLE projects",
        "DROP TABLE token_ratios",
        "DROP TABLE deployments",
        "DROP TABLE template_versions",
        "DROP TABLE templates",
        "DROP INDEX ix_agents_organization_id_deployment_id",
        "DROP INDEX ix_agents_organization_id_template_id",
        "DROP INDEX ix_agents_organization_id_base_template_id",
        "DROP INDEX ix_agents_organization_id_project_id_seq",
        "DROP INDEX ix_blocks_organization_id_deployment_id",
        "ALTER TABLE agents ADD COLUMN identity_ids JSON NOT NULL DEFAULT '[]'",
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        c.execute(text(statement))


async def test_a_start_without_changes_does_not_load_alembic(url: str) -> None:
    program = f"""
import asyncio, sys
from reverie.storage.database import DatabaseOptions
from reverie.storage.migrate import bring_up_to_date
asyncio.run(bring_up_to_date(DatabaseOptions(url={url!r})))
sys.exit("alembic" in sys.modules)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


async def test_a_context_is_read_through_its_own_index() -> None:
    """Else a turn's cost grows with everything that was ever said."""
    context = messages.load_context
    seen: list[str] = []

    def explained(c: Connection) -> None:
        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        event.listen(c, "before_cursor_execute", note)
        context(c, ConversationId("agent-1"))
        event.remove(c, "before_cursor_execute", note)
        plan = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {seen[0]}", ("agent-1",)).all()
        assert any("ix_messages_context" in row[3] for row in plan), plan

    with database_urls("sqlite") as url:
        async with opened(url) as db:
            await db.read(explained)
