"""Pictures that tools return, as parts of a result that models can look at."""

import base64
import binascii
import json
from typing import Final

from reverie.domain.content import ImagePart, Part, TextPart
from reverie.domain.json import JsonObject, JsonValue

_KINDS: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models of all providers take."""


def shown_parts(value: JsonValue) -> tuple[Part, ...] | None:
    """`value` as parts where it is a picture or a list with one in it; None: it is neither.

    A picture is `{"type": "image", "source": {"type": "base64", "media_type", "data"}}`, as messages have it, or
    `{"type": "image", "data", "mimeType"}`, as MCP has it; the runner makes one of a picture's bytes.
    """
    items = value if isinstance(value, list) else [value]
    found = [_picture(item) for item in items]
    if not any(found):
        return None
    return tuple(picture or TextPart(text=_words(item)) for item, picture in zip(items, found, strict=True))


def _picture(item: JsonValue) -> ImagePart | None:
    if not isinstance(item, dict) or item.get("type") != "image":
        return None
    source: JsonObject = item["source"] if isinstance(item.get("source"), dict) else item
    media_type = source.get("media_type") or source.get("mimeType") or source.get("mime_type")
    data = source.get("data")
    if media_type not in _KINDS or not isinstance(data, str) or not data:
        return None
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return ImagePart(media_type=media_type, data=data)


def _words(item: JsonValue) -> str:
    if isinstance(item, dict) and item.get("type") == "text" and isinstance(item.get("text"), str):
        return str(item["text"])
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
