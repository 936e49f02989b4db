"""How providers count tokens: one row for each model of an organisation."""

from datetime import datetime

from sqlalchemy import Connection, select

from reverie.domain.ids import OrganizationId
from reverie.domain.token_ratio import TokenRatio
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import token_ratios


def find(c: Connection, organization_id: OrganizationId, handle: str) -> TokenRatio | None:
    """What was learnt of the model so far."""
    row = c.execute(
        select(token_ratios.c.value, token_ratios.c.reports).where(
            token_ratios.c.organization_id == organization_id, token_ratios.c.handle == handle
        )
    ).one_or_none()
    return None if row is None else TokenRatio(value=row.value, reports=row.reports)


def put(c: Connection, organization_id: OrganizationId, handle: str, ratio: TokenRatio, now: datetime) -> None:
    """Store what was learnt; of several processes that learn at once the last one stands."""
    learnt = {"value": ratio.value, "reports": ratio.reports, "updated_at": now}
    c.execute(
        dialect_of(c)
        .insert(token_ratios)
        .values(organization_id=organization_id, handle=handle, **learnt)
        .on_conflict_do_update(index_elements=["organization_id", "handle"], set_=learnt)
    )
