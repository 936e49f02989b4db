"""Runs and drafts the history with Alembic. Imported only when there is something to do."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.types import TypeEngine

from reverie.storage.columns import Instant, Json, Serial, Vector
from reverie.storage.migrations import VERSIONS
from reverie.storage.schema import metadata

_BESIDE = ("passage_words", "message_words", "file_passage_words", "tool_words")
"""Tables that only the migrations know; FTS5 keeps several for each."""


def upgrade(c: Connection, progress: Callable[[str], None], *, to: str = "head") -> None:
    """Bring the database behind `c` to the newest revision or that of `to`, inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.set_main_option("version_path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(current: Any, _context: MigrationContext) -> Iterable[RevisionStep]:
        return script._upgrade_revs(to, current)  # the hook that alembic's own `env.py` files call

    def report(*, step: Any, **_: Any) -> None:
        progress(f"database schema: {step.up_revision.revision} ({step.up_revision.doc})")

    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(
            connection=c, target_metadata=metadata, render_as_batch=True, on_version_apply=cast(Any, report)
        )
        with environment.begin_transaction():
            environment.run_migrations()


def differences(c: Connection) -> list[Any]:
    """What differs between the database behind `c` and `schema/`; empty when they agree."""
    return list(compare_metadata(_comparison(c), metadata))


def draft_body(c: Connection) -> str:
    """Code of a function that would bring the database behind `c` to `schema/`."""
    context = _comparison(c)
    operations = produce_migrations(context, metadata)
    assert operations.upgrade_ops is not None
    return render_python_code(
        operations.upgrade_ops, render_as_batch=True, render_item=_render_type, migration_context=context
    )


def _comparison(c: Connection) -> MigrationContext:
    return MigrationContext.configure(
        c,
        opts={
            "target_metadata": metadata,
            "compare_type": True,
            "include_name": _is_ours,
            "render_as_batch": True,
        },
    )


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return not (kind == "table" and name is not None and name.startswith(_BESIDE))


def _render_type(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Our own column types by their names: what alembic writes for them cannot be imported."""
    if kind != "type" or not isinstance(item, TypeEngine):
        return False
    if item is Serial:
        return "Serial"
    if isinstance(item, type(Json)):
        return "Json"
    for known_type in (Instant, Vector):
        if isinstance(item, known_type):
            return f"{known_type.__name__}()"
    return False
