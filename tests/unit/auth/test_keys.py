from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reverie.auth.keys import (
    LOCAL_CALLER,
    PAGE_PREFIX,
    TOKEN_PREFIX,
    AccessToken,
    Caller,
    Gate,
    KeyRecord,
    NoKeys,
    Scope,
    TokenHasher,
    bearer_token,
    make_token,
    token_hint,
)
from reverie.auth.policy import Access, Grant, Policy, Sender, origin_of
from reverie.domain.errors import NotAllowed, NotAuthenticated
from reverie.domain.ids import AgentId, OrganizationId, UserId

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HASHER = TokenHasher(b"s" * 32)
TOKEN = make_token()
RECORD = KeyRecord(
    id="key-1",
    digest=HASHER.digest(TOKEN),
    hint=token_hint(TOKEN),
    name="laptop",
    organization_id=OrganizationId("org-1"),
    user_id=UserId("user-1"),
    scopes=frozenset({Scope.WRITE}),
    created_at=NOW,
)
PAGE_TOKEN = make_token(prefix=PAGE_PREFIX)
PAGE = AccessToken(
    id="access_token-1",
    digest=HASHER.digest(PAGE_TOKEN),
    organization_id=OrganizationId("org-1"),
    user_id=UserId("user-1"),
    hostname="https://App.Example:443/chat",
    origin="https://app.example",
    policy=Policy((Grant(agent_id=AgentId("agent-1"), access=(Access.READ_AGENT,)),)),
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=5),
)


class Shelf:
    def __init__(self, *records: KeyRecord) -> None:
        self.records = {record.digest: record for record in records}
        self.asked = 0

    async def find(self, digests: Sequence[str]) -> KeyRecord | None:
        self.asked += 1
        return next((self.records[digest] for digest in digests if digest in self.records), None)

    async def find_access_token(self, digests: Sequence[str]) -> AccessToken | None:
        return PAGE if PAGE.digest in digests else None

    async def serves_pages_of(self, origin: str, now: datetime) -> bool:
        return origin == PAGE.origin


def gate(*records: KeyRecord, required: bool = True, configured_key: str | None = None) -> Gate:
    return Gate(
        required=required, hasher=HASHER, store=Shelf(*records), configured_key=configured_key, clock=lambda: NOW
    )


def test_tokens_are_long_and_never_repeat() -> None:
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith(TOKEN_PREFIX) and len(token) == len(TOKEN_PREFIX) + 43 for token in tokens)


def test_tokens_keep_their_length_when_the_random_number_is_small() -> None:
    assert len(make_token(lambda size: bytes(size))) == len(TOKEN_PREFIX) + 43


def test_a_digest_depends_on_the_servers_secret() -> None:
    assert TokenHasher(b"a" * 32).digest(TOKEN) != TokenHasher(b"b" * 32).digest(TOKEN)


def test_a_record_shows_neither_token_nor_digest() -> None:
    assert TOKEN not in repr(RECORD)
    assert RECORD.digest not in repr(RECORD)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer  ", None),
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("abc", "abc"),
        ("Basic abc", None),
    ],
)
def test_a_header_gives_its_token(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


async def test_a_stored_key_names_its_owner() -> None:
    caller = await gate(RECORD).identify(f"Bearer {TOKEN}")
    assert caller == Caller(
        organization_id=OrganizationId("org-1"),
        user_id=UserId("user-1"),
        scopes=frozenset({Scope.WRITE}),
        key_id="key-1",
    )


@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer nonsense", f"Bearer {make_token()}", f"Basic {TOKEN}"],
    ids=["none", "scheme only", "no token", "another token", "another scheme"],
)
async def test_without_a_good_key_nobody_enters(header: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        await gate(RECORD, configured_key="pass").identify(header)


@pytest.mark.parametrize(
    "record",
    [replace(RECORD, revoked_at=NOW), replace(RECORD, expires_at=NOW), replace(RECORD, expires_at=NOW - timedelta(1))],
)
async def test_revoked_and_expired_keys_open_nothing(record: KeyRecord) -> None:
    with pytest.raises(NotAuthenticated, match="revoked or expired"):
        await gate(record).identify(f"Bearer {TOKEN}")


async def test_the_configured_key_holds_every_scope() -> None:
    caller = await gate(configured_key="a phrase, with spaces").identify("Bearer a phrase, with spaces")
    caller.require(Scope.ADMIN)
    assert caller.key_id == "configured"


async def test_where_no_key_is_required_placeholders_enter_as_the_local_caller() -> None:
    shelf = Shelf()
    door = Gate(required=False, hasher=HASHER, store=shelf, clock=lambda: NOW)
    assert await door.identify(None) == LOCAL_CALLER
    assert await door.identify("Bearer dummy") == LOCAL_CALLER
    assert shelf.asked == 0


async def test_where_no_key_is_required_a_known_one_still_names_its_owner() -> None:
    assert (await gate(RECORD, required=False).identify(f"Bearer {TOKEN}")).key_id == "key-1"


async def test_keys_made_under_an_earlier_secret_still_open() -> None:
    later = TokenHasher(b"t" * 32, b"s" * 32)
    door = Gate(required=True, hasher=later, store=Shelf(RECORD), clock=lambda: NOW)
    assert (await door.identify(f"Bearer {TOKEN}")).key_id == "key-1"


async def test_a_server_without_keys_turns_everyone_away() -> None:
    with pytest.raises(NotAuthenticated):
        await Gate(required=True, hasher=HASHER, store=NoKeys()).identify(f"Bearer {TOKEN}")


INCLUDED = {
    "read": {"read"},
    "write": {"read", "write"},
    "tools": {"read", "tools"},
    "admin": {"read", "write", "tools", "admin"},
}


@pytest.mark.parametrize("held", Scope)
def test_a_scope_includes_exactly_the_narrower_ones(held: Scope) -> None:
    caller = replace(LOCAL_CALLER, scopes=frozenset({held}))
    assert {scope.value for scope in Scope if caller.holds(scope)} == INCLUDED[held]


@pytest.mark.parametrize("missing", Scope)
def test_a_scope_that_is_missing_is_refused_by_name(missing: Scope) -> None:
    held = frozenset(scope for scope in Scope if missing.value not in INCLUDED[scope])
    with pytest.raises(NotAllowed, match=missing.value):
        replace(LOCAL_CALLER, scopes=held).require(missing)


@pytest.mark.parametrize(
    "sender",
    [
        Sender(origin="https://app.example"),
        Sender(origin="https://APP.example:443", host="api.example"),
        Sender(referer="https://app.example/chat?x=1", host="api.example"),
        Sender(host="app.example"),
        Sender(host="app.example:443"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
async def test_a_page_enters_with_its_token_as_far_as_the_policy_goes(sender: Sender, required: bool) -> None:
    caller = await gate(required=required).identify(f"Bearer {PAGE_TOKEN}", sender)
    assert (caller.organization_id, caller.key_id, caller.policy) == ("org-1", PAGE.id, PAGE.policy)
    assert caller.holds(Scope.READ)
    assert not caller.holds(Scope.WRITE)
    assert not caller.sees_secrets


@pytest.mark.parametrize(
    "sender",
    [
        Sender(),
        Sender(origin="null", referer="https://app.example/"),
        Sender(origin="http://app.example"),
        Sender(origin="https://app.example:8443"),
        Sender(origin="https://evil.example", referer="https://app.example/", host="app.example"),
        Sender(referer="https://evil.example/https://app.example", host="app.example"),
        Sender(origin="https://app.example.evil.example"),
        Sender(host="api.example"),
        Sender(host="app.example:80"),
        Sender(host="app.example@evil.example"),
        Sender(origin="https://app.example:port"),
    ],
)
async def test_a_token_in_other_hands_opens_nothing(sender: Sender) -> None:
    with pytest.raises(NotAllowed, match="is for pages of"):
        await gate(required=False).identify(f"Bearer {PAGE_TOKEN}", sender)


@pytest.mark.parametrize("required", [True, False])
async def test_whoever_shows_a_bad_token_of_a_page_is_taken_for_nobody_else(required: bool) -> None:
    page = Sender(origin="https://app.example")
    with pytest.raises(NotAuthenticated):
        await gate(required=required).identify(f"Bearer {make_token(prefix=PAGE_PREFIX)}", page)
    late = Gate(required=required, hasher=HASHER, store=Shelf(), clock=lambda: PAGE.expires_at)
    with pytest.raises(NotAuthenticated, match="expired"):
        await late.identify(f"Bearer {PAGE_TOKEN}", page)


@pytest.mark.parametrize("url", ["", "app.example", "ftp://app.example", "https://", "https://[::1", "javascript:1"])
def test_what_is_no_web_address_has_no_origin(url: str) -> None:
    assert origin_of(url) is None
