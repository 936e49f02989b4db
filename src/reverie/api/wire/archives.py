"""Archives and passages on the wire. Source: `Archive`, `Passage` and kin, client SDK, read 2026-11."""

from datetime import datetime
from typing import Literal

from pydantic import AliasChoices, Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body, Metadata, changes_of
from reverie.api.wire.models import (
    EmbeddingConfig,
    EmbeddingConfigBody,
    embedding_config,
    guessed_embedder,
)
from reverie.domain.clock import aware
from reverie.domain.folder import FilePassage
from reverie.domain.passage import Archive, ArchiveChanges, ArchiveDraft, Passage, PassageChanges, PassageDraft
from reverie.domain.provider import EmbedderInfo


class ArchiveState(TypedDict):
    """An archive."""

    id: str
    name: str
    description: str | None
    embedding_config: EmbeddingConfig | None
    vector_db_provider: Literal["native"]
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


class PassageState(TypedDict):
    """A passage."""

    id: str
    archive_id: str | None
    text: str
    tags: list[str]
    metadata: Metadata
    embedding: list[float] | None
    embedding_config: EmbeddingConfig | None
    source_id: str | None
    file_id: str | None
    file_name: str | None
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


class PassageHit(TypedDict):
    """A found passage."""

    passage: PassageState
    score: float
    metadata: Metadata


class ArchivalHit(TypedDict):
    """A found passage, as the agent's own search tool tells of it."""

    id: str
    timestamp: str
    content: str
    tags: list[str]


class ArchivalSearchState(TypedDict):
    """What an agent's archival search found."""

    results: list[ArchivalHit]
    count: int


def archive_state(archive: Archive, embedder: EmbedderInfo | None = None) -> ArchiveState:
    """The archive as clients read it."""
    config = None
    if archive.embedding is not None:
        config = embedding_config(embedder or guessed_embedder(archive.embedding, archive.embedding_dim or 0))
    return {
        "id": archive.id,
        "name": archive.name,
        "description": archive.description,
        "embedding_config": config,
        "vector_db_provider": "native",
        "metadata": archive.metadata,
        "created_at": archive.created_at,
        "updated_at": archive.updated_at,
        "created_by_id": archive.created_by_id,
        "last_updated_by_id": archive.last_updated_by_id,
    }


def passage_state(passage: Passage) -> PassageState:
    """The passage as clients read it; its vector stays in the server."""
    return {
        "id": passage.id,
        "archive_id": passage.archive_id,
        "text": passage.text,
        "tags": list(passage.tags),
        "metadata": passage.metadata,
        "embedding": None,
        "embedding_config": None,
        "source_id": None,
        "file_id": None,
        "file_name": None,
        "is_deleted": False,
        "created_at": passage.created_at,
        "updated_at": passage.updated_at,
        "created_by_id": passage.created_by_id,
        "last_updated_by_id": passage.last_updated_by_id,
    }


def file_passage_state(passage: FilePassage) -> PassageState:
    """A passage of a file as clients read it."""
    return {
        "id": passage.id,
        "archive_id": None,
        "text": passage.text,
        "tags": [],
        "metadata": {"start_line": passage.start_line},
        "embedding": None,
        "embedding_config": None,
        "source_id": passage.folder_id,
        "file_id": passage.file_id,
        "file_name": passage.file_name,
        "is_deleted": False,
        "created_at": passage.created_at,
        "updated_at": passage.updated_at,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def passage_hit(passage: Passage, score: float) -> PassageHit:
    """A found passage as clients read it."""
    return {"passage": passage_state(passage), "score": score, "metadata": {}}


def archival_search(found: list[Passage]) -> ArchivalSearchState:
    """What an agent's archival search found, as clients read it."""
    results: list[ArchivalHit] = [
        {"id": item.id, "timestamp": item.created_at.isoformat(), "content": item.text, "tags": list(item.tags)}
        for item in found
    ]
    return {"results": results, "count": len(results)}


class ArchiveCreate(Body):
    """An archive to be made."""

    name: str = Field(min_length=1)
    description: str | None = None
    embedding: str | None = None
    embedding_config: EmbeddingConfigBody | None = None

    def embedding_handle(self) -> str | None:
        """The embedding model, from either place it can stand in."""
        return self.embedding or (None if self.embedding_config is None else self.embedding_config.model_handle())

    def to_domain(self) -> ArchiveDraft:
        """The draft that operations make an archive of."""
        return ArchiveDraft(name=self.name, description=self.description, embedding=self.embedding_handle())


class ArchiveUpdate(Body):
    """A partial update of an archive."""

    name: str | None = Field(default=None, min_length=1)
    description: str | None = None
    embedding: str | None = None
    """Ours: the handle of another embedding model; null leaves text search alone."""

    def to_domain(self) -> ArchiveChanges:
        """The changes that operations apply."""
        return changes_of(ArchiveChanges, self.given())


class PassageCreate(Body):
    """A text to be kept."""

    text: str = Field(min_length=1)
    tags: list[str] | None = None
    metadata: Metadata | None = None
    created_at: datetime | None = None

    def to_domain(self) -> PassageDraft:
        """The draft that operations make a passage of. A time without an offset is UTC."""
        return PassageDraft(
            text=self.text,
            tags=tuple(dict.fromkeys(self.tags or ())),
            metadata=self.metadata or {},
            created_at=aware(self.created_at),
        )


class PassageUpdate(Body):
    """A partial update of a passage, as old clients send it."""

    text: str | None = Field(default=None, min_length=1)
    tags: list[str] | None = None
    metadata: Metadata | None = Field(default=None, validation_alias=AliasChoices("metadata", "metadata_"))
    created_at: datetime | None = None

    def to_domain(self) -> PassageChanges:
        """The changes that operations apply."""
        given = self.given()
        if self.created_at is not None:
            given["created_at"] = aware(self.created_at)
        return changes_of(PassageChanges, given)


class PassagesCreate(Body):
    """Texts to be kept, all or none."""

    passages: list[PassageCreate] = Field(min_length=1, max_length=1000)


class PassageSearch(Body):
    """What to look for among passages."""

    query: str | None = None
    agent_id: str | None = None
    archive_id: str | None = None
    tags: list[str] | None = None
    tag_match_mode: Literal["any", "all"] = "any"
    limit: int = Field(default=50, ge=1, le=100)
    start_date: datetime | None = None
    end_date: datetime | None = None
