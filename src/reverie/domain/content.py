"""Parts of message content, as the API and the models exchange them.

Source: `LettaMessageContentUnion` and its members in the client SDK, read 2026-11.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from reverie.domain.json import JsonValue

_BEGINNINGS: Final = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def image_type(data: bytes) -> str | None:
    """The kind of image that begins like `data`; None: none that models of all providers take."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Plain text."""

    text: str
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image, already resolved to bytes: what a client gave by URL was fetched when it arrived."""

    media_type: str
    """Such as `image/png`."""
    data: str
    """Base64 of the bytes."""
    url: str | None = None
    """Where the client said it came from."""
    detail: str | None = None
    type: Literal["image"] = "image"

    @property
    def true_type(self) -> str:
        """What its bytes say it is, for providers that refuse another name; else what was said of it."""
        try:
            beginning = base64.b64decode(self.data[:16])
        except binascii.Error:
            return self.media_type
        return image_type(beginning) or self.media_type


Part: TypeAlias = TextPart | ImagePart


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call the model asks for."""

    id: str
    """Given by the provider, or by us when it gives none; unique within a conversation's context."""
    name: str
    arguments: str
    """JSON text as the model wrote it; it may be malformed."""
    requires_approval: bool = False
    """A person or the client must answer before anything runs."""
    signature: str | None = None
    """Opaque provider data that must come back with the call (Google's thought signature)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturn:
    """What came of one call."""

    tool_call_id: str
    name: str
    status: Literal["success", "error"]
    content: tuple[Part, ...]
    """What the model reads."""
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    value: JsonValue = None
    """The raw value a custom tool returned, for rules that look at it; not shown to the model."""
    admitted: bool = True
    """False: refused before it could run, so that no rule counts it."""

    @property
    def text(self) -> str:
        """The textual parts, joined."""
        return join_text(self.content)


def join_text(parts: tuple[Part, ...]) -> str:
    """The text of `parts`; images leave nothing."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))
