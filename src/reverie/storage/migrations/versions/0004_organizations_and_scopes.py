"""Names of organisations are unique; keys that could bring code to the server still can."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Json

revision = "0004"
down_revision = "0003"

_keys = sa.table("api_keys", sa.column("id", sa.String()), sa.column("scopes", Json))


def upgrade() -> None:
    """Apply it."""
    op.create_index("uq_organizations_name", "organizations", ["name"], unique=True)
    connection = op.get_bind()
    for key_id, scopes in connection.execute(sa.select(_keys.c.id, _keys.c.scopes)).all():
        if "write" in scopes and "tools" not in scopes:
            wider = sorted({*scopes, "tools"})
            connection.execute(sa.update(_keys).where(_keys.c.id == key_id).values(scopes=wider))
