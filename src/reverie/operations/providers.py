"""What callers can ask for about providers: those of the settings are shown, those of an organisation are its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import structlog
from sqlalchemy import Connection

from reverie.auth.cipher import Cipher, Unreadable
from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict, InvalidInput, MalformedInput, NotFound
from reverie.domain.ids import OrganizationId, ProviderId, make_id
from reverie.domain.paging import Page
from reverie.domain.provider import (
    Credentials,
    ListedProvider,
    Provider,
    ProviderDraft,
    configured_id,
)
from reverie.models.base import ProviderOptions
from reverie.models.registry import ALIASES, KINDS
from reverie.operations.base import Operations
from reverie.storage import providers
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

MOST: Final = 100
"""Providers that one organisation may add: all of them are read when a model of it is first asked for."""

_REFUSED: Final = {
    "chatgpt_oauth": "it signs in as a person at a hosted product, which this server does not do; "
    "use 'openai' with an API key",
    "letta": "it is the hosted service of the API's makers; name the provider of the model itself",
}
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "azure": ("api_key", "base_url"),
    "bedrock": ("api_key", "access_key", "region"),
    "google_vertex": ("api_key",),
}
"""What must be given. Without keys Amazon's and Google's tools would sign in as the server itself."""

_Either: TypeAlias = ProviderOptions | Provider


async def load_own(database: Database, cipher: Cipher, organization_id: OrganizationId) -> list[ProviderOptions]:
    """What an organisation added, opened; one whose keys cannot be opened is left out, and the log says so."""
    found = []
    for provider in await database.read(lambda c: providers.list_all(c, organization_id)):
        try:
            found.append(_opened(cipher, provider))
        except Unreadable as error:
            log.warning("provider_left_out", provider_id=provider.id, error=str(error))
    return found


async def create(ops: Operations, caller: Caller, draft: ProviderDraft) -> ListedProvider:
    """Add a provider for the caller's organisation; its models can be used when this returns.

    Raises:
        Conflict: the name is taken, or the organisation has too many.
        InvalidInput: the type is not served here, or lacks what it needs.
    """
    caller.require(Scope.ADMIN)
    given = _checked(draft.provider_type, draft.credentials)
    if any(item.name == draft.name for item in ops.catalogs.configured_providers):
        raise Conflict(f"the name {draft.name!r} belongs to a provider of the server's settings; use another name")
    now = ops.clock()
    blank = Provider(
        id=ProviderId(make_id("provider")),
        organization_id=caller.organization_id,
        name=draft.name,
        provider_type=ALIASES.get(draft.provider_type, draft.provider_type),
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    fresh = _sealed(ops.cipher, blank, given)
    await ops.catalogs.check_address(_opened(ops.cipher, fresh))

    def store(c: Connection) -> None:
        if providers.count(c, caller.organization_id) >= MOST:
            raise Conflict(f"an organisation can have {MOST} providers of its own; delete one first")
        providers.insert_provider(c, fresh)

    await ops.database.write(store)
    ops.catalogs.forget(caller.organization_id)
    return _listed(fresh)


async def list_providers(
    ops: Operations, caller: Caller, page: Page, *, name: str | None = None, provider_type: str | None = None
) -> list[ListedProvider]:
    """A page of providers: those of the settings, which are taken for the oldest, and the organisation's own.

    Raises:
        NotFound: a page cursor that is not the id of any of them.
    """
    caller.require(Scope.READ)
    own = await ops.database.read(lambda c: providers.list_all(c, caller.organization_id))
    every: list[ListedProvider] = [_listed(item) for item in ops.catalogs.configured_providers]
    every += [_listed(item) for item in own]
    if page.order == "desc":
        every.reverse()
    places = {item.id: place for place, item in enumerate(every)}
    kind = None if provider_type is None else ALIASES.get(provider_type, provider_type)
    first = 0 if page.after is None else _place(places, page.after) + 1
    last = len(every) if page.before is None else _place(places, page.before)
    found = [
        item
        for item in every[first:last]
        if name in (None, item.name) and kind in (None, item.provider_type)
    ]  # fmt: skip
    nearest_last = page.before is not None and page.after is None
    limit = len(found) if page.limit is None else page.limit
    return found[-limit:] if nearest_last and limit else found[:limit]


async def retrieve(ops: Operations, caller: Caller, provider_id: ProviderId) -> ListedProvider:
    """One provider."""
    caller.require(Scope.READ)
    return _listed(await _find(ops, caller, provider_id))


async def update(ops: Operations, caller: Caller, provider_id: ProviderId, given: Credentials) -> ListedProvider:
    """Give a provider other credentials; what is not given stays. Used from the next request to it on.

    Raises:
        InvalidInput: it is one of the server's settings, or would lack what its type needs.
    """
    caller.require(Scope.ADMIN)
    before = await _own(ops, caller, provider_id, "changed")
    wanted = _checked(before.provider_type, _merged(_credentials(ops.cipher, before), given))
    now = ops.clock()
    after = _sealed(ops.cipher, replace(before, updated_at=now, last_updated_by_id=caller.user_id), wanted)
    await ops.catalogs.check_address(_opened(ops.cipher, after))

    def store(c: Connection) -> None:
        providers.update_provider(c, providers.get(c, caller.organization_id, provider_id), after)

    await ops.database.write(store)
    ops.catalogs.forget(caller.organization_id)
    return _listed(after)


async def delete(ops: Operations, caller: Caller, provider_id: ProviderId) -> None:
    """Remove a provider with its keys. Agents that name its models keep the handle, and fail until it is back.

    Raises:
        InvalidInput: it is one of the server's settings.
    """
    caller.require(Scope.ADMIN)
    await _own(ops, caller, provider_id, "deleted")
    await ops.database.write(
        lambda c: providers.delete_provider(c, providers.get(c, caller.organization_id, provider_id))
    )
    ops.catalogs.forget(caller.organization_id)


async def check(ops: Operations, caller: Caller, provider_type: str, credentials: Credentials) -> str:
    """Try credentials without storing anything; says what came of it.

    Raises:
        ModelAuthFailed: the provider refuses the key.
        ModelError: it could not be reached, or did not answer as it should.
        InvalidInput: the type is not served here, or lacks what it needs.
    """
    caller.require(Scope.ADMIN)
    given = _checked(provider_type, credentials)
    return await _try_out(ops, _options(provider_type, provider_type, given))


async def check_existing(ops: Operations, caller: Caller, provider_id: ProviderId) -> str:
    """Try the credentials of a provider; errors as for `check`."""
    caller.require(Scope.ADMIN)
    found = await _find(ops, caller, provider_id)
    return await _try_out(ops, found if isinstance(found, ProviderOptions) else _opened(ops.cipher, found))


async def refresh(ops: Operations, caller: Caller, provider_id: ProviderId) -> ListedProvider:
    """Ask a provider anew for its models.

    Raises:
        InvalidInput: it is one of the server's settings, which are asked by themselves.
        ModelError: it did not answer as it should; the models known so far stay.
    """
    caller.require(Scope.ADMIN)
    before = await _own(ops, caller, provider_id, "refreshed")
    _opened(ops.cipher, before)
    await ops.catalogs.refresh(caller.organization_id, before.name)
    after = replace(before, last_synced=ops.clock())

    def store(c: Connection) -> None:
        now = providers.get(c, caller.organization_id, provider_id)
        providers.update_provider(c, now, replace(now, last_synced=after.last_synced))

    await ops.database.write(store)
    return _listed(after)


async def _try_out(ops: Operations, options: ProviderOptions) -> str:
    count = await ops.catalogs.try_out(options)
    return f"Valid api key for provider_type={options.type}; it lists {count} chat model{'' if count == 1 else 's'}"


async def _find(ops: Operations, caller: Caller, provider_id: ProviderId) -> _Either:
    for item in ops.catalogs.configured_providers:
        if configured_id(item.name) == provider_id:
            return item
    return await ops.database.read(lambda c: providers.get(c, caller.organization_id, provider_id))


async def _own(ops: Operations, caller: Caller, provider_id: ProviderId, what: str) -> Provider:
    found = await _find(ops, caller, provider_id)
    if isinstance(found, ProviderOptions):
        raise InvalidInput(
            f"provider {found.name!r} comes from the server's settings and cannot be {what} over the API; "
            "change the settings, or add a provider of your own under another name"
        )
    return found


def _checked(provider_type: str, given: Credentials) -> Credentials:
    """`given`, empty texts taken for nothing, when a provider of the type can be used with it."""
    kind = ALIASES.get(provider_type, provider_type)
    if kind in _REFUSED:
        raise InvalidInput(f"providers of type {kind!r} cannot be used here: {_REFUSED[kind]}")
    if kind not in KINDS:
        known = ", ".join(sorted((*KINDS, *_REFUSED)))
        raise MalformedInput("provider_type", f"{provider_type!r} is not a type of provider; use one of {known}")
    cleaned = Credentials(
        api_key=_text(given.api_key),
        access_key=_text(given.access_key),
        base_url=(_text(given.base_url) or "").rstrip("/") or None,
        region=_text(given.region),
        api_version=_text(given.api_version),
    )
    needs = _NEEDS.get(kind, () if KINDS[kind].local else ("api_key",))
    missing = [name for name in needs if getattr(cleaned, name) is None]
    if missing:
        raise InvalidInput(f"a provider of type {kind!r} needs {' and '.join(missing)}; give {' and '.join(missing)}")
    if cleaned.base_url is not None and ("@" in cleaned.base_url or "?" in cleaned.base_url):
        raise InvalidInput("base_url: give the bare address, without a password or a query; keys belong into api_key")
    return cleaned


def _text(value: str | None) -> str | None:
    return (value or "").strip() or None


def _merged(before: Credentials, given: Credentials) -> Credentials:
    return Credentials(
        api_key=before.api_key if given.api_key is None else given.api_key,
        access_key=before.access_key if given.access_key is None else given.access_key,
        base_url=before.base_url if given.base_url is None else given.base_url,
        region=before.region if given.region is None else given.region,
        api_version=before.api_version if given.api_version is None else given.api_version,
    )


def _credentials(cipher: Cipher, provider: Provider) -> Credentials:
    """What is stored; keys that cannot be opened any more count for nothing, so that they can be given anew."""
    try:
        opened = _opened(cipher, provider)
    except Unreadable:
        return Credentials(base_url=provider.base_url, region=provider.region, api_version=provider.api_version)
    return Credentials(
        api_key=opened.api_key,
        access_key=opened.access_key,
        base_url=provider.base_url,
        region=provider.region,
        api_version=provider.api_version,
    )


def _sealed(cipher: Cipher, provider: Provider, given: Credentials) -> Provider:
    return replace(
        provider,
        base_url=given.base_url,
        region=given.region,
        api_version=given.api_version,
        sealed_api_key=None if given.api_key is None else cipher.encrypt(given.api_key, provider.id),
        sealed_access_key=None if given.access_key is None else cipher.encrypt(given.access_key, provider.id),
    )


def _opened(cipher: Cipher, provider: Provider) -> ProviderOptions:
    """The provider as the models room uses it.

    Raises:
        Unreadable: its keys were sealed by a key that this server does not have.
    """
    given = Credentials(
        api_key=None if provider.sealed_api_key is None else cipher.decrypt(provider.sealed_api_key, provider.id),
        access_key=None
        if provider.sealed_access_key is None
        else cipher.decrypt(provider.sealed_access_key, provider.id),
        base_url=provider.base_url,
        region=provider.region,
        api_version=provider.api_version,
    )
    return _options(provider.name, provider.provider_type, given)


def _options(name: str, provider_type: str, given: Credentials) -> ProviderOptions:
    return ProviderOptions(
        name=name,
        type=provider_type,
        base_url=given.base_url,
        api_key=given.api_key,
        access_key=given.access_key,
        region=given.region,
        api_version=given.api_version,
        category="byok",
    )


def _listed(found: _Either) -> ListedProvider:
    if isinstance(found, ProviderOptions):
        return ListedProvider(
            id=configured_id(found.name),
            name=found.name,
            provider_type=found.type,
            category="base",
            base_url=found.base_url,
            region=found.region,
            api_version=found.api_version,
        )
    return ListedProvider(
        id=found.id,
        name=found.name,
        provider_type=found.provider_type,
        category="byok",
        base_url=found.base_url,
        region=found.region,
        api_version=found.api_version,
        updated_at=found.updated_at,
        last_synced=found.last_synced,
    )


def _place(places: dict[ProviderId, int], cursor: str) -> int:
    if (place := places.get(ProviderId(cursor))) is None:
        raise NotFound("provider", cursor, "page cursors are ids from an earlier page")
    return place


__all__: Sequence[str] = [
    "check",
    "check_existing",
    "create",
    "delete",
    "list_providers",
    "load_own",
    "refresh",
    "retrieve",
    "update",
]
