"""The contract of the documents room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Form: TypeAlias = Literal["text", "html", "pdf", "docx", "pptx"]
"""How a file is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDocument:
    """What was read from a file."""

    text: str
    chunks: tuple[tuple[int, str], ...]
    """Its passages: the line each begins in, counted from 1, and its text."""


class Unreadable(Exception):
    """A file that gives no text. The message is fit for a user and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOptions:
    """What the room is told."""

    timeout_s: float = 120.0
    """Longest reading of one file."""
    memory_bytes: int = 1024 * 1024 * 1024
    """Address space of the process that reads one."""
    max_text_chars: int = 20_000_000
    """Most text of one file."""
    data_dir: str = ""
    """Where what the parser unpacks for itself is kept; "": in a folder that goes with the process."""


class DocumentReader(Protocol):
    """Reads documents."""

    async def read(self, data: bytes, media_type: str, chunk_tokens: int) -> ReadDocument:
        """The text of a file, and passages of at most `chunk_tokens` tokens by estimate.

        Raises:
            Unreadable: it is damaged, encrypted, without text, too long, or its reader failed.
        """
        ...


class Enclosure(Protocol):
    """Shuts a process in."""

    async def enclosed(self, shown: Mapping[str, str]) -> Sequence[str] | None:
        """The command line of Python, up to its script, where it has no network, no environment and no files.

        But its own, the system's libraries, and what `shown` says: files and folders by the place where they
        are seen, for reading. None: nothing can be shut in on this machine.
        """
        ...
