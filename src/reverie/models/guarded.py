"""The way to providers that an organisation added: to permitted addresses only, whatever the resolver says."""

import time
from collections.abc import Callable
from typing import Final

import httpx

from reverie.domain.errors import AddressRefused, BadGateway, ModelError, ModelUnreachable
from reverie.web.addresses import Resolve, WebOptions, permitted_addresses, resolve

ADDRESS_TTL_S: Final = 30.0
"""How long a name is taken to lead where it led."""


class GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves a name, checks every address of it, and sends the request to the first one.

    TLS goes on naming and verifying the host.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        options: WebOptions,
        *,
        lookup: Resolve = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._options = options
        self._lookup = lookup
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[str, float]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            ModelError: its address may not be reached.
        """
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = await self._address(host, port)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=address)  # the Host header was written before
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def _address(self, host: str, port: int) -> str:
        known = self._known.get((host, port))
        if known is not None and known[1] > self._clock():
            return known[0]
        try:
            found = await permitted_addresses(host, port, self._options, self._lookup)
        except AddressRefused as error:
            raise ModelError(str(error)) from error
        except BadGateway as error:
            raise ModelUnreachable(str(error)) from error
        self._known = {key: value for key, value in self._known.items() if value[1] > self._clock()}
        self._known[host, port] = (found[0], self._clock() + ADDRESS_TTL_S)
        return found[0]
