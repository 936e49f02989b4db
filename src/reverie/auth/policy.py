"""What the access tokens of web pages open: which agents, what of them, and from which page.

Source: `AccessTokenCreateParams` of the client SDK, read 2026-11.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from reverie.domain.errors import NotAllowed
from reverie.domain.ids import AgentId

_PORTS: Final = {"http": 80, "https": 443}


class Access(StrEnum):
    """What may be done with one agent. None of them includes another."""

    READ_MESSAGES = "read_messages"
    WRITE_MESSAGES = "write_messages"
    READ_AGENT = "read_agent"
    WRITE_AGENT = "write_agent"


WRITES: Final = frozenset({Access.WRITE_MESSAGES, Access.WRITE_AGENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token opens of one agent."""

    agent_id: AgentId
    access: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that a token opens; what is not in here is closed."""

    grants: tuple[Grant, ...]

    def allows(self, agent_id: str, access: Access) -> bool:
        """Whether a grant says so."""
        return any(grant.agent_id == agent_id and access in grant.access for grant in self.grants)

    def require(self, agent_id: str, access: Access) -> None:
        """Pass when a grant says so.

        Raises:
            NotAllowed: the text names what is missing, and is the same whether or not the agent exists.
        """
        if not self.allows(agent_id, access):
            raise NotAllowed(f"this access token lacks {access.value!r} for agent {agent_id!r}; make one that has it")

    @property
    def writes(self) -> bool:
        """Whether anything can be changed with it."""
        return any(access in WRITES for grant in self.grants for access in grant.access)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Where a request says it comes from: headers that browsers set and pages cannot change."""

    origin: str | None = None
    referer: str | None = None
    host: str | None = None
    """The server's own name as the sender knows it: that of a page that the same host serves."""

    def is_page_of(self, origin: str) -> bool:
        """Whether the request comes from a page of `origin`, given as `origin_of` makes it.

        The first header that is there decides. A browser leaves `Origin` out when a page reads from its own
        host; whether that is reached over TLS cannot be seen behind a proxy, so `Host` is compared without it.
        """
        if self.origin is not None:
            return origin_of(self.origin) == origin
        if self.referer is not None:
            return origin_of(self.referer) == origin
        scheme = origin.partition("://")[0]
        return self.host is not None and origin_of(f"{scheme}://{self.host}") == origin

    def __str__(self) -> str:
        return self.origin or self.referer or f"no page (host {self.host or 'unknown'})"


def origin_of(url: str) -> str | None:
    """Scheme, host and port of a URL, lower case, without the port that goes without saying; None: it has none."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host:
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port in (None, _PORTS[scheme]) else f"{scheme}://{shown}:{port}"
