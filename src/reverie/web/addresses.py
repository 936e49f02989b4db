"""Which addresses may be reached on a user's word."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from reverie.domain.errors import AddressRefused, BadGateway

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""From host and port to addresses, in the order in which to try them."""

_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "192.0.0.192")
)
"""Where clouds tell their machines secrets. Source: AWS, GCP, Azure, Alibaba and Oracle manuals, read 2026-11."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """What may be opened on a user's word, and how much of it."""

    allow_private: bool = False
    """Whether this machine and private networks may be reached."""
    networks: tuple[Network, ...] = ()
    """Reachable whatever else is said."""
    connect_timeout_s: float = 10.0
    timeout_s: float = 20.0
    """For one fetch from start to end, redirects included."""
    max_bytes: int = 20_000_000
    """Of one answer, after decompression."""
    max_redirects: int = 3


def check_url(url: str) -> None:
    """Refuse what is not a web address; says nothing about where it leads.

    Raises:
        AddressRefused: another scheme than http and https, or no host.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise AddressRefused(f"{url!r} is not opened: only http and https addresses are")


def check_address(text: str, options: WebOptions) -> None:
    """Pass when `text`, an IP address, may be reached.

    Raises:
        AddressRefused: it may not; the text does not repeat the address.
    """
    given = ipaddress.ip_address(text.partition("%")[0])
    address = _unwrapped(given)
    if any(candidate in network for candidate in (given, address) for network in options.networks):
        return
    if address in _METADATA or address.is_link_local or address.is_multicast:
        raise AddressRefused("its address is link-local, multicast or a cloud's metadata service")
    if options.allow_private and (address.is_loopback or _is_private(address)):
        return
    if not address.is_global or _is_site_local(address):
        raise AddressRefused(
            "its address lies in a private network; "
            "REVERIE_ALLOW_PRIVATE_ADDRESSES or REVERIE_ALLOWED_NETWORKS would open it"
        )
    if address.is_reserved:
        raise AddressRefused("its address is reserved and leads nowhere")


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _is_private(address: Address) -> bool:
    # `is_private` leaves out the shared space of carriers, where home-made networks such as VPNs live.
    return address.is_private or not (address.is_global or address.is_reserved) or _is_site_local(address)


def _is_site_local(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.is_site_local


async def resolve(host: str, port: int) -> list[str]:
    """Every address of `host`, as the system's resolver answers.

    Raises:
        BadGateway: the name is not known.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadGateway(f"the host {host!r} is not known: {getattr(error, 'strerror', None) or error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def permitted_addresses(host: str, port: int, options: WebOptions, lookup: Resolve = resolve) -> list[str]:
    """The addresses of `host`, each of which may be reached.

    One that may not spoils the rest: nobody serves the public from a name that leads inside as well.

    Raises:
        AddressRefused: one of them may not be reached.
        BadGateway: the name is not known.
    """
    found = await lookup(host, port)
    for address in found:
        try:
            check_address(address, options)
        except AddressRefused as error:
            raise AddressRefused(f"{host!r} is not opened: {error}") from None
    return found
