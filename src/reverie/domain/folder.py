"""Folders and their files, and what of them an agent sees.

A folder's id starts with `source-`, its name in older versions of the API.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from reverie.domain.errors import InvalidInput
from reverie.domain.ids import AgentId, FileId, FolderId, OrganizationId, PassageId
from reverie.domain.json import JsonObject
from reverie.domain.unset import UNSET, Unset

DEFAULT_CHUNK_TOKENS: Final = 300
DEFAULT_FILES_OPEN: Final = 5
DEFAULT_VIEW_CHARS: Final = 15_000
LONGEST_NAME: Final = 200

DuplicateHandling: TypeAlias = Literal["skip", "error", "suffix", "replace"]
"""What becomes of an upload whose name the folder has already. Source: client SDK, read 2026-11."""

_LIMITS: Final = ((8_000, 3, 2_000), (32_000, 5, 15_000), (128_000, 10, 25_000), (200_000, 10, 40_000))
_LARGEST: Final = (15, 40_000)


class FileStatus(StrEnum):
    """How far a file has come. Source: `processing_status` of the client SDK, read 2026-11."""

    PENDING = "pending"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    COMPLETED = "completed"
    ERROR = "error"


UNFINISHED: Final = (FileStatus.PENDING, FileStatus.PARSING, FileStatus.EMBEDDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Files that agents are given together."""

    id: FolderId
    organization_id: OrganizationId
    name: str
    """One of a kind in the organisation; the names of its files start with it."""
    description: str | None = None
    instructions: str | None = None
    """How agents shall use it; stands in their prompts."""
    embedding: str | None = None
    """Handle of the model of its vectors; None: text search only."""
    embedding_chunk_size: int = DEFAULT_CHUNK_TOKENS
    """Tokens of one passage, at most and by estimate."""
    metadata: JsonObject = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderDraft:
    """A folder to be made."""

    name: str
    description: str | None = None
    instructions: str | None = None
    embedding: str | None = None
    """Handle; None: the server's default embedder, or text search alone."""
    embedding_chunk_size: int | None = None
    metadata: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChanges:
    """A partial update of a folder."""

    name: str | Unset = UNSET
    description: str | Unset | None = UNSET
    instructions: str | Unset | None = UNSET
    metadata: JsonObject | Unset = UNSET
    embedding: str | Unset = UNSET
    embedding_chunk_size: int | Unset = UNSET
    """For files uploaded from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One uploaded file; its bytes and its text are stored apart."""

    id: FileId
    organization_id: OrganizationId
    folder_id: FolderId
    file_name: str
    """`<folder>/<name>`, which no two files of a folder share."""
    original_file_name: str
    file_type: str
    """Media type."""
    file_size: int
    """Bytes."""
    status: FileStatus = FileStatus.PENDING
    error_message: str | None = None
    total_chunks: int | None = None
    chunks_embedded: int | None = None
    line_count: int | None = None
    """Lines of its text; None: it has none yet."""
    worker_id: str | None = None
    """Whose process works on it."""
    attempt: int = 0
    """Raised whenever somebody starts to work on it; what an earlier one writes is refused."""
    not_before: datetime | None = None
    """When it is tried again after a failure."""
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

    @property
    def name(self) -> str:
        """Its name within the folder, of as many parts as it was given."""
        return "/".join(self.file_name.split("/")[-1 - self.original_file_name.count("/") :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a client sent."""

    data: bytes = field(repr=False)
    file_name: str
    """As the client has it."""
    declared_type: str | None = None
    """Media type, as the client says."""
    name: str | None = None
    """What it shall be called here instead."""
    duplicates: DuplicateHandling = "suffix"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePassage:
    """A part of a file's text that is found by searching."""

    id: PassageId
    organization_id: OrganizationId
    folder_id: FolderId
    file_id: FileId
    file_name: str
    text: str
    start_line: int
    """Where it begins, counted from 1."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A file as one agent has it."""

    agent_id: AgentId
    file_id: FileId
    file_name: str
    folder_id: FolderId
    folder_name: str
    is_open: bool = False
    text: str | None = None
    """What the agent sees of an open file: numbered lines, cut to its window."""
    start_line: int | None = None
    """First line of the range it was opened with, counted from 1."""
    end_line: int | None = None
    """Last line of it."""
    last_accessed_at: datetime | None = None

    @property
    def id(self) -> str:
        """The id of the relationship, which is made of both its ends."""
        return link_id(self.agent_id, self.file_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFolder:
    """A folder of one agent."""

    folder: Folder
    files: tuple[FileView, ...] = ()
    """Those with a text, the open ones first; not all where there are very many."""
    file_count: int = 0
    """All that have a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOutcome:
    """What opening a file changed."""

    closed: tuple[str, ...] = ()
    """Names of the files that were closed to make room, the longest unused first."""
    before: FileView | None = None
    """How the file was open before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderStats:
    """How much a folder holds."""

    folder_id: FolderId
    folder_name: str
    file_count: int = 0
    total_bytes: int = 0
    files: tuple[File, ...] = ()
    """Where they were asked for."""


def clean_file_name(given: str) -> str:
    """A name that is nothing but a name: no path of the client's, no control characters, not too long.

    Raises:
        InvalidInput: nothing is left of it.
    """
    last = given.replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = "".join(char for char in last if char.isprintable()).strip()
    if not name.strip("."):
        raise InvalidInput(f"file name {given!r} is none; give the file a name such as 'notes.md'")
    stem, dot, ending = name.rpartition(".")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{stem[: LONGEST_NAME - len(ending) - 1]}.{ending}" if dot and len(ending) < 20 else name[:LONGEST_NAME]


def clean_file_path(given: str) -> str:
    """A name with the folders it is given in, `notes/2026/may.md`, which never leads out of them.

    Raises:
        InvalidInput: nothing is left of it.
    """
    printable = "".join(char for char in given.replace("\\", "/") if char.isprintable())
    parts = [part for part in printable.split("/") if part.strip(". ")]
    return "/".join(clean_file_name(part) for part in parts) or clean_file_name(given)


def file_limits(context_window: int | None) -> tuple[int, int]:
    """How many files an agent may have open, and how many characters of each it sees, unless it says otherwise."""
    if context_window is None:
        return DEFAULT_FILES_OPEN, DEFAULT_VIEW_CHARS
    return next(((files, chars) for window, files, chars in _LIMITS if context_window <= window), _LARGEST)


def link_id(agent_id: str, file_id: str) -> str:
    """The id of what binds an agent and a file; with the agent known, `file_of_link` finds the file."""
    return f"file_agent-{uuid.UUID(int=_number(agent_id) ^ _number(file_id))}"


def file_of_link(agent_id: str, link: str) -> FileId:
    """The file that `link_id` made the link of."""
    return FileId(f"file-{uuid.UUID(int=_number(agent_id) ^ _number(link))}")


def _number(any_id: str) -> int:
    return uuid.UUID(any_id.partition("-")[2]).int


def render_view(text: str, start: int | None, end: int | None, limit: int) -> str:
    """The lines from `start` on (counted from 0) up to before `end`, numbered, in at most `limit` characters."""
    lines = text.removesuffix("\n").split("\n")
    first = start or 0
    last = len(lines) if end is None else min(end, len(lines))
    if start is None and end is None:
        head = f"[Viewing file start (out of {len(lines)} lines)]"
    else:
        head = f"[Viewing lines {first + 1} to {last} (out of {len(lines)} lines)]"
    shown, size = [head], len(head)
    for number in range(first, last):
        line = f"{number + 1}: {lines[number]}"
        if size + 1 + len(line) > limit:
            return _cut([*shown, line], first + 1, limit)
        shown.append(line)
        size += 1 + len(line)
    return "\n".join(shown)[: max(limit, 0)]


def _cut(shown: list[str], first: int, limit: int) -> str:
    """A view that is too long by its last line, cut so that it fits with a note; `first` is the first line's number."""
    note = "[Cut at {} characters, in line {}; open a smaller range to see more]"
    room = limit - len(note.format(limit, first + len(shown))) - 1
    whole = "\n".join(shown)[: max(room, 0)].rstrip("\n")
    reached = first + max(whole.count("\n") - 1, 0)
    return f"{whole}\n{note.format(limit, reached)}"[: max(limit, 0)]
