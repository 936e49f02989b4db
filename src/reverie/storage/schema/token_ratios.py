"""How providers count tokens."""

from sqlalchemy import Column, Float, Integer, String, Table

from reverie.storage.columns import Instant
from reverie.storage.schema.base import metadata

token_ratios = Table(
    "token_ratios",
    metadata,
    Column("organization_id", String, primary_key=True),
    Column("handle", String, primary_key=True),
    Column("value", Float, nullable=False),
    Column("reports", Integer, nullable=False),
    Column("updated_at", Instant, nullable=False),
)
"""By organisation: each may have a provider of one name that is another server."""
