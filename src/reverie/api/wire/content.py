"""What messages of clients hold: a text, or parts. Source: `MessageCreateParams`, client SDK, read 2026-11."""

import base64
import binascii
import re
from typing import Final, Literal, TypeAlias

from reverie.api.wire.base import Body
from reverie.domain.content import ImagePart, Part, TextPart
from reverie.domain.errors import MalformedInput

_DATA_URL: Final = re.compile(r"^data:(?P<media>[\w.+-]+/[\w.+-]+)?;base64,(?P<data>.*)$", re.DOTALL)


class ImageSource(Body):
    """Where an image's bytes are: a URL, base64, or a file the server knows."""

    type: Literal["url", "base64", "letta"] | None = None
    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    file_id: str | None = None

    def to_domain(self) -> ImagePart:
        """The image. One given by an outside URL has no bytes yet; `api.images` fetches them.

        Raises:
            MalformedInput: no bytes and no URL, or bytes that are not base64.
        """
        if self.data:
            return _image(self.data, self.media_type, None, self.detail)
        if self.url:
            inline = _DATA_URL.match(self.url)
            if inline is not None:
                return _image(inline["data"], inline["media"], None, self.detail)
            return ImagePart(media_type="", data="", url=self.url, detail=self.detail)
        raise MalformedInput("content.source", "an image needs a 'url', or 'data' with its 'media_type'")


def _image(data: str, media_type: str | None, url: str | None, detail: str | None) -> ImagePart:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput("content.source.data", f"not base64: {error}") from error
    return ImagePart(media_type=media_type or "image/png", data=data, url=url, detail=detail)


class ContentBody(Body):
    """One part of a message's content, of any kind clients may send."""

    type: (
        Literal[
            "text",
            "image",
            "image_url",
            "tool_call",
            "tool_return",
            "reasoning",
            "redacted_reasoning",
            "omitted_reasoning",
            "summarized_reasoning",
        ]
        | None
    ) = None
    text: str | None = None
    source: ImageSource | None = None
    image_url: ImageSource | str | None = None
    """The shape of OpenAI's chat format."""
    content: str | None = None
    """The text of a `tool_return` part."""

    def to_domain(self) -> Part | None:
        """The part; None for reasoning, which clients may echo but no model takes from them.

        Raises:
            MalformedInput: the part lacks what its type needs, or is a call.
        """
        match self.type:
            case "image" | "image_url":
                source = self.source
                if source is None and self.image_url is not None:
                    found = self.image_url
                    source = ImageSource(url=found) if isinstance(found, str) else found
                if source is None:
                    raise MalformedInput("content.source", "an image part needs a 'source'")
                return source.to_domain()
            case "tool_return":
                return TextPart(text=self.content or "")
            case "tool_call":
                raise MalformedInput("content.type", "'tool_call' parts are written by the model; send text or images")
            case "reasoning" | "redacted_reasoning" | "omitted_reasoning" | "summarized_reasoning":
                return None
            case _:
                if self.text is None:
                    raise MalformedInput("content.text", "a text part needs 'text'")
                return TextPart(text=self.text)


Content: TypeAlias = str | list[ContentBody]


def content_to_domain(content: Content) -> tuple[Part, ...]:
    """Message content, given as a string or as parts."""
    if isinstance(content, str):
        return (TextPart(text=content),)
    parts = (part.to_domain() for part in content)
    return tuple(part for part in parts if part is not None)
