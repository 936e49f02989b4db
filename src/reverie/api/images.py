"""Images that a client gave by URL, fetched before anything is stored."""

import asyncio
import base64
import importlib
import ipaddress
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from reverie.api.context import ApiOptions
from reverie.domain.content import ImagePart, Part, ToolReturn
from reverie.domain.errors import InvalidInput
from reverie.domain.inputs import ApprovalInput, MessageInput, Request, SayInput

if TYPE_CHECKING:
    import httpx

_MAX_REDIRECTS: Final = 3


async def with_images(request: Request, options: ApiOptions) -> Request:
    """`request` with the bytes of every image in place.

    Raises:
        InvalidInput: an image cannot be fetched; the text says which and why.
    """
    if not any(_missing(part) for item in request.inputs for part in _parts(item)):
        return request
    http = importlib.import_module("httpx")  # costs a start 0.1 s that most servers never need
    async with http.AsyncClient(timeout=options.image_timeout_s, follow_redirects=False) as client:
        inputs = [await _filled(item, client, options) for item in request.inputs]
    return replace(request, inputs=tuple(inputs))


def _parts(item: MessageInput) -> tuple[Part, ...]:
    if isinstance(item, SayInput):
        return item.parts
    return tuple(part for result in item.returns for part in result.content)


def _missing(part: Part) -> bool:
    return isinstance(part, ImagePart) and not part.data


async def _filled(item: MessageInput, client: "httpx.AsyncClient", options: ApiOptions) -> MessageInput:
    if isinstance(item, SayInput):
        return replace(item, parts=await _fetched(item.parts, client, options))
    returns: list[ToolReturn] = [
        replace(result, content=await _fetched(result.content, client, options)) for result in item.returns
    ]
    answered: ApprovalInput = replace(item, returns=tuple(returns))
    return answered


async def _fetched(parts: tuple[Part, ...], client: "httpx.AsyncClient", options: ApiOptions) -> tuple[Part, ...]:
    found: list[Part] = []
    for part in parts:
        if isinstance(part, ImagePart) and not part.data and part.url is not None:
            media_type, data = await _fetch(part.url, client, options)
            found.append(replace(part, media_type=media_type, data=base64.b64encode(data).decode()))
        else:
            found.append(part)
    return tuple(found)


async def _fetch(url: str, client: "httpx.AsyncClient", options: ApiOptions) -> tuple[str, bytes]:
    http = importlib.import_module("httpx")
    target = url
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            await _check_address(target, options)
            async with client.stream("GET", target) as response:
                if response.is_redirect:
                    target = str(response.url.join(response.headers["location"]))
                    continue
                response.raise_for_status()
                return _media_type(url, response), await _read(url, response, options.max_image_bytes)
    except (http.HTTPError, http.InvalidURL, KeyError) as error:
        raise InvalidInput(f"the image at {url!r} cannot be fetched: {error}; send its bytes as base64") from error
    raise InvalidInput(f"the image at {url!r} cannot be fetched: too many redirects; send its bytes as base64")


async def _check_address(url: str, options: ApiOptions) -> None:
    """Keep requests made on behalf of others away from this machine's own network.

    The name may resolve to something else a moment later; a setting for open networks, not a
    wall against a determined insider.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"the image at {url!r} cannot be fetched: only http and https addresses can")
    if options.allow_private_addresses:
        return
    try:
        found: list[Any] = await asyncio.get_running_loop().getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInput(f"the image at {url!r} cannot be fetched: {error}") from error
    if not all(ipaddress.ip_address(entry[4][0].partition("%")[0]).is_global for entry in found):
        raise InvalidInput(f"the image at {url!r} is not fetched: its address lies in a private network")


def _media_type(url: str, response: "httpx.Response") -> str:
    media_type: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media_type.startswith("image/"):
        raise InvalidInput(f"what lies at {url!r} is {media_type or 'of no stated type'}, not an image")
    return media_type


async def _read(url: str, response: "httpx.Response", limit: int) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > limit:
            raise InvalidInput(f"the image at {url!r} is larger than {limit} bytes")
    return bytes(data)
