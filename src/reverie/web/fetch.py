"""One request to a URL that somebody else named, read whole and within limits."""

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reverie.domain.errors import BadGateway, TimedOut
from reverie.web.addresses import Resolve, WebOptions, check_url, resolve

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What lay at a URL, or at the end of its redirects."""

    url: str
    """Where it was found in the end."""
    status: int
    media_type: str
    """In small letters, without parameters; empty when none was sent."""
    charset: str | None
    body: bytes


async def fetch(
    url: str,
    options: WebOptions,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    lookup: Resolve = resolve,
) -> Fetched:
    """Ask `url`, follow its redirects, and read the answer, whatever its status.

    Raises:
        AddressRefused: no web address, or one that leads where nobody outside should be led.
        BadGateway: not reached, too many redirects, too large, or not HTTP.
        TimedOut: not whole within `options.timeout_s`.
    """
    check_url(url)
    http = importlib.import_module("httpx2")
    transport = importlib.import_module("reverie.web.transport")
    try:
        async with (
            asyncio.timeout(options.timeout_s),
            transport.guarded_client(options, headers=headers, follow_redirects=True, lookup=lookup) as client,
            client.stream(method, url, content=content) as response,
        ):
            return Fetched(
                url=str(response.url),
                status=response.status_code,
                media_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                charset=response.charset_encoding,
                body=await _read(response, options.max_bytes),
            )
    except (TimeoutError, http.TimeoutException) as error:
        raise TimedOut(f"no whole answer within {options.timeout_s:g} seconds") from error
    except http.TooManyRedirects as error:
        raise BadGateway(f"too many redirects, more than {options.max_redirects}") from error
    except (http.HTTPError, http.InvalidURL) as error:
        raise BadGateway(str(error) or type(error).__name__) from error


async def _read(response: "httpx2.Response", limit: int) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > limit:
            raise BadGateway(f"larger than {limit} bytes")
    return bytes(data)
