"""Folders and files on the wire. Source: `Folder`, `Source`, files of folders and agents, client SDK, read 2026-11."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body, Metadata, changes_of
from reverie.api.wire.models import EmbeddingConfig, EmbeddingConfigBody, embedding_config, guessed_embedder
from reverie.domain.agent import Agent
from reverie.domain.folder import (
    DEFAULT_VIEW_CHARS,
    File,
    FileView,
    Folder,
    FolderChanges,
    FolderDraft,
    FolderStats,
)
from reverie.domain.provider import EmbedderInfo

_NO_EMBEDDER: Final = "letta/none"
"""What stands in for an embedding model where a folder has none: clients need one."""


class Source(TypedDict):
    """A folder, under either of its names."""

    id: str
    name: str
    description: str | None
    instructions: str | None
    metadata: Metadata | None
    embedding_config: EmbeddingConfig
    vector_db_provider: Literal["native"]
    created_at: datetime | None
    updated_at: datetime | None
    created_by_id: str | None
    last_updated_by_id: str | None


class FileState(TypedDict):
    """A file of a folder."""

    id: str
    source_id: str
    file_name: str
    original_file_name: str
    file_path: str | None
    file_type: str
    file_size: int
    file_creation_date: str | None
    file_last_modified_date: str | None
    processing_status: Literal["pending", "parsing", "embedding", "completed", "error"]
    error_message: str | None
    total_chunks: int | None
    chunks_embedded: int | None
    content: str | None
    created_at: datetime
    updated_at: datetime


class AgentFileState(TypedDict):
    """A file as one agent has it."""

    id: str
    file_id: str
    file_name: str
    folder_id: str
    folder_name: str
    is_open: bool
    visible_content: str | None
    start_line: int | None
    end_line: int | None
    last_accessed_at: datetime | None


class AgentFilesPage(TypedDict):
    """A page of an agent's files."""

    files: list[AgentFileState]
    next_cursor: str | None
    has_more: bool


class FileBlock(TypedDict):
    """An agent's file in the old form of a memory block."""

    id: str | None
    file_id: str
    source_id: str
    is_open: bool
    label: str | None
    value: str
    limit: int | None
    description: str | None
    read_only: bool | None
    last_accessed_at: datetime | None
    metadata: Metadata | None
    tags: list[str] | None
    hidden: bool | None
    is_template: bool | None
    preserve_on_migration: bool | None
    project_id: str | None
    template_id: str | None
    template_name: str | None
    base_template_id: str | None
    deployment_id: str | None
    entity_id: str | None
    created_by_id: str | None
    last_updated_by_id: str | None


class FileStatsState(TypedDict):
    """How large a file is."""

    file_id: str
    file_name: str
    file_size: int | None


class FolderStatsState(TypedDict):
    """How much a folder holds."""

    source_id: str
    source_name: str
    file_count: int
    total_size: int
    files: list[FileStatsState]


class AllFoldersState(TypedDict):
    """How much all folders hold."""

    total_sources: int
    total_files: int
    total_size: int
    sources: list[FolderStatsState]


def source_state(folder: Folder, embedders: Mapping[str, EmbedderInfo]) -> Source:
    """The folder as clients read it."""
    handle = folder.embedding or _NO_EMBEDDER
    config = embedding_config(embedders.get(handle) or guessed_embedder(handle))
    return {
        "id": folder.id,
        "name": folder.name,
        "description": folder.description,
        "instructions": folder.instructions,
        "metadata": folder.metadata,
        "embedding_config": {**config, "embedding_chunk_size": folder.embedding_chunk_size},
        "vector_db_provider": "native",
        "created_at": folder.created_at,
        "updated_at": folder.updated_at,
        "created_by_id": folder.created_by_id,
        "last_updated_by_id": folder.last_updated_by_id,
    }


def file_state(file: File, text: str | None = None, *, within: bool = False) -> FileState:
    """The file as clients read it, with its text where it was asked for; `within` its folder by its own name alone."""
    return {
        "id": file.id,
        "source_id": file.folder_id,
        "file_name": file.name if within else file.file_name,
        "original_file_name": file.original_file_name,
        "file_path": None,
        "file_type": file.file_type,
        "file_size": file.file_size,
        "file_creation_date": None,
        "file_last_modified_date": None,
        "processing_status": file.status.value,
        "error_message": file.error_message,
        "total_chunks": file.total_chunks,
        "chunks_embedded": file.chunks_embedded,
        "content": text,
        "created_at": file.created_at,
        "updated_at": file.updated_at,
    }


def agent_file_state(view: FileView) -> AgentFileState:
    """The agent's file as clients read it."""
    return {
        "id": view.id,
        "file_id": view.file_id,
        "file_name": view.file_name,
        "folder_id": view.folder_id,
        "folder_name": view.folder_name,
        "is_open": view.is_open,
        "visible_content": view.text,
        "start_line": view.start_line,
        "end_line": view.end_line,
        "last_accessed_at": view.last_accessed_at,
    }


def agent_files_page(found: Sequence[FileView], limit: int | None) -> AgentFilesPage:
    """A page that was read with one file more than it shows."""
    shown = found[:limit]
    more = len(found) > len(shown)
    return {
        "files": [agent_file_state(view) for view in shown],
        "next_cursor": shown[-1].id if more else None,
        "has_more": more,
    }


def file_block(view: FileView, agent: Agent) -> FileBlock:
    """The agent's file as old clients look for it in the agent's memory."""
    limit = agent.per_file_view_window_char_limit
    return {
        "id": view.id,
        "file_id": view.file_id,
        "source_id": view.folder_id,
        "is_open": view.is_open,
        "label": view.file_name,
        "value": view.text or "",
        "limit": DEFAULT_VIEW_CHARS if limit is None else limit,
        "description": None,
        "read_only": True,
        "last_accessed_at": view.last_accessed_at,
        "metadata": {},
        "tags": [],
        "hidden": None,
        "is_template": False,
        "preserve_on_migration": False,
        "project_id": None,
        "template_id": None,
        "template_name": None,
        "base_template_id": None,
        "deployment_id": None,
        "entity_id": None,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def stats_state(found: Sequence[FolderStats]) -> AllFoldersState:
    """How much all folders hold, as clients read it."""
    return {
        "total_sources": len(found),
        "total_files": sum(item.file_count for item in found),
        "total_size": sum(item.total_bytes for item in found),
        "sources": [
            {
                "source_id": item.folder_id,
                "source_name": item.folder_name,
                "file_count": item.file_count,
                "total_size": item.total_bytes,
                "files": [
                    {"file_id": file.id, "file_name": file.file_name, "file_size": file.file_size}
                    for file in item.files
                ],
            }
            for item in found
        ],
    }


class _FolderFields(Body):
    """What create and update share."""

    description: str | None = None
    instructions: str | None = None
    metadata: Metadata | None = None
    embedding: str | None = None
    embedding_chunk_size: int | None = Field(default=None, ge=20, le=8000)
    embedding_config: EmbeddingConfigBody | None = None

    def _handle(self) -> str | None:
        return self.embedding or (None if self.embedding_config is None else self.embedding_config.model_handle())

    def _chunk_size(self) -> int | None:
        old = None if self.embedding_config is None else self.embedding_config.embedding_chunk_size
        return self.embedding_chunk_size or (None if old is None else min(max(old, 20), 8000))


class FolderCreate(_FolderFields):
    """A folder to be made."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")

    def to_domain(self) -> FolderDraft:
        """The draft that operations make a folder of."""
        return FolderDraft(
            name=self.name,
            description=self.description,
            instructions=self.instructions,
            embedding=self._handle(),
            embedding_chunk_size=self._chunk_size(),
            metadata=self.metadata or {},
        )


class FolderUpdate(_FolderFields):
    """A partial update of a folder."""

    name: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")

    def to_domain(self) -> FolderChanges:
        """The changes that operations apply."""
        given = self.given() | {"embedding": self._handle(), "embedding_chunk_size": self._chunk_size()}
        return changes_of(FolderChanges, given)
