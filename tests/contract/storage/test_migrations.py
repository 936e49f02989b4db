"""The history of the schema, on both databases."""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Connection, column, event, insert, make_url, table, text

from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.errors import Unavailable
from reverie.domain.ids import DEFAULT_ORGANIZATION, AgentId, ConversationId
from reverie.domain.paging import Page
from reverie.operations import agents, keys
from reverie.storage import messages
from reverie.storage.database import Database, DatabaseOptions
from reverie.storage.migrate import bring_up_to_date, schema_version
from reverie.storage.migrations import known_revisions
from reverie.storage.migrations.history import differences, upgrade
from reverie.storage.sqlite import sqlite_engine
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
    options = DatabaseOptions(url=f"sqlite:///{tmp_path}/new.db")
    await bring_up_to_date(options)
    assert _copies(tmp_path) == []
    options = _as_of_the_first_revision(tmp_path, ())
    await bring_up_to_date(options)
    copies = _copies(tmp_path)
    assert [path.name for path in copies] == [f"reverie.db.before-{known_revisions()[-1]}"]
    assert await schema_version(DatabaseOptions(url=f"sqlite:///{copies[0]}")) == "0001"
    async with opened(options.url) as db:
        assert await db.read(lambda c: c.execute(text("SELECT name FROM organizations")).scalar_one()) == "kept"


async def test_a_key_that_could_make_tools_still_can(tmp_path: Path) -> None:
    options = _as_of_the_first_revision(
        tmp_path, [("api_keys", _OLD_KEY | {"id": item, "digest": item, "scopes": f'["{item}"]'}) for item in _SCOPES]
    )
    await bring_up_to_date(options)
    async with opened(options.url) as db:
        found = await keys.list_keys(operations_on(db), LOCAL_CALLER, Page(order="asc"))
    assert [sorted(key.scopes) for key in found] == [["tools", "write"], ["read"], ["admin"]]


async def test_a_change_of_a_table_keeps_what_hangs_on_its_rows(tmp_path: Path) -> None:
    options = _as_of_the_first_revision(
        tmp_path, [("agents", _OLD_AGENT), ("blocks", _OLD_BLOCK), ("agent_blocks", _OLD_LINK)]
    )
    await bring_up_to_date(options)
    async with opened(options.url) as db:
        found = await agents.retrieve(operations_on(db), LOCAL_CALLER, AgentId("agent-1"))
    assert (found.agent.name, [block.label for block in found.blocks]) == ("old", ["kept"])


_SCOPES = ("write", "read", "admin")
_OLD_KEY = {"organization_id": DEFAULT_ORGANIZATION, "user_id": "user-1", "name": "old", "hint": "", "created_at": 0}
_OLD_ROW = {
    "organization_id": DEFAULT_ORGANIZATION,
    "metadata": "{}",
    "tags": "[]",
    "created_at": 0,
    "updated_at": 0,
}
_OLD_AGENT = _OLD_ROW | {
    "id": "agent-1",
    "name": "old",
    "agent_type": "letta_v1_agent",
    "system": "",
    "model": "openai/gpt",
    "model_settings": "{}",
    "tool_rules": "[]",
    "approvals": "{}",
    "sealed_secrets": "{}",
    "timezone": "UTC",
    "message_buffer_autoclear": 0,
    "identity_ids": "[]",
}
_OLD_BLOCK = _OLD_ROW | {
    "id": "block-1",
    "label": "kept",
    "value": "",
    "limit": 9,
    "read_only": 0,
    "is_template": 0,
    "version": 1,
}
_OLD_LINK = {"agent_id": "agent-1", "block_id": "block-1", "label": "kept", "position": 0}


def _as_of_the_first_revision(directory: Path, rows: Iterable[tuple[str, Mapping[str, object]]]) -> DatabaseOptions:
    """A database with an organisation and `rows`, as the first revision had them."""
    options = DatabaseOptions(url=f"sqlite:///{directory}/reverie.db")
    engine = sqlite_engine(options, make_url(options.url), begin="BEGIN")
    try:
        with engine.begin() as c:
            upgrade(c, lambda _: None, to="0001")
            for name, row in (("organizations", {"id": "org-1", "name": "kept", "created_at": 0}), *rows):
                c.execute(insert(table(name, *map(column, row))).values(row))
    finally:
        engine.dispose()
    return options


def _copies(directory: Path) -> list[Path]:
    return list(directory.glob("*.before-*"))


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
