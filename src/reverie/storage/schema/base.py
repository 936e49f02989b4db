"""What all tables share."""

from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table

from reverie.storage.columns import Instant, Serial, Signs

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def identity_columns() -> list[Column[Any]]:
    """Place, id and owner: what every noun of the API has."""
    return [
        Column("seq", Serial, primary_key=True, autoincrement=True),
        Column("id", String, nullable=False, unique=True),
        Column("organization_id", String, nullable=False),
    ]


def authorship_columns() -> list[Column[Any]]:
    """Who made and changed it, and when."""
    return [
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
        Column("created_by_id", String),
        Column("last_updated_by_id", String),
    ]


def template_columns() -> list[Column[Any]]:
    """Which project it lies in and which template it was made from."""
    return [
        Column("project_id", String),
        Column("template_id", String),
        Column("base_template_id", String),
        Column("deployment_id", String),
        Column("entity_id", String),
    ]


def signs_table(name: str, rows: str) -> Table:
    """The signs of the newest vectors of `rows`, side by side for each holder: what a search reads through."""
    return Table(
        name,
        metadata,
        Column("holder", String, primary_key=True),
        Column("seq", ForeignKey(f"{rows}.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        Column("dimensions", Integer, nullable=False),
        Column("bits", Signs, nullable=False),
        Index(None, "seq"),
        sqlite_with_rowid=False,
    )


def blocks_table(name: str, holders: str) -> Table:
    """Signs of many vectors in a row that is written once: eight bytes of each place, whole eights of each signs."""
    return Table(
        name,
        metadata,
        Column("id", String, primary_key=True),
        Column("holder", ForeignKey(f"{holders}.id", ondelete="CASCADE"), nullable=False),
        Column("dimensions", Integer, nullable=False),
        Column("count", Integer, nullable=False),
        Column("places", LargeBinary, nullable=False),
        Column("bits", LargeBinary, nullable=False),
        Index(None, "holder", "dimensions"),
    )


def due_table(name: str, rows: str) -> Table:
    """Which of `rows` wait for a vector, and which process makes it."""
    return Table(
        name,
        metadata,
        Column("seq", ForeignKey(f"{rows}.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        Column("worker_id", String),
    )
