"""Images that a client gave by URL, fetched before anything is stored."""

import base64
from dataclasses import replace

from reverie.api.context import ApiOptions
from reverie.domain.content import ImagePart, Part, ToolReturn, image_type
from reverie.domain.errors import AddressRefused, BadGateway, InvalidInput, TimedOut
from reverie.domain.inputs import ApprovalInput, MessageInput, Request, SayInput
from reverie.web.addresses import WebOptions
from reverie.web.fetch import fetch


async def with_images(request: Request, options: ApiOptions) -> Request:
    """`request` with the bytes of every image in place.

    Raises:
        InvalidInput: an image cannot be fetched; the text says which and why.
    """
    if not any(_missing(part) for item in request.inputs for part in _parts(item)):
        return request
    inputs = [await _filled(item, options.web) for item in request.inputs]
    return replace(request, inputs=tuple(inputs))


async def with_parts(parts: tuple[Part, ...], options: ApiOptions) -> tuple[Part, ...]:
    """The same for parts alone."""
    return await _fetched(parts, options.web)


async def with_said(items: tuple[MessageInput, ...], options: ApiOptions) -> tuple[MessageInput, ...]:
    """The same for messages by themselves."""
    return tuple([await _filled(item, options.web) for item in items])


def _parts(item: MessageInput) -> tuple[Part, ...]:
    if isinstance(item, SayInput):
        return item.parts
    return tuple(part for result in item.returns for part in result.content)


def _missing(part: Part) -> bool:
    return isinstance(part, ImagePart) and not part.data


async def _filled(item: MessageInput, web: WebOptions) -> MessageInput:
    if isinstance(item, SayInput):
        return replace(item, parts=await _fetched(item.parts, web))
    returns: list[ToolReturn] = [
        replace(result, content=await _fetched(result.content, web)) for result in item.returns
    ]
    answered: ApprovalInput = replace(item, returns=tuple(returns))
    return answered


async def _fetched(parts: tuple[Part, ...], web: WebOptions) -> tuple[Part, ...]:
    found: list[Part] = []
    for part in parts:
        if isinstance(part, ImagePart) and not part.data and part.url is not None:
            media_type, data = await _fetch(part.url, web)
            found.append(replace(part, media_type=media_type, data=base64.b64encode(data).decode()))
        else:
            found.append(part)
    return tuple(found)


async def _fetch(url: str, web: WebOptions) -> tuple[str, bytes]:
    remedy = "send its bytes as base64"
    try:
        found = await fetch(url, web)
    except AddressRefused as error:
        raise AddressRefused(f"the image at {url!r} is not fetched: {error}; or {remedy}") from error
    except (BadGateway, TimedOut) as error:
        raise InvalidInput(f"the image at {url!r} cannot be fetched: {error}; {remedy}") from error
    if found.status >= 400:
        raise InvalidInput(f"the image at {url!r} cannot be fetched: status {found.status}; {remedy}")
    # Stores of files serve images by names that say nothing, `application/octet-stream` above all.
    media_type = image_type(found.body) or found.media_type
    if not media_type.startswith("image/"):
        raise InvalidInput(f"what lies at {url!r} is {media_type or 'of no stated type'}, not an image")
    return media_type, found.body
