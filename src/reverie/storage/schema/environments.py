"""Environments, and messages on their way from one server process to another that holds the connection."""

from sqlalchemy import Column, Index, String, Table, Text, UniqueConstraint

from reverie.storage.columns import Instant, Json
from reverie.storage.schema.base import identity_columns, metadata

environments = Table(
    "environments",
    metadata,
    *identity_columns(),
    Column("user_id", String, nullable=False),
    Column("device_id", String, nullable=False),
    Column("connection_id", String, nullable=False, unique=True),
    Column("connection_name", Text, nullable=False),
    Column("api_key_owner", Text, nullable=False),
    Column("source", String, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("current_mode", String),
    Column("pod_id", String),
    Column("connected_at", Instant),
    Column("last_heartbeat", Instant),
    Column("last_seen_at", Instant, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    UniqueConstraint("organization_id", "device_id"),
    Index(None, "organization_id", "seq"),
)

environment_deliveries = Table(
    "environment_deliveries",
    metadata,
    Column("id", String, primary_key=True),
    Column("connection_id", String, nullable=False),
    Column("frame", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Index(None, "connection_id"),
)
"""Rows live for seconds: whoever leaves a message takes it back when it was sent, or too late."""
