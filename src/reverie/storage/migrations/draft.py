"""Writes the next file of the history: `python -m reverie.storage.migrations.draft "what changes"`.

Compares `schema/` with a scratch database at the newest revision. Read what it wrote before you
commit it: it cannot see renames or moves of data.
"""

import re
import sys
import tempfile

from sqlalchemy.engine import make_url

from reverie.storage.migrations import VERSIONS, known_revisions
from reverie.storage.migrations.history import draft_body, upgrade
from reverie.storage.runner import DatabaseOptions
from reverie.storage.sqlite import sqlite_engine

_FILE = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial, Vector

revision = "{revision}"
down_revision = {before!r}


def upgrade() -> None:
    """Apply it."""
{up}
'''


def main(title: str) -> None:
    """Write the file, or say that nothing changed."""
    known = known_revisions()
    with tempfile.TemporaryDirectory() as scratch:
        options = DatabaseOptions(url=f"sqlite:///{scratch}/scratch.db")
        engine = sqlite_engine(options, make_url(options.url), begin="BEGIN")
        try:
            with engine.begin() as connection:
                upgrade(connection, lambda _: None)
                body = draft_body(connection)
        finally:
            engine.dispose()
    code = [line for line in body.splitlines() if line.strip() and not line.strip().startswith("# ###")]
    if [line.strip() for line in code] == ["pass"]:
        sys.stdout.write("schema/ and the history agree already\n")
        return
    revision = f"{int(known[-1]) + 1 if known else 1:04}"
    name = re.sub(r"\W+", "_", title.lower()).strip("_")
    path = VERSIONS / f"{revision}_{name}.py"
    before = known[-1] if known else None
    path.write_text(_FILE.format(title=title, revision=revision, before=before, up="\n".join(code)))
    sys.stdout.write(f"wrote {path}; read it, then format it\n")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Changes")
