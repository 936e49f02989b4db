"""Archives and passages: long-term memory that is searched, not kept in context."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from reverie.domain.ids import ArchiveId, OrganizationId, PassageId
from reverie.domain.json import JsonObject
from reverie.domain.unset import UNSET, Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A set of passages that agents share."""

    id: ArchiveId
    organization_id: OrganizationId
    name: str
    description: str | None = None
    embedding: str | None = None
    """Handle of the model its vectors were made with; None: text search only."""
    embedding_dim: int | None = None
    passage_count: int = 0
    metadata: JsonObject = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One text in an archive."""

    id: PassageId
    organization_id: OrganizationId
    archive_id: ArchiveId
    text: str
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    vector: Sequence[float] | None = None
    """Given on the way in; not read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageDraft:
    """A passage to be stored."""

    text: str
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    created_at: datetime | None = None
    """When it happened; None: now."""
    vector: Sequence[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageChanges:
    """A partial update of a passage."""

    text: str | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    metadata: JsonObject | Unset = UNSET
    created_at: datetime | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveDraft:
    """An archive to be made."""

    name: str
    description: str | None = None
    embedding: str | None = None
    """Handle; None: the server's default embedder, or text search alone."""
    metadata: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveChanges:
    """A partial update of an archive."""

    name: str | Unset = UNSET
    description: str | Unset | None = UNSET
    embedding: str | Unset | None = UNSET
    """Handle of another model; None: found by words alone from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A found passage or message with what made it rank where it does."""

    id: str
    score: float
    """Higher is better; comparable within one answer only."""
    text_rank: int | None = None
    """1 is best; None: not found by text."""
    vector_rank: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What to look for, in which way, and within which bounds."""

    text: str
    vector: Sequence[float] | None = None
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    limit: int = 10
    tags: tuple[str, ...] = ()
    match_all_tags: bool = False
    start: datetime | None = None
    """Inclusive."""
    end: datetime | None = None
    """Inclusive."""
