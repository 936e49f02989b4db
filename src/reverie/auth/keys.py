"""API keys: how they are made, kept, and turned into a caller.

The text of a key is never stored. What is stored is its HMAC under a secret of the server,
so that a stolen database opens nothing, and a lookup by digest tells an attacker nothing
about the text through its timing.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from reverie.auth.policy import Policy, Sender, origin_of
from reverie.domain.clock import Clock, utc_now
from reverie.domain.errors import NotAllowed, NotAuthenticated
from reverie.domain.ids import DEFAULT_ORGANIZATION, DEFAULT_USER, OrganizationId, RunId, UserId

TOKEN_PREFIX: Final = "sk-rev-"
PAGE_PREFIX: Final = "ck-rev-"
"""Of access tokens for pages; whoever shows one is never taken for anybody else."""
_TOKEN_BYTES: Final = 32


class Scope(StrEnum):
    """What a key allows."""

    READ = "read"
    """See everything of the organisation."""
    WRITE = "write"
    """Change it, and talk to agents; with the tools there are."""
    TOOLS = "tools"
    """Bring code to the server: make, change and run tools, and connect servers of tools."""
    ADMIN = "admin"
    """Providers and other organisation-wide settings."""


_INCLUDED: Final[Mapping[Scope, frozenset[Scope]]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.TOOLS: frozenset({Scope.READ, Scope.TOOLS}),
    Scope.ADMIN: frozenset(Scope),
}
"""`write` and `tools` stand beside each other: who may talk to agents may not bring code, nor the other way round."""

USUAL_SCOPES: Final = frozenset({Scope.WRITE, Scope.TOOLS})
"""What a program written for the API needs, and what a key holds unless its maker says less or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf a request is served. Every stored row it sees belongs to `organization_id`."""

    organization_id: OrganizationId
    user_id: UserId
    scopes: frozenset[Scope]
    key_id: str | None
    """None: let in without a key, because the server listens on loopback only."""
    run_id: RunId | None = None
    """The run whose tool calls, when it is one."""
    policy: Policy | None = None
    """What an access token of a page opens; None: all that the scopes say."""

    def holds(self, scope: Scope) -> bool:
        """Whether the caller holds `scope` or one that includes it."""
        return any(scope in _INCLUDED[held] for held in self.scopes)

    def require(self, scope: Scope) -> None:
        """Pass when the caller holds `scope` or one that includes it.

        Raises:
            NotAllowed: the text names the scope that is missing.
        """
        if not self.holds(scope):
            raise NotAllowed(f"this key lacks the scope {scope.value!r}; use a key made with `--scope {scope.value}`")

    @property
    def sees_secrets(self) -> bool:
        """Whether secrets may be shown: to those who may set them, and never in a page."""
        return self.policy is None and self.holds(Scope.WRITE)


LOCAL_CALLER: Final = Caller(
    organization_id=DEFAULT_ORGANIZATION, user_id=DEFAULT_USER, scopes=frozenset(Scope), key_id=None
)
"""Whoever calls a server that only its own machine can reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as it is stored."""

    id: str
    """`key-<uuid>`"""
    digest: str = field(repr=False)
    """`TokenHasher.digest` of the token; unique."""
    hint: str
    """Last four characters of the token, to tell keys apart in a list."""
    name: str
    organization_id: OrganizationId
    user_id: UserId
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Tell whether the key opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def caller(self) -> Caller:
        """The caller who shows this key."""
        return Caller(organization_id=self.organization_id, user_id=self.user_id, scopes=self.scopes, key_id=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The token of a web page as it is stored."""

    id: str
    """`access_token-<uuid>`"""
    digest: str = field(repr=False)
    """`TokenHasher.digest` of the token; unique."""
    organization_id: OrganizationId
    user_id: UserId
    hostname: str
    """As the client said it."""
    origin: str
    """`origin_of` the hostname: whose pages may use it."""
    policy: Policy
    created_at: datetime
    expires_at: datetime

    def caller(self) -> Caller:
        """The page that shows this token."""
        scopes = frozenset({Scope.WRITE if self.policy.writes else Scope.READ})
        return Caller(
            organization_id=self.organization_id,
            user_id=self.user_id,
            scopes=scopes,
            key_id=self.id,
            policy=self.policy,
        )


def make_token(random_bytes: Callable[[int], bytes] = secrets.token_bytes, *, prefix: str = TOKEN_PREFIX) -> str:
    """Return a fresh token of 256 random bits. The only moment its text exists on the server."""
    return prefix + _base62(int.from_bytes(random_bytes(_TOKEN_BYTES)))


def token_hint(token: str) -> str:
    """The part of a token that may be shown again."""
    return token[-4:]


def shows_page_token(authorization: str | None) -> bool:
    """Whether this `Authorization` header bears an access token of a page, known or not."""
    return (bearer_token(authorization) or "").startswith(PAGE_PREFIX)


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of an `Authorization` header.

    Also takes a bare token, and `Bearer` in any case, as HTTP asks. None for an empty header
    and for other schemes.
    """
    if authorization is None:
        return None
    scheme, _, rest = authorization.strip().partition(" ")
    if rest:
        return rest.strip() or None if scheme.lower() == "bearer" else None
    return None if scheme.lower() == "bearer" else scheme or None


class TokenHasher:
    """Turns tokens into the digests that are stored.

    Several secrets may be in use after a server was given a passphrase: the first makes
    digests, all are tried when a token is checked.
    """

    __slots__ = ("_secrets",)

    def __init__(self, current: bytes, *earlier: bytes) -> None:
        self._secrets = (current, *earlier)

    def digest(self, token: str) -> str:
        """The digest to store, 64 hexadecimal characters."""
        return self.candidates(token)[0]

    def candidates(self, token: str) -> tuple[str, ...]:
        """Every digest under which the token may be stored, the current secret's first."""
        text = token.encode("utf-8", "surrogateescape")
        return tuple(hmac.new(secret, text, hashlib.sha256).hexdigest() for secret in self._secrets)


class KeyStore(Protocol):
    """Where key records lie."""

    async def find(self, digests: Sequence[str]) -> KeyRecord | None:
        """The record whose digest is one of `digests`, revoked and expired ones included."""
        ...

    async def find_access_token(self, digests: Sequence[str]) -> AccessToken | None:
        """The access token whose digest is one of `digests`, expired ones included."""
        ...

    async def serves_pages_of(self, origin: str, now: datetime) -> bool:
        """Whether there is a live access token for pages of `origin`."""
        ...


class NoKeys:
    """A store without keys: only the configured one opens the server."""

    async def find(self, digests: Sequence[str]) -> KeyRecord | None:
        """None, always."""
        return None

    async def find_access_token(self, digests: Sequence[str]) -> AccessToken | None:
        """None, always."""
        return None

    async def serves_pages_of(self, origin: str, now: datetime) -> bool:
        """False, always."""
        return False


class Gate:
    """Turns the header of a request into its caller."""

    def __init__(
        self,
        *,
        required: bool,
        hasher: TokenHasher,
        store: KeyStore,
        configured_key: str | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Take `configured_key` from the environment: it holds every scope and is stored nowhere."""
        self._required = required
        self._hasher = hasher
        self._store = store
        self._configured = hasher.digest(configured_key) if configured_key else None
        self._clock = clock

    async def serves_pages_of(self, origin: str) -> bool:
        """Whether pages of this origin hold an access token: browsers ask before they show it."""
        clean = origin_of(origin)
        return clean is not None and await self._store.serves_pages_of(clean, self._clock())

    async def identify(self, authorization: str | None, sender: Sender = Sender()) -> Caller:  # noqa: B008 - frozen
        """Return who sent this `Authorization` header.

        Where no key is required an unknown one is as good as none: clients made for the
        retired server send placeholders.

        Raises:
            NotAuthenticated: no key, or one that is unknown, expired or revoked.
            NotAllowed: the access token of a page, sent by another.
        """
        token = bearer_token(authorization)
        if token is None:
            if self._required:
                raise NotAuthenticated("this server asks for a key; send it as 'Authorization: Bearer <key>'")
            return LOCAL_CALLER
        digests = self._hasher.candidates(token)
        if token.startswith(PAGE_PREFIX):
            return await self._identify_page(digests, sender)
        if self._configured is not None and hmac.compare_digest(digests[0], self._configured):
            return Caller(
                organization_id=DEFAULT_ORGANIZATION,
                user_id=DEFAULT_USER,
                scopes=frozenset(Scope),
                key_id="configured",
            )
        # Placeholders never reach the database: every key that was made here has the prefix.
        record = await self._store.find(digests) if token.startswith(TOKEN_PREFIX) else None
        if record is not None and record.is_live(self._clock()):
            return record.caller()
        if not self._required:
            return LOCAL_CALLER
        if record is None:
            raise NotAuthenticated("this key is not known here; check it, or make one with `reverie keys create`")
        raise NotAuthenticated("this key is revoked or expired; make one with `reverie keys create`")

    async def _identify_page(self, digests: Sequence[str], sender: Sender) -> Caller:
        token = await self._store.find_access_token(digests)
        if token is None or token.expires_at <= self._clock():
            raise NotAuthenticated("this access token is not known here, or has expired; make another with a key")
        if not sender.is_page_of(token.origin):
            raise NotAllowed(f"this access token is for pages of {token.hostname!r}, and this request is from {sender}")
        return token.caller()


_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _base62(number: int) -> str:
    """Letters and digits only: a double click selects the whole token."""
    digits = []
    while number:
        number, rest = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits)).rjust(43, "0")
