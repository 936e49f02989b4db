"""What was said to model providers, kept for a while."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, String, Table

from reverie.storage.columns import Instant
from reverie.storage.schema.base import identity_columns, metadata

provider_traces = Table(
    "provider_traces",
    metadata,
    *identity_columns(),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("step_id", String, nullable=False),
    Column("agent_id", String, nullable=False),
    Column("call_type", String, nullable=False),
    Column("latency_ns", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index(None, "run_id"),
)
"""`content` is compressed JSON. A run has few steps, so one index finds those of a run and of a step."""
