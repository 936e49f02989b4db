"""HTTP clients that reach only what may be reached. Loaded on first use: httpx2 costs a start 0.15 s."""

import functools
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

import anyio
import httpcore2
import httpx2

from reverie.web.addresses import Resolve, WebOptions, check_url, permitted_addresses, resolve


class _Backend(httpcore2.AsyncNetworkBackend):
    """Resolves, checks, and connects to what was checked."""

    def __init__(self, options: WebOptions, lookup: Resolve) -> None:
        self._options = options
        self._lookup = lookup
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's contract
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers; TLS, begun by the caller, goes on naming `host`."""
        limit = self._options.connect_timeout_s if timeout is None else min(timeout, self._options.connect_timeout_s)
        deadline = anyio.current_time() + limit
        try:
            with anyio.fail_after(limit):
                addresses = await permitted_addresses(host, port, self._options, self._lookup)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"the name {host!r} is not resolved in time") from error
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            # Each gets its share of the time, so that a dead IPv6 route does not use it all up.
            share = max(0.05, (deadline - anyio.current_time()) / left)
            try:
                return await self._inner.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
        raise httpcore2.ConnectError(f"the host {host!r} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's contract
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """No URL leads to one."""
        raise httpcore2.ConnectError("sockets of this machine are not opened")

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts."""
        await anyio.sleep(seconds)


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Sends requests to permitted addresses only, whatever the URL, the resolver or a redirect says."""

    def __init__(self, options: WebOptions, lookup: Resolve = resolve) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        # The one way in for a network backend. Should the library rename it, this fails at once.
        assert isinstance(self._pool, httpcore2.AsyncConnectionPool)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(), network_backend=_Backend(options, lookup), max_keepalive_connections=20
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; each hop of a redirect comes through here."""
        check_url(str(request.url))
        return await super().handle_async_request(request)


def guarded_client(
    options: WebOptions,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
    follow_redirects: bool = False,
    lookup: Resolve = resolve,
) -> httpx2.AsyncClient:
    """A client for one purpose; whoever asks for it closes it.

    Its requests raise `AddressRefused` and `BadGateway` besides the errors of httpx2.
    """
    return httpx2.AsyncClient(
        transport=GuardedTransport(options, lookup),
        headers=dict(headers or {}),
        timeout=timeout or httpx2.Timeout(options.timeout_s, connect=options.connect_timeout_s),
        auth=auth,
        follow_redirects=follow_redirects,
        # Where none are followed the library still counts the requests of an auth flow as such.
        max_redirects=options.max_redirects if follow_redirects else 20,
        trust_env=False,
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms, so all clients share what was read.
    return httpx2.create_ssl_context()
